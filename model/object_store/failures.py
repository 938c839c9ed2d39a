"""What a storage or the operating system refuses, as one kind of error that says what to do.

The one place that knows: rows, saved memories, caches, archives and what commands write.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from mplus_ray.model.errors import DamagedFileError, MissingFileError, StorageError


@contextlib.contextmanager
def refusals(shown: str, name: str) -> Iterator[None]:
    """The storage's refusals as one kind of error that says what to do."""
    try:
        yield
    except OSError as error:
        subject = f"{shown}/{name}" if name else shown
        if isinstance(error, FileNotFoundError) or "NO_SUCH_KEY" in str(error).upper():
            raise MissingFileError(f"{subject} does not exist") from error
        raise refused(error, subject) from error


@contextlib.contextmanager
def refusals_of(what: str, otherwise: str = "") -> Iterator[None]:
    """The operating system's refusals to do something else than to read or write a named file.

    Args:
        what: what could not be done, such as "--json FILE cannot be written".
        otherwise: what else the user can do about it, such as "name another folder".

    Raises:
        StorageError: what could not be done, why, and what to do.
    """
    try:
        yield
    except OSError as error:
        raise refused(error, what, otherwise) from error


@contextlib.contextmanager
def needed(name: str) -> Iterator[None]:
    """For a file that a memory consists of: that it is missing is damage."""
    try:
        yield
    except MissingFileError as error:
        raise DamagedFileError(name, "it is missing") from error


def refused(error: OSError, subject: str, otherwise: str = "") -> StorageError:
    """The error for what was refused: of what, why, and what to do.

    Args:
        otherwise: what else the user can do about it.
    """
    text = error.strerror or str(error)
    advice = _advice(error.errno, str(error).upper(), otherwise)
    return StorageError(f"{subject}: {text}; {advice}")


def _advice(number: int | None, said: str, otherwise: str) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"free some space, or {otherwise}" if otherwise else "free some space"
    if number == errno.EFBIG:
        return "raise the limit on the size of files"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"give this user access to it, or {otherwise or 'name another folder'}"
    if "NO_SUCH_BUCKET" in said:
        return "make the bucket, or name another"
    if any(word in said for word in ("NETWORK_CONNECTION", "UNAVAILABLE", "TIMEOUT", "CURL")):
        return "the endpoint cannot be reached: check its address and the network, then try again"
    if any(word in said for word in ("ACCESS_DENIED", "SIGNATURE", "CREDENTIAL", "ACCESS_KEY")):
        return "access denied: check the credentials in the environment and their permissions"
    if otherwise:
        return otherwise
    if number == errno.ENOENT:
        return "make its folder, or name another"
    if number == errno.ENOTDIR:
        return "a file stands where a folder is wanted; name another"
    return "check the storage, then try again"


def name_taken(shown: str, name: str) -> StorageError:
    return StorageError(f"{shown}/{name} exists already and is never overwritten; use a new name")
