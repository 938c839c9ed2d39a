"""What a storage refuses, as one kind of error that says what to do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import NoReturn

from mplus_ray.model.errors import DamagedFileError, MissingFileError, StorageError


@contextlib.contextmanager
def refusals(shown: str, name: str) -> Iterator[None]:
    """The storage's refusals as one kind of error that says what to do."""
    try:
        yield
    except OSError as error:
        refuse(error, f"{shown}/{name}" if name else shown)


@contextlib.contextmanager
def needed(name: str) -> Iterator[None]:
    """For a file that a memory consists of: that it is missing is damage."""
    try:
        yield
    except MissingFileError as error:
        raise DamagedFileError(name, "it is missing") from error


def refuse(error: OSError, subject: str) -> NoReturn:
    text = error.strerror or str(error)
    said = str(error).upper()
    if isinstance(error, FileNotFoundError) or "NO_SUCH_KEY" in said:
        raise MissingFileError(f"{subject} does not exist") from error
    raise StorageError(f"{subject}: {text}; {_advice(error.errno, said)}") from error


def _advice(number: int | None, said: str) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "free some space"
    if number == errno.EFBIG:
        return "raise the limit on the size of files"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "give this user write access, or name another folder"
    if "NO_SUCH_BUCKET" in said:
        return "make the bucket, or name another"
    if any(word in said for word in ("NETWORK_CONNECTION", "UNAVAILABLE", "TIMEOUT", "CURL")):
        return "the endpoint cannot be reached: check its address and the network, then try again"
    if any(word in said for word in ("ACCESS_DENIED", "SIGNATURE", "CREDENTIAL", "ACCESS_KEY")):
        return "access denied: check the credentials in the environment and their permissions"
    return "check the storage, then try again"


def name_taken(shown: str, name: str) -> StorageError:
    return StorageError(f"{shown}/{name} exists already and is never overwritten; use a new name")
