"""Which sources can be divided among processes, and what is said of the others."""

from __future__ import annotations

import io
from collections import deque
from pathlib import Path

import pytest

from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.pipeline.ingest.parallel_parsing import (
    Parallel,
    _parse,
    _parse_many,
    _Parsed,
    _Task,
    count_workers,
    parsed_by,
)
from mplus_ray.pipeline.sources import Finished, Until, divided, open_sources
from mplus_ray.pipeline.sources.files import local_file
from mplus_ray.pipeline.sources.resolve import InTurn
from mplus_ray.pipeline.sources.stdin import JsonLines


@pytest.mark.parametrize("text", ["2", "16", "64"])
def test_a_number_is_that_many(text: str) -> None:
    assert count_workers(text) == int(text)


def test_auto_is_at_least_two() -> None:
    assert 2 <= count_workers("auto") <= 64


@pytest.mark.parametrize("text", ["", "0", "1", "-2", "65", "two", "2.5", "²"])
def test_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="give `auto` or a number from 2 to 64"):
        count_workers(text)


def test_files_and_buckets_are_divided(tmp_path: Path) -> None:
    for name in ("a.txt", "b.jsonl"):
        (tmp_path / name).write_text("x")
    files = divided(open_sources([str(tmp_path)]))
    assert files is not None
    assert [file.name for file in files] == [str(tmp_path / "a.txt"), str(tmp_path / "b.jsonl")]
    assert divided(open_sources([str(tmp_path), "s3://bucket/x"])) is not None


def test_streams_are_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    files = open_sources([str(tmp_path / "a.txt")])
    for stream in (
        JsonLines(io.BytesIO()),
        open_sources(["kafka://host:1/t?group=g"]),
        open_sources([str(tmp_path)], follow=True, until=Until()),
        InTurn([files, JsonLines(io.BytesIO())]),
    ):
        with (
            pytest.raises(InvalidInputError, match="--parse-workers is for files and buckets"),
            parsed_by(2, stream),
        ):
            pytest.fail("it began")


def test_a_worker_hands_over_what_the_source_would(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.txt", tmp_path / "b.txt"
    good.write_text("The raven is black.")
    bad.write_bytes(b"\xff")
    (piece,) = _parse(local_file(good, key="mine"))
    assert isinstance(piece, _Parsed)
    assert (piece.source, piece.key, piece.load().text) == (
        str(good),
        "mine",
        "The raven is black.",
    )
    (piece,) = _parse(local_file(bad))
    assert isinstance(piece, _Parsed)
    with pytest.raises(DocumentError, match="not valid UTF-8"):
        piece.load()


def test_a_file_of_many_comes_in_messages_of_bounded_size(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    file.write_text(
        "".join(f'{{"text": "document {n}"}}\n' for n in range(150))
        + f'{{"text": "{"long " * 300_000}"}}\n' * 3
    )
    messages = list(_parse_many(local_file(file)))
    assert [len(message) for message in messages] == [64, 64, 23, 1, 1, 1]
    pieces = [piece for message in messages for piece in message]
    assert pieces[-1] == Finished(str(file))
    assert [piece.source for piece in pieces[:-1]] == [f"{file}#{n}" for n in range(1, 154)]


def test_streams_leave_a_worker_to_the_others(tmp_path: Path) -> None:
    """All workers with files that stand still would be a deadlock."""
    one, many = local_file(tmp_path / "a.txt"), local_file(tmp_path / "b.jsonl")
    parallel = Parallel(open_sources(["s3://bucket/x"]), 3)
    window = deque([_Task(one, None), _Task(many, None)])
    assert parallel._has_room(window, many)
    window.append(_Task(many, None))
    assert not parallel._has_room(window, many)
    assert parallel._has_room(window, one)
    window.extend(_Task(one, None) for _ in range(9))
    assert not parallel._has_room(window, one)
