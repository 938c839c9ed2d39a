"""The checkpoints that come with this package, by name."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"^[a-z][a-z0-9-]*$")
_PREFIX = "mplus-"


def shipped_folder(name: str) -> Path | None:
    """The folder of a shipped checkpoint such as mplus-small, or small for short."""
    if not _NAME.match(name):
        return None
    for folder in (_root() / name, _root() / f"{_PREFIX}{name}"):
        if (folder / "config.json").is_file():
            return folder
    return None


def shipped_names() -> list[str]:
    """Of all shipped checkpoints."""
    return sorted(path.parent.name for path in _root().glob("*/config.json"))


def _root() -> Path:
    """`checkpoints/` of the repository, or of the installed package: beside `model/` in both."""
    return Path(__file__).parents[2] / "checkpoints"
