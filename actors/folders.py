"""Where a tenant's memory lies, and who may write it."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from typing import IO

from model.errors import StorageError

_log = logging.getLogger(__name__)


def tenant_folder(root: Path, tenant: str) -> Path:
    return root / "tenants" / tenant


def memory_folder(root: Path, tenant: str) -> Path:
    return tenant_folder(root, tenant) / "memory"


def has_memory(root: Path, tenant: str) -> bool:
    """Whether a saving was ever completed."""
    from model.folder import is_saved  # torch, which looking up a tenant does not need

    return is_saved(memory_folder(root, tenant))


class WriteLock:
    """One writer per tenant at a time; it falls with its process, however that ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock of `folder`, waiting for another writer to finish."""
        path = folder / "writer.lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = path.open("a+")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.seek(0)
                holder = self._file.read().strip() or "unknown"
                _log.warning("waiting for the writer of this tenant (process %s)", holder)
                fcntl.flock(self._file, fcntl.LOCK_EX)
            self._file.truncate(0)
            self._file.write(str(os.getpid()))
            self._file.flush()
        except OSError as error:
            raise StorageError(
                f"{path} cannot be locked for writing: {error.strerror}; check that its disk has "
                "space and that this user may write there"
            ) from error

    def release(self) -> None:
        self._file.close()
