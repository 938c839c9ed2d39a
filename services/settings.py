"""Where things are: the one place that reads the environment for the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SOURCE_TREE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Settings:
    """One embedded installation."""

    data: Path
    checkpoint: str  # a folder or a hub id

    @property
    def ledger_path(self) -> Path:
        return self.data / "ledger.db"

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.ledger_path}"

    @classmethod
    def read(
        cls,
        data: Path | None = None,
        checkpoint: str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Settings:
        """Arguments first, then MPLUS_DATA and MPLUS_CHECKPOINT, then the defaults.

        The data directory defaults to `mplus` in the user's own (XDG_DATA_HOME, or
        ~/.local/share), so that a memory is found again from any working directory.
        """
        home = environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        default_checkpoint = _SOURCE_TREE / "checkpoints" / "mplus-tiny"
        return cls(
            data=(data or Path(environment.get("MPLUS_DATA") or Path(home) / "mplus")).absolute(),
            checkpoint=checkpoint or environment.get("MPLUS_CHECKPOINT") or str(default_checkpoint),
        )
