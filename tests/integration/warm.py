"""`mplus` processes that begin with everything imported: one is kept, and forks for each command.

Importing torch takes longer than most commands; what a command does is the same.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mplus_ray.model import MPlus
from mplus_ray.services.cli import app as cli
from tests.integration.command import Command, Outcome


@dataclass(frozen=True)
class WarmCommand(Command):
    """A `Command` whose processes come from `keeper`, unless another command is to begin them."""

    keeper: Any = None

    def __call__(self, *arguments: str | Path, prefix: tuple[str, ...] = ()) -> Outcome:
        if prefix:
            return super().__call__(*arguments, prefix=prefix)
        with tempfile.TemporaryDirectory() as folder:
            order = {"line": [str(a) for a in arguments], "env": self.env, "folder": folder}
            self.keeper.stdin.write(json.dumps(order) + "\n")
            self.keeper.stdin.flush()
            code = int(self.keeper.stdout.readline())
            out, err = (Path(folder, name).read_text() for name in ("out", "err"))
        return Outcome(code, out, err)

    def at(self, data: Path, checkpoint: Path | None = None) -> WarmCommand:
        """The same with another data directory, or another checkpoint."""
        return replace(self, data=data, checkpoint=checkpoint or self.checkpoint)


@contextmanager
def warm_command(data: Path, checkpoint: Path) -> Iterator[WarmCommand]:
    """Keep a process for the commands."""
    command = WarmCommand(data, checkpoint)
    line = [sys.executable, "-m", __name__]
    root = Path(__file__).parents[2]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        line, stdin=pipe, stdout=pipe, text=True, env=command.env, cwd=root
    ) as keeper:
        yield replace(command, keeper=keeper)
        assert keeper.stdin is not None
        keeper.stdin.close()  # which ends it


def _serve() -> None:
    for module in (
        "model.store.validation",
        "pipeline.archive.importer",
        "pipeline.archive.exporter",
    ):
        importlib.import_module(f"mplus_ray.{module}")
    MPlus.load(os.environ["MPLUS_CHECKPOINT"])  # whatever torch imports late
    for text in sys.stdin:
        order = json.loads(text)
        child = os.fork()
        if child == 0:
            _run(order)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(order: dict[str, Any]) -> None:
    """Be an `mplus` process, and end."""
    os.environ.clear()
    os.environ.update(order["env"])
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(Path(order["folder"], name), os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = os.fdopen(0)
    sys.argv = ["mplus", *order["line"]]
    code: Any = 0
    try:
        cli.main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _serve()
