"""Documents in bulk: a stream of lines or files, sent until all of it was read.

A service may stop in the middle, at a limit or because a connection broke; then its answer says
where to go on, or what was sent is sent again, which adds nothing that is there already.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

import httpx

from mplus_ray.services.client.requests import Patience, ServiceError, post

LINES = 10_000  # of one request
_BYTES = 64 * 2**20  # likewise
_IN_MEMORY = 8 * 2**20  # bytes of a request's lines; more lie in a temporary file
_PIECE = 1 << 16
_KEPT = 1000  # failures that are kept with their reasons
_PATH = "/v1/documents"
_NDJSON = {"content-type": "application/x-ndjson"}
_LINE = re.compile(r"line (\d+)(?=\W|$)")


@dataclass
class Sent:
    """What became of all that was sent.

    Attributes:
        read, taken_in, known, replaced, refused: documents, as `POST /v1/documents` counts them.
        failed: (source, reason) of the first that were refused; lines count from the first.
        refusals: how many were left out, by (kind, reason).
        requests: that were answered.
        min_step: ask with this `min_step`, and the answer has seen all of it.
    """

    read: int = 0
    taken_in: int = 0
    known: int = 0
    replaced: int = 0
    refused: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    requests: int = 0
    min_step: int = 0

    def add(self, answer: dict[str, Any], before: int = 0) -> None:
        """Count an answer, or the problem of a request of which nothing was taken in.

        Args:
            before: lines that came before its first one.
        """
        self.requests += 1
        failed = answer.get("failed") or []
        counted = sum(one["count"] for one in answer.get("refusals") or [])
        refused = answer.get("refused", counted)
        self.read += answer.get("read", refused)
        self.taken_in += answer.get("taken_in", 0)
        self.known += answer.get("known", 0)
        self.replaced += answer.get("replaced", 0)
        self.refused += refused
        self.min_step = max(self.min_step, answer.get("min_step", 0))
        for one in answer.get("refusals") or []:
            self.refusals[one["kind"], one["reason"]] += one["count"]
        # The last one may only say that the request ended early.
        for one in failed[: max(min(refused, _KEPT - len(self.failed)), 0)]:
            self.failed.append((_moved(one["source"], before), _moved(one["reason"], before)))


def send_lines(
    client: httpx.Client,
    stream: BinaryIO,
    *,
    lines: int = LINES,
    patience: Patience | None = None,
    on_answer: Callable[[Sent], None] = lambda sent: None,
    sent: Sent | None = None,
) -> Sent:
    """Send newline-delimited JSON until every line was read, in requests of bounded size.

    Args:
        client: with the service's URL and an `Authorization` header.
        stream: read once, a request at a time; it may be a pipe.
        lines: of one request; a service reads 100,000 at most and says where to go on.
        on_answer: called after each answer.
        sent: to be added to; None: a new one.

    Raises:
        ServiceError: the service refuses to go on, at a quota for instance. Sent again, what is
            there already counts for nothing.
    """
    sent = sent or Sent()
    before = 0
    while True:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as part:
            count = _fill(part, stream, lines)
            if not count:
                return sent
            _send_part(client, part, count, before, sent, patience or Patience(), on_answer)
        before += count


def send_file(
    client: httpx.Client, path: Path, name: str, sent: Sent, patience: Patience | None = None
) -> None:
    """Send one file, again while a service stops in the middle of it and more of it arrives.

    Args:
        name: its document's id.
        sent: is added to.

    Raises:
        ServiceError: the service refuses it.
    """
    patience = patience or Patience()
    while True:
        with path.open("rb") as file:

            def content(file: IO[bytes] = file) -> dict[str, Any]:
                file.seek(0)
                return {"files": [("files", (name, file))]}

            _, answer = post(client, _PATH, patience, content, (200, 202, 422))
        if answer.get("status") == 422 and not answer.get("failed"):
            raise ServiceError(f"the service refuses {name}: {answer.get('detail')}", 422, answer)
        sent.add(answer)
        if answer.get("complete", True):
            return
        if not answer.get("taken_in") and answer.get("retry_after") is None:
            last = answer["failed"][-1]
            raise ServiceError(f"{name} cannot be sent to its end: {last['reason']}")
        _wait(answer, patience)


def _fill(part: IO[bytes], stream: BinaryIO, most: int) -> int:
    """Copy so many lines; returns how many they are."""
    count = 0
    while count < most and part.tell() < _BYTES and (line := stream.readline()):
        part.write(line if line.endswith(b"\n") else line + b"\n")
        count += 1
    return count


def _send_part(
    client: httpx.Client,
    part: IO[bytes],
    count: int,
    before: int,
    sent: Sent,
    patience: Patience,
    on_answer: Callable[[Sent], None],
) -> None:
    """All lines of a part, from where each answer says to go on."""
    first = 0
    while first < count:
        skip = first

        def content(skip: int = skip) -> dict[str, Any]:
            return {"content": _from_line(part, skip), "headers": _NDJSON}

        status, answer = post(client, _PATH, patience, content, (200, 202, 422))
        if status == 422 and not answer.get("failed"):
            raise ServiceError(f"the service refuses it: {answer.get('detail')}", 422, answer)
        sent.add(answer, before + first)
        on_answer(sent)
        following = answer.get("next_line")
        if following is None:
            return
        if following <= 1:
            raise ServiceError(f"the service does not go on: {answer['failed'][-1]['reason']}")
        _wait(answer, patience)
        first += following - 1


def _from_line(part: IO[bytes], skip: int) -> Iterator[bytes]:
    """What follows so many lines, in pieces that are worth a packet."""
    part.seek(0)
    for _ in range(skip):
        part.readline()
    while piece := part.read(_PIECE):
        yield piece


def _wait(answer: dict[str, Any], patience: Patience) -> None:
    """As long as a service asks for that stopped at a limit."""
    seconds = answer.get("retry_after")
    if seconds is None:
        return
    if seconds > patience.seconds:
        raise ServiceError(
            f"the service goes on in {seconds:g} s: {answer['failed'][-1]['reason']}"
        )
    patience.sleep(seconds)


def _moved(text: str, before: int) -> str:
    """`line 3` as the line that it is of the whole stream."""
    return _LINE.sub(lambda found: f"line {int(found[1]) + before}", text, count=1)
