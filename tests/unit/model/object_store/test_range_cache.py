"""The cache of remote ranges never answers wrongly, and keeps its bound."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from mplus_ray.model.errors import (
    StorageError,
)
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.object_store.range_cache import PAGE_BYTES, RangeCache
from tests.paths import ROOT
from tests.s3 import S3
from tests.unit.model.object_store.files import BODY


class Remote:
    """A file far away that counts what is asked of it."""

    def __init__(self, body: bytes = BODY) -> None:
        self.body = body
        self.spans: list[tuple[int, int]] = []

    def __call__(self, spans: Sequence[tuple[int, int]]) -> list[pa.Buffer]:
        self.spans += spans
        return [pa.py_buffer(self.body[offset : offset + length]) for offset, length in spans]


def read(cache: RangeCache, remote: Remote, *spans: tuple[int, int], name: str = "a") -> None:
    found = cache.read(name, spans, remote)
    assert [part.to_pybytes() for part in found] == [remote.body[o : o + n] for o, n in spans]


def used(folder: Path) -> int:
    """Bytes on the disk under the cache's folder, without its two small files and folders."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent != folder]
    return sum(path.stat().st_blocks * 512 for path in files)


def test_a_page_is_fetched_once(tmp_path: Path) -> None:
    cache, remote = RangeCache(tmp_path, 64 * PAGE_BYTES), Remote()
    read(cache, remote, (10, 20), (PAGE_BYTES - 5, 10), (len(BODY) - 3, 3))
    assert remote.spans == [(0, 2 * PAGE_BYTES), (3 * PAGE_BYTES, PAGE_BYTES)]
    remote.spans.clear()
    read(cache, remote, (0, 2 * PAGE_BYTES), (len(BODY) - 1000, 1000))
    read(RangeCache(tmp_path, 64 * PAGE_BYTES), remote, (100, 100))
    assert remote.spans == []
    read(cache, remote, (0, len(BODY)))
    assert remote.spans == [(2 * PAGE_BYTES, PAGE_BYTES)]


def test_the_cache_keeps_its_bound_and_what_was_used_last(tmp_path: Path) -> None:
    bound = 12 * PAGE_BYTES
    cache, remote = RangeCache(tmp_path, bound), Remote()
    for name in "abcdefgh":
        read(cache, remote, (0, len(BODY)), name=name)
        assert used(tmp_path) <= bound
        read(cache, remote, (0, 1), name="a")
    remote.spans.clear()
    read(cache, remote, (0, 1), name="a")
    read(cache, remote, (0, len(BODY)), name="h")
    assert remote.spans == []
    read(cache, remote, (0, 1), name="b")
    assert remote.spans


def test_a_read_larger_than_the_cache_is_answered(tmp_path: Path) -> None:
    cache, remote = RangeCache(tmp_path, 2 * PAGE_BYTES), Remote()
    read(cache, remote, (0, len(BODY)))
    assert 0 < used(tmp_path) <= 2 * PAGE_BYTES


def test_what_a_killed_process_left_is_counted_and_goes(tmp_path: Path) -> None:
    cache, remote = RangeCache(tmp_path, 6 * PAGE_BYTES), Remote()
    read(cache, remote, (0, len(BODY)))
    (page,) = tmp_path.rglob("2")
    half = page.with_name("2.0.tmp")
    half.write_bytes(bytes(4 * PAGE_BYTES))
    (tmp_path / "bytes").unlink()
    read(cache, remote, (0, len(BODY)), name="b")
    assert not half.exists()
    assert used(tmp_path) <= 6 * PAGE_BYTES


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other page", "gone"])
def test_a_damaged_page_is_fetched_again(tmp_path: Path, damage: str) -> None:
    cache, remote = RangeCache(tmp_path, 64 * PAGE_BYTES), Remote()
    read(cache, remote, (0, len(BODY)))
    (page,) = tmp_path.rglob("1")
    raw = page.read_bytes()
    (other,) = tmp_path.rglob("0")
    if damage == "gone":
        page.unlink()
    else:
        flipped = bytes([raw[0] ^ 1]) + raw[1:]
        page.write_bytes(
            {"flip": flipped, "cut": raw[:100], "empty": b"", "other page": other.read_bytes()}[
                damage
            ]
        )
    remote.spans.clear()
    read(cache, remote, (0, len(BODY)))
    assert remote.spans == [(PAGE_BYTES, PAGE_BYTES)]
    assert page.read_bytes() == raw


def test_a_forgotten_file_leaves_no_page(tmp_path: Path) -> None:
    cache, remote = RangeCache(tmp_path, 64 * PAGE_BYTES), Remote()
    read(cache, remote, (0, len(BODY)))
    read(cache, remote, (0, 5), name="b")
    cache.forget("a")
    cache.forget("never read")
    assert len(list(tmp_path.rglob("0"))) == 1
    assert used(tmp_path) == int((tmp_path / "bytes").read_text())


def test_a_read_under_way_does_not_bring_forgotten_pages_back(tmp_path: Path) -> None:
    cache, remote = RangeCache(tmp_path, 64 * PAGE_BYTES), Remote()

    def slow(spans: Sequence[tuple[int, int]]) -> list[pa.Buffer]:
        found = remote(spans)
        RangeCache(tmp_path, 64 * PAGE_BYTES).forget("a")  # by another process, meanwhile
        return found

    assert cache.read("a", [(0, 3)], slow)[0].to_pybytes() == BODY[:3]
    assert used(tmp_path) == 0


def test_deleting_a_remote_file_empties_its_cache(s3: S3, tmp_path: Path) -> None:
    files = ObjectStore.open(s3.url(uuid.uuid4().hex), RangeCache(tmp_path, 64 * PAGE_BYTES))
    for name in ("a", "t/b"):
        files.put(name, BODY)
        files.read_ranges(name, [(0, len(BODY))])
    files.delete(["a"])
    assert 0 < used(tmp_path) < 2 * len(BODY)
    files.delete_tree("t")
    assert used(tmp_path) == 0


def test_a_cache_that_cannot_write_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache, remote = RangeCache(tmp_path, 64 * PAGE_BYTES), Remote()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    read(cache, remote, (0, 100))
    assert "No space left" in caplog.text
    assert used(tmp_path) == 0


def test_a_cache_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot hold the cache"):
        RangeCache(tmp_path / "file", 1)


_WORKER = """
import random, sys
from pathlib import Path
import pyarrow as pa
from mplus_ray.model.object_store.range_cache import PAGE_BYTES, RangeCache

folder, body, seed = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), int(sys.argv[3])
cache, dice = RangeCache(folder, 12 * PAGE_BYTES), random.Random(seed)
fetch = lambda spans: [pa.py_buffer(body[o : o + n]) for o, n in spans]
for turn in range(100):
    start = dice.randrange(len(body))
    length = dice.randrange(len(body) - start)
    name = dice.choice("abcdef")
    (found,) = cache.read(name, [(start, length)], fetch)
    assert found.to_pybytes() == body[start : start + length], (turn, start, length)
    if turn % 10 == 9:
        with cache._locked():
            total = sum(path.stat().st_blocks * 512 for path in folder.glob("*/*"))
            assert total <= 12 * PAGE_BYTES, total
"""


def test_two_processes_share_the_cache(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "body").write_bytes(BODY)
    command = [sys.executable, "-c", _WORKER, str(cache), str(tmp_path / "body")]
    root = ROOT
    workers = [
        subprocess.Popen([*command, seed], cwd=root, stderr=subprocess.PIPE) for seed in "12"
    ]
    for worker in workers:
        _, said = worker.communicate(timeout=60)
        assert worker.returncode == 0, said.decode()
    assert 0 < used(cache) <= 12 * PAGE_BYTES
    assert not list(cache.rglob("*.tmp"))
