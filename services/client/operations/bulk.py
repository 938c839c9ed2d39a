"""Documents in bulk: a stream of lines, sent until all of it was read.

A service may stop in the middle, at a limit or because a connection broke; then its answer says
where to go on, or what was sent is sent again, which adds nothing that is there already.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import IO, Any, BinaryIO, Protocol

import httpx

from ..errors import ApiError, IncompleteError, error_of
from ..flow import Blocking, Flow, Sleep, operation
from ..models import NewDocument
from ..requests import Patience, plain, request
from .core import Core
from .sent import Sent

LINES = 10_000  # of one request
SILENCE = httpx.Timeout(900.0, connect=10.0)  # a stream may be slowed to a tenant's limits
_BYTES = 64 * 2**20  # of one request
_IN_MEMORY = 8 * 2**20  # bytes of a request's lines; more lie in a temporary file
_PIECE = 1 << 16
_PATH = "/v1/documents"
_NDJSON = {"content-type": "application/x-ndjson"}
_STREAM = "-"

OnAnswer = Callable[[Sent], None]


class Lines(Protocol):
    """What lines are read from."""

    def readline(self) -> bytes:
        """The next line; empty at the end."""
        ...


class Bulk(Core):
    """Streams of documents."""

    @operation
    def send_lines(
        self,
        stream: BinaryIO,
        *,
        lines: int = LINES,
        on_answer: OnAnswer | None = None,
        sent: Sent | None = None,
        name: str = _STREAM,
    ) -> Flow[Sent]:
        """Send newline-delimited JSON until every line was read, in requests of bounded size.

        Args:
            stream: read once, a request at a time; it may be a pipe.
            lines: of one request; a service reads 100,000 at most and says where to go on.
            on_answer: called after each answer.
            sent: to be added to; None: a new one. Of one that an earlier call left behind, the
                lines that were read then are passed over.
            name: that `sent.lines` knows the stream by.

        Raises:
            ClientError: the service refuses to go on, at a quota for instance. Sent again, what
                is there already counts for nothing.
        """
        sent = sent if sent is not None else Sent()
        yield from send_stream(self, stream, lines, on_answer, sent, name)
        return sent

    @operation
    def send_documents(
        self,
        documents: Iterable[NewDocument | Mapping[str, Any]],
        *,
        lines: int = LINES,
        on_answer: OnAnswer | None = None,
        sent: Sent | None = None,
    ) -> Flow[Sent]:
        """Send any number of documents; they are taken from the iterable as they are sent.

        Args:
            lines: documents of one request.
            on_answer: called after each answer.
            sent: to be added to, as of `send_lines`.

        Raises:
            ClientError: the service refuses to go on.
        """
        sent = sent if sent is not None else Sent()
        yield from send_stream(self, _Written(iter(documents)), lines, on_answer, sent, _STREAM)
        return sent


class _Written:
    """Documents as lines."""

    def __init__(self, documents: Iterator[NewDocument | Mapping[str, Any]]) -> None:
        self._documents = documents

    def readline(self) -> bytes:
        for document in self._documents:
            return json.dumps(plain(document), ensure_ascii=False).encode() + b"\n"
        return b""


def send_stream(
    core: Core, stream: Lines, lines: int, on_answer: OnAnswer | None, sent: Sent, name: str
) -> Flow[None]:
    """All lines of a stream, but those that were read before."""
    before = 0
    passed = sent.lines.get(name, 0)
    while before < passed and (yield Blocking(stream.readline)):
        before += 1
    while True:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as part:
            count = yield Blocking(partial(_fill, part, stream, lines))
            if not count:
                return
            yield from _send_part(core, part, count, before, on_answer, sent, name)
        before += count
        sent.lines[name] = before


def post(
    core: Core, options: Callable[[], dict[str, Any]], sent: Sent, documents: int
) -> Flow[httpx.Response]:
    """Send a body that can be sent again, and keep in mind what it holds until it is answered.

    Raises:
        ApiError: it was refused.
        UnreachableError: nobody answers.
    """
    sent.unanswered = documents
    try:
        return (yield from request(core.patience, "POST", _PATH, options, accepted=(422,)))
    except ApiError:
        sent.unanswered = 0
        raise


def go_on(answer: dict[str, Any], patience: Patience) -> Flow[None]:
    """Wait as long as a service asks for that stopped at a limit.

    Raises:
        IncompleteError: that is longer than there is patience for.
    """
    seconds = answer.get("retry_after")
    if seconds is None:
        return
    if seconds > patience.seconds:
        reason = answer["failed"][-1]["reason"]
        raise IncompleteError(
            f"the service goes on in {seconds:g} s: {reason}", retry_after=seconds
        )
    yield Sleep(seconds)


def _fill(part: IO[bytes], stream: Lines, most: int) -> int:
    """Copy so many lines; returns how many they are."""
    count = 0
    while count < most and part.tell() < _BYTES and (line := stream.readline()):
        part.write(line if line.endswith(b"\n") else line + b"\n")
        count += 1
    return count


def _send_part(
    core: Core,
    part: IO[bytes],
    count: int,
    before: int,
    on_answer: OnAnswer | None,
    sent: Sent,
    name: str,
) -> Flow[None]:
    """All lines of a part, from where each answer says to go on."""
    first = 0
    while first < count:

        def options(skip: int = first) -> dict[str, Any]:
            return {"content": _from_line(part, skip), "headers": _NDJSON, "timeout": SILENCE}

        said = yield from post(core, options, sent, count - first)
        answer = said.json()
        if said.status_code == 422 and not answer.get("failed"):
            raise error_of(said)
        sent.add(answer, before + first)
        following = answer.get("next_line")
        read = count - first if following is None else following - 1
        sent.lines[name] = before + first + read
        if on_answer is not None:
            on_answer(sent)
        if following is None:
            return
        if read <= 0:
            reason = answer["failed"][-1]["reason"]
            raise IncompleteError(f"the service does not go on: {reason}")
        yield from go_on(answer, core.patience)
        first += read


def _from_line(part: IO[bytes], skip: int) -> Iterator[bytes]:
    """What follows so many lines, in pieces that are worth a packet."""
    part.seek(0)
    for _ in range(skip):
        part.readline()
    while piece := part.read(_PIECE):
        yield piece
