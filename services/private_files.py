"""Files that only the user who runs mplus can read: a ledger holds the text of all tenants."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from mplus_ray.model.object_store.failures import refusals_of

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_log = logging.getLogger(__name__)


def keep_private() -> None:
    """From now on this process, and those it starts, make files that nobody else can read."""
    os.umask(_OTHERS)


def private_folder(folder: Path) -> None:
    """Make a folder that is this user's alone, or make one so that is there, with what it holds.

    Raises:
        StorageError: it cannot be made.
    """
    keep_private()
    otherwise = "name another one with --data or MPLUS_DATA"
    with refusals_of(f"the data directory {folder} cannot be made", otherwise):
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.stat().st_mode & _OTHERS:
            return  # nobody else gets into it, whatever the modes inside
    try:
        closed = _close(folder)
    except OSError as error:
        _log.warning(
            "other users of this machine can read %s, and that cannot be changed: %s",
            folder,
            error.strerror,
        )
    else:
        _log.warning(
            "other users of this machine could read %s (%d files); they cannot any more",
            folder,
            closed,
        )


def _close(folder: Path) -> int:
    """Take everybody else's rights away, the outermost first; returns how many files it was."""
    folder.chmod(0o700)
    files = 0
    for above, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(above) / name
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~_OTHERS & 0o777)
        files += len(names)
    return files
