"""Chunks are read before their turn, a bounded number of them, and come in order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.ledger.documents.chunks import Chunk
from mplus_ray.pipeline.writing.read_ahead import _AHEAD, ReadAhead


class Letters:
    """A token a letter."""

    header_tokens = 0

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


def chunks(count: int, read: list[int], fails_at: int = -1) -> Iterator[Chunk]:
    """Notes in `read` which were asked for."""
    for step in range(count):
        if step == fails_at:
            raise DocumentError("it cannot be read")
        read.append(step)
        yield Chunk(step, chr(97 + step))


@pytest.mark.parametrize("count", [0, 1, _AHEAD - 1, _AHEAD, _AHEAD + 1, 3 * _AHEAD])
def test_all_come_in_order_and_then_none(count: int, thread: ThreadPoolExecutor) -> None:
    ahead = ReadAhead(chunks(count, []), Letters(), thread)  # type: ignore[arg-type]
    found = [ready for _ in range(count) if (ready := ahead.next()) is not None]
    assert [chunk.step for chunk, _ in found] == list(range(count))
    assert [ids for _, ids in found] == [[97 + step] for step in range(count)]
    assert ahead.next() is None
    assert ahead.is_through


def test_no_more_is_read_than_two_groups(thread: ThreadPoolExecutor) -> None:
    read: list[int] = []
    ahead = ReadAhead(chunks(100, read), Letters(), thread)  # type: ignore[arg-type]
    thread.submit(int).result()  # the first group has been read
    assert read == list(range(_AHEAD))
    ahead.next()
    thread.submit(int).result()
    assert read == list(range(2 * _AHEAD))
    assert not ahead.is_through


def test_what_cannot_be_read_is_raised_in_its_turn(thread: ThreadPoolExecutor) -> None:
    ahead = ReadAhead(chunks(100, [], _AHEAD), Letters(), thread)  # type: ignore[arg-type]
    for _ in range(_AHEAD):
        assert ahead.next() is not None
    with pytest.raises(DocumentError, match="cannot be read"):
        ahead.next()
