"""What a request brings: documents as JSON, files, or lines, one after another."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from starlette.datastructures import UploadFile

from mplus_ray.model.errors import DocumentError, InvalidInputError, RateLimitedError
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.pipeline.parsing.details import DETAILS, read_details
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.document_id import id_of_name, storable
from mplus_ray.pipeline.parsing.limits import check_key
from mplus_ray.pipeline.parsing.records.jsonl import too_long
from mplus_ray.pipeline.parsing.records.record import MAX_RECORD, Record, document_of, parse_json
from mplus_ray.pipeline.parsing.refusals import Refusal, kind_of_name
from mplus_ray.services.api.ingest.parser_pool import Parsers
from mplus_ray.services.api.schemas.documents import NewDocument

_TITLE = 60  # characters of the text that stand for a title
_NAME = 200  # characters of a file's name
_ELSEWHERE = re.compile(r"^[a-zA-Z]:|^/|(^|/)\.\.(/|$)")
_PIECE = 1 << 20


@dataclass(frozen=True)
class Arrived:
    """A document on its way in, or why there is none.

    Attributes:
        key: the id that the client will know it by.
        source: for messages to the client.
        outcome: the document, or the error.
        line: its place in a stream, from 1; None: it came with others in one piece.
        kind: what it is counted as where it is left out, such as `.pdf`.
    """

    source: str
    key: str | None
    outcome: ParsedDocument | DocumentError | RateLimitedError
    line: int | None = None
    kind: str = "document"

    def load(self) -> ParsedDocument:
        """
        Raises:
            DocumentError: there is none.
            RateLimitedError: its tenant's files took too much time.
        """
        if isinstance(self.outcome, DocumentError | RateLimitedError):
            raise self.outcome
        return self.outcome


@dataclass
class RunningDigest:
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
        check_key(key)
    except InvalidInputError as error:
        return Arrived(storable(key)[:_NAME], None, DocumentError(str(error), Refusal.IDENTITY))
    try:
        parsed = document_of(
            document.text,
            document.title or default_title(document.text),
            document.metadata or {},
            key,
            "json",
        )
        details = read_details(document.model_dump(include=set(DETAILS)), time.time())
    except DocumentError as error:
        return Arrived(key, key, error)
    except InvalidInputError as error:
        return Arrived(key, key, DocumentError(str(error), Refusal.MALFORMED))
    return Arrived(key, key, replace(parsed, details=details))


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
    uploads: Sequence[UploadFile], parsers: Parsers, spool: Path | None, tenant: Tenant
) -> AsyncGenerator[Arrived, None]:
    """Documents of uploaded files, parsed by their names in processes of their own.

    A file that is too much for a minute of its tenant is the last one.
    """
    seen: set[str] = set()
    for upload in uploads:
        name = file_name(upload.filename)
        if name in seen:
            error = DocumentError(
                f"{name}: there are two files of this name; rename one of them", Refusal.IDENTITY
            )
            yield Arrived(name, name, error, kind=kind_of_name(name))
            continue
        seen.add(name)
        async with spooled(spool, Path(name).suffix) as path:
            await asyncio.to_thread(_copy, upload.file, path)
            try:
                async for record in parsers.records(path, name, tenant):
                    yield _of_file(name, record)
            except RateLimitedError as error:
                yield Arrived(name, name, error, kind=kind_of_name(name))
                return


def file_name(given: str | None) -> str:
    """The name that a client gives a file, with the folders that it names: two files of one name
    in two folders are two documents. It never leads anywhere, and is printable, because it is
    shown and is the id.
    """
    path = (given or "").replace("\\", "/")
    if _ELSEWHERE.search(path):  # of a path in somebody's system the folders say nothing
        path = path.rpartition("/")[2]
    clean = ("".join(letter for letter in part if letter.isprintable()) for part in path.split("/"))
    parts = [part.strip() for part in clean if part.strip().strip(".")]
    shown = "/".join(parts)
    if not shown:
        return "upload"
    if len(shown) <= _NAME:
        return shown
    # The hash of all of it, so that two long names do not become one.
    mark = hashlib.sha256(shown.encode("utf-8", "replace")).hexdigest()[:12]
    stem, dot, suffix = shown.rpartition(".")
    if not dot or "/" in suffix:
        return f"{shown[: _NAME - 13]}…{mark}"
    return f"{stem[: _NAME - 24]}…{mark}.{suffix[:10]}"


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
    if record.number == 0 or record.whole:
        return Arrived(name, name, record.outcome, kind=kind_of_name(name))
    key = id_of_name(f"{name}#{record.id or record.number}")
    return Arrived(f"{name}#{record.number}", key, record.outcome, kind=kind_of_name(key))


async def _line(number: int, pending: bytearray, end: bytes) -> Arrived | None:
    """What a line gives; None of a blank one."""
    where = f"line {number}"
    if len(pending) + len(end) > MAX_RECORD:
        return Arrived(where, None, too_long(where), number, "line")
    line = bytes(pending + end)
    if not line or line.isspace():
        return None
    return await asyncio.to_thread(_record, number, where, line)


def _record(number: int, where: str, line: bytes) -> Arrived:
    record = parse_json(line, number, where, "", "ndjson")
    if isinstance(record.outcome, DocumentError):
        return Arrived(where, record.id, record.outcome, number, "line")
    document = record.outcome
    titled = replace(document, title=document.title or default_title(document.text))
    key = record.id or default_key(document.text)
    return Arrived(key, key, titled, number, "line")
