"""An archive of documents: one document a member, or more where a member holds many."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import BinaryIO

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.kinds import KINDS
from mplus_ray.pipeline.parsing.packages import BROKEN, check_sizes
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.refusals import Refusal

_ENCRYPTED = 1  # the bit of a member's flags
_MEMBER = 64 * 2**20  # unpacked bytes of one member

ReadMember = Callable[[BinaryIO, str], Iterator[Record]]


def read_zip(file: BinaryIO, name: str, read_member: ReadMember) -> Iterator[Record]:
    """The documents of the members, whose ids are their paths in the archive.

    Args:
        read_member: the documents of one file.

    Raises:
        DocumentError: it is no archive, or would unpack to more than anybody packs.
    """
    try:
        archive = zipfile.ZipFile(file)
        members = [each for each in archive.infolist() if _is_wanted(each)]
    except BROKEN as error:
        raise DocumentError(
            f"{name} is a damaged ZIP archive ({error}); pack it again", Refusal.DAMAGED
        ) from error
    packed = file.seek(0, io.SEEK_END)
    check_sizes([each.file_size for each in members], packed, name)
    number = 0
    with archive:
        for member in members:
            for record in _records(archive, member, read_member):
                number += 1
                yield replace(record, number=number)


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    """No folder, and not what a system adds by itself."""
    parts = PurePosixPath(member.filename).parts
    hidden = any((part.startswith(".") and part.strip(".")) or part == "__MACOSX" for part in parts)
    return not (member.is_dir() or hidden)


def _records(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, read_member: ReadMember
) -> Iterator[Record]:
    """The documents of a member; what is wrong with it is its own failure."""
    path = member.filename
    try:
        if KINDS.get(PurePosixPath(path).suffix.lower()) == "zip":
            raise DocumentError(
                f"{path} is an archive in an archive; unpack it", Refusal.UNSUPPORTED
            )
        data = _read(archive, member)
        for record in read_member(io.BytesIO(data), path):
            inner = "" if record.whole else f"#{record.id or record.number}"
            yield replace(record, id=f"{path}{inner}", whole=False)
    except DocumentError as error:
        yield Record(0, error, path)


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.flag_bits & _ENCRYPTED:
        raise DocumentError(
            f"{member.filename} is encrypted; unpack the archive with its password, and hand in "
            "what was in it",
            Refusal.ENCRYPTED,
        )
    try:
        with archive.open(member) as opened:
            data = opened.read(_MEMBER + 1)
    except (*BROKEN, zlib.error, OSError) as error:
        raise DocumentError(
            f"{member.filename} cannot be unpacked ({error})", Refusal.DAMAGED
        ) from error
    if len(data) > _MEMBER:
        raise DocumentError(
            f"{member.filename} is larger than {_MEMBER // 2**20} MiB; take it in by itself",
            Refusal.TOO_LARGE,
        )
    return data
