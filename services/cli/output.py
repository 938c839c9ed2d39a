"""What a command prints: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.object_store.failures import refused

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.documents.documents import ChunkPassage
    from mplus_ray.services.settings import Settings

_NO_TERMINAL = 100_000  # characters of a line in a pipe or a file
_SHOWN_CHARACTERS = 240  # of a passage on a terminal


def stderr() -> Console:
    return Console(stderr=True, highlight=False)


def say_absent(settings: Settings) -> None:
    """Tell on standard error that a command looks into a data directory that is none."""
    if settings.exists:
        return
    what = "holds no memory" if settings.data.is_dir() else "does not exist"
    stderr().print(
        f"{settings.data} {what}, so there is nothing to show; check --data and MPLUS_DATA "
        "(`mplus ingest` begins a memory there)",
        soft_wrap=True,
        markup=False,
    )


def write_json(target: str | None, result: dict[str, Any]) -> None:
    """Write a result where `--json` says, if it says anything."""
    if target is None:
        return
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, "utf-8")
    except IsADirectoryError:
        raise InvalidInputError(f"--json {target} is a folder; name a file") from None
    except OSError as error:
        raise refused(error, f"--json {target} cannot be written") from error


def human(target: str | None) -> Console:
    """Where people read: standard output, unless a program reads there.

    Where there is no terminal, a table is as wide as it has to be: ids in it can be cut out whole.
    """
    console = Console(stderr=target == "-", highlight=False, soft_wrap=True)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _NO_TERMINAL
    return console


def show_passage(console: Console, number: int, passage: ChunkPassage, why: str) -> None:
    """A passage under its number, shortened; JSON has all of it.

    Args:
        why: stands behind its name.
    """
    text = printable(" ".join(passage.text.split()))
    head = printable(f"\n[{number}] {passage.where} ({why})")
    console.print(head, style="bold", markup=False)
    rest = "…" if len(text) > _SHOWN_CHARACTERS else ""
    console.print(text[:_SHOWN_CHARACTERS] + rest, markup=False)


def printable(text: str) -> str:
    """Text that cannot command a terminal, wherever it is from."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
