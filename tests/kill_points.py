"""The changes of the storage before which a process can be killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import sqlalchemy

import mplus_ray.model.object_store.local
from mplus_ray.pipeline.ledger.database import Database


@dataclass
class Hooks:
    """Counts changes of the storage in this process, and ends it before one of them."""

    kill: int | None
    stage: str = ""
    seen: list[str] = field(default_factory=list)

    def __call__(self, change: str) -> None:
        if len(self.seen) == self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.append(f"{self.stage}: {change}")

    def install(self) -> None:
        """For the rest of this process's life, which is short."""
        self._before(Path, "mkdir", lambda path, *_, **__: not path.exists())
        self._before(Path, "unlink", lambda path, **_: path.exists())
        self._before(Path, "rmdir")
        self._before(mplus_ray.model.object_store.local, "_take_name")
        self._before(Database, "scrub")
        create = mplus_ray.model.object_store.local._create

        def create_torn(path: Path) -> tuple[Any, list[Path]]:
            self("create")
            file, made = create(path)
            return _Torn(file, self), made

        mplus_ray.model.object_store.local._create = create_torn
        sqlalchemy.event.listen(sqlalchemy.Engine, "commit", lambda connection: self("commit"))

    def _before(
        self, owner: Any, name: str, changes: Callable[..., bool] = lambda *_, **__: True
    ) -> None:
        original = getattr(owner, name)

        def hooked(*args: Any, **more: Any) -> Any:
            if changes(*args, **more):
                self(name)
            return original(*args, **more)

        setattr(owner, name, hooked)


@dataclass
class _Torn:
    """A file that is there in part for a moment."""

    file: Any
    change: Hooks

    def write(self, data: Any) -> None:
        raw = memoryview(data)
        self.change("write")
        self.file.write(raw[: len(raw) // 2])
        self.file.flush()
        self.change("write the rest")
        self.file.write(raw[len(raw) // 2 :])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
