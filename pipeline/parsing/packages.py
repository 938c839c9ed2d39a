"""ZIP packages, which office formats are: what may be unpacked, and reading one part."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.refusals import Refusal

MAX_UNPACKED = 256 * 2**20  # bytes of all its parts
MAX_RATIO = 200  # unpacked to packed; dense XML reaches 50
_SMALL = 4 * 2**20  # unpacked bytes below which the ratio does not matter
_MOST_PARTS = 65_536
_SIGNS = frozenset(["[Content_Types].xml", "mimetype", "content.xml", "META-INF/container.xml"])

BROKEN = (zipfile.BadZipFile, NotImplementedError, ValueError, KeyError, EOFError, RuntimeError)


def check_package(data: bytes, name: str, kind: str) -> None:
    """Refuse what is no package, and one that would unpack to more than anybody writes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except BROKEN as error:
        raise DocumentError(
            f"{name} is not a {kind} ({error}); a password also makes it unreadable: save a copy "
            "without one",
            Refusal.DAMAGED,
        ) from error
    check_sizes([part.file_size for part in parts], len(data), name)
    if not _SIGNS.intersection(part.filename for part in parts):
        raise DocumentError(
            f"{name} is not a {kind}: it is a ZIP archive of something else", Refusal.MISNAMED
        )


def check_sizes(sizes: list[int], packed: int, name: str) -> None:
    """Refuse an archive by what its directory says; who reads it must not read more than that."""
    unpacked = sum(sizes)
    ratio = unpacked / max(packed, 1)
    if unpacked > MAX_UNPACKED or (unpacked > _SMALL and ratio > MAX_RATIO):
        raise DocumentError(
            f"{name} would unpack from {packed:,} to {unpacked:,} bytes; allowed are "
            f"{MAX_UNPACKED:,} bytes and {MAX_RATIO} times its size; remove pictures, or split it",
            Refusal.TOO_LARGE,
        )
    if len(sizes) > _MOST_PARTS:
        raise DocumentError(
            f"{name} has {len(sizes):,} parts; {_MOST_PARTS:,} are allowed", Refusal.TOO_LARGE
        )


def part_of(archive: zipfile.ZipFile, part: str, most: int = MAX_UNPACKED) -> bytes | None:
    """The bytes of one part; None: there is none, it is damaged, or it is larger than `most`."""
    try:
        with archive.open(part) as file:
            data = file.read(most + 1)
    except (*BROKEN, zlib.error, OSError):
        return None
    return data if len(data) <= most else None


def repacked(
    archive: zipfile.ZipFile,
    changed: Mapping[str, bytes],
    is_kept: Callable[[str], bool] = lambda part: True,
) -> bytes:
    """The package with other bytes for some of its parts; those that are not kept are left out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for part in archive.namelist():
            if part in changed:
                target.writestr(part, changed[part])
            elif is_kept(part) and (kept := part_of(archive, part)) is not None:
                target.writestr(part, kept)
    return buffer.getvalue()
