"""What a request brings: documents as JSON, files, or lines, one after another."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from starlette.datastructures import UploadFile

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.ledger.documents.append import short
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.jsonl import too_long
from mplus_ray.pipeline.parsing.multi_document import holds_many
from mplus_ray.pipeline.parsing.records import MAX_RECORD, Record, document_of, parse_json
from mplus_ray.services.api.ingest.parser_pool import Parsers
from mplus_ray.services.api.schemas.documents import NewDocument

_TITLE = 60  # characters of the text that stand for a title
_NAME = 200  # characters of a file's name
_PIECE = 1 << 20


@dataclass(frozen=True)
class Arrived:
    """A document on its way in, or why there is none.

    Attributes:
        key: the id that the client will know it by.
        source: for messages to the client.
        outcome: the document, or the error.
    """

    source: str
    key: str | None
    outcome: ParsedDocument | DocumentError


@dataclass
class Digest:
    """A hash of what was sent, part by part."""

    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, part: bytes) -> None:
        """A part with its length, so that no two series of parts are alike."""
        self._hash.update(len(part).to_bytes(8) + part)

    def update(self, piece: bytes) -> None:
        """More of the part that is the last."""
        self._hash.update(piece)

    @property
    def text(self) -> str:
        return self._hash.hexdigest()


def as_arrived(document: NewDocument) -> Arrived:
    """A document of a JSON request."""
    key = document.id or default_key(document.text)
    try:
        parsed = document_of(
            document.text,
            document.title or default_title(document.text),
            document.metadata or {},
            key,
            "json",
        )
    except DocumentError as error:
        return Arrived(key, key, error)
    return Arrived(key, key, parsed)


def default_key(text: str) -> str:
    """An id made of the text, so that the same text is the same document."""
    return f"text-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:32]}"


def default_title(text: str) -> str:
    """How the text begins."""
    start = " ".join(text[: 4 * _TITLE].split())
    return start if len(start) <= _TITLE else f"{start[:_TITLE].rstrip()}…"


async def lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Arrived, None]:
    """Documents of newline-delimited JSON; a bad line is a failure with its number.

    One line is in memory at a time, and none that is longer than a record may be.
    """
    number, pending = 0, bytearray()
    async for piece in pieces:
        *ends, rest = piece.split(b"\n")
        for end in ends:
            number += 1
            arrived = await _line(number, pending, end)
            pending = bytearray()
            if arrived is not None:
                yield arrived
        if len(pending) <= MAX_RECORD:  # beyond that only its end matters
            pending += rest
    arrived = await _line(number + 1, pending, b"")
    if arrived is not None:
        yield arrived


async def files(
    uploads: Sequence[UploadFile], parsers: Parsers, spool: Path | None
) -> AsyncGenerator[Arrived, None]:
    """Documents of uploaded files, parsed by their names in processes of their own."""
    seen: set[str] = set()
    for upload in uploads:
        name = file_name(upload.filename)
        if name in seen:
            error = DocumentError(f"{name}: there are two files of this name; rename one of them")
            yield Arrived(name, name, error)
            continue
        seen.add(name)
        async with spooled(spool, Path(name).suffix) as path:
            await asyncio.to_thread(_copy, upload.file, path)
            async for record in parsers.records(path, name):
                yield _of_file(name, record)


def file_name(given: str | None) -> str:
    """A name and never a path; printable, because it is shown and may be an id."""
    last = (given or "").replace("\\", "/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable()).strip()
    if not shown.strip("."):
        return "upload"
    if len(shown) <= _NAME:
        return shown
    stem, dot, suffix = shown.rpartition(".")
    return f"{(stem or shown)[: _NAME - 12]}…{dot}{suffix[:10]}" if dot else shown[:_NAME]


@asynccontextmanager
async def spooled(folder: Path | None, suffix: str = "") -> AsyncGenerator[Path, None]:
    """A file of this user's alone that is gone afterwards."""
    descriptor, path = await asyncio.to_thread(tempfile.mkstemp, suffix[:20], "mplus-", folder)
    os.close(descriptor)
    try:
        yield Path(path)
    finally:
        await asyncio.to_thread(Path(path).unlink, True)


def _copy(file: IO[bytes], path: Path) -> None:
    file.seek(0)
    with path.open("wb") as target:
        shutil.copyfileobj(file, target, _PIECE)


def _of_file(name: str, record: Record) -> Arrived:
    if record.number == 0 or not holds_many(name):
        return Arrived(name, name, record.outcome)
    key = short(f"{name}#{record.id or record.number}")
    return Arrived(f"{name}#{record.number}", key, record.outcome)


async def _line(number: int, pending: bytearray, end: bytes) -> Arrived | None:
    """What a line gives; None of a blank one."""
    where = f"line {number}"
    if len(pending) + len(end) > MAX_RECORD:
        return Arrived(where, None, too_long(where))
    line = bytes(pending + end)
    if not line or line.isspace():
        return None
    return await asyncio.to_thread(_record, number, where, line)


def _record(number: int, where: str, line: bytes) -> Arrived:
    record = parse_json(line, number, where, "", "ndjson")
    if isinstance(record.outcome, DocumentError):
        return Arrived(where, record.id, record.outcome)
    document = record.outcome
    titled = replace(document, title=document.title or default_title(document.text))
    key = record.id or default_key(document.text)
    return Arrived(key, key, titled)
