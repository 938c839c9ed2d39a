"""Files at a URL behave alike on a disk and in S3; the cache never answers wrongly."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tests.s3
from mplus_ray.model.errors import (
    DamagedFileError,
    InvalidInputError,
    MissingFileError,
    StorageError,
)
from mplus_ray.model.object_store.failures import refusals, refusals_of
from mplus_ray.model.object_store.object_store import ObjectStore, checksum
from mplus_ray.model.object_store.range_cache import PAGE_BYTES, RangeCache
from tests.paths import ROOT
from tests.s3 import S3

s3 = tests.s3.s3

KIB = 1024
BODY = os.urandom(3 * PAGE_BYTES + 1234)
NAME = "tenant/head/00000001-rows-0.arrow"


@pytest.fixture(params=["local", "s3", "cached s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return ObjectStore.open(str(tmp_path / "rows"))
    service: S3 = request.getfixturevalue("s3")
    cached = request.param == "cached s3"
    cache = RangeCache(tmp_path / "cache", 64 * PAGE_BYTES) if cached else None
    return ObjectStore.open(service.url(uuid.uuid4().hex), cache)


@pytest.fixture
def local(tmp_path: Path) -> ObjectStore:
    return ObjectStore.open(f"file://{tmp_path}/rows")


def test_a_file_comes_back(files: ObjectStore) -> None:
    files.put(NAME, pa.py_buffer(BODY))
    assert files.read(NAME).to_pybytes() == BODY
    assert files.size(NAME) == len(BODY)
    assert files.exists(NAME)
    assert not files.exists("tenant/head")  # a folder is no file
    assert files.checksum_of(NAME) == checksum(BODY) == checksum(pa.py_buffer(BODY))


def test_an_empty_file_comes_back(files: ObjectStore) -> None:
    files.put(NAME, b"")
    assert files.read(NAME).size == files.size(NAME) == 0
    assert files.exists(NAME)
    assert files.read_ranges(NAME, [(0, 0)])[0].size == 0


def test_a_file_is_never_overwritten(files: ObjectStore) -> None:
    files.put(NAME, b"first")
    with pytest.raises(StorageError, match="exists already"):
        files.put(NAME, b"second")
    assert files.read(NAME).to_pybytes() == b"first"
    assert list(files.list()) == [(NAME, 5)]


def test_the_list_has_names_and_sizes(files: ObjectStore) -> None:
    assert list(files.list()) == []
    for name, size in {"a/x": 1, "a/y": 2, "ab": 3, "b/c/z": 4}.items():
        files.put(name, bytes(size))
    assert sorted(files.list()) == [("a/x", 1), ("a/y", 2), ("ab", 3), ("b/c/z", 4)]
    assert sorted(files.list("a")) == [("a/x", 1), ("a/y", 2), ("ab", 3)]
    assert sorted(files.list("a/")) == [("a/x", 1), ("a/y", 2)]
    assert sorted(files.list("b/c/z")) == [("b/c/z", 4)]
    assert list(files.list("none/")) == []


def test_deleting_is_idempotent(files: ObjectStore) -> None:
    files.put(NAME, BODY)
    files.put("tenant/other", BODY)
    files.read_ranges(NAME, [(0, 10)])
    files.delete([NAME, NAME, "never/was"])
    assert not files.exists(NAME)
    assert [name for name, _ in files.list()] == ["tenant/other"]
    with pytest.raises(MissingFileError, match="does not exist"):
        files.read(NAME)
    with pytest.raises(MissingFileError):
        files.size(NAME)
    with pytest.raises(MissingFileError):
        files.read_ranges(NAME, [(0, 10)])
    with pytest.raises(MissingFileError):
        files.checksum_of(NAME)


def test_a_tree_is_deleted_and_nothing_beside_it(files: ObjectStore) -> None:
    for name in ("t/1/a", "t/1/b/c", "t/10", "u"):
        files.put(name, BODY)
    files.delete_tree("t/1")
    files.delete_tree("t/1/")
    assert sorted(name for name, _ in files.list()) == ["t/10", "u"]


@pytest.mark.parametrize(
    "name", ["", "/etc/x", "../x", "a/../../x", "a//b", "a/", "./a", "a\\b", "a\0b"]
)
def test_names_stay_below_the_root(local: ObjectStore, name: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: local.put(name, b""),
        lambda: local.path(name),
        lambda: local.read(name),
        lambda: local.read_ranges(name, [(0, 1)]),
        lambda: local.size(name),
        lambda: local.exists(name),
        lambda: local.checksum_of(name),
        lambda: local.delete([name]),
    ]
    for call in calls:
        with pytest.raises(InvalidInputError, match="no file name"):
            call()


def test_a_prefix_stays_below_the_root(local: ObjectStore) -> None:
    with pytest.raises(InvalidInputError):
        list(local.list("../"))
    for prefix in ("..", "", "/"):
        with pytest.raises(InvalidInputError):
            local.delete_tree(prefix)


# --- ranges


@pytest.fixture(scope="module", params=["local", "s3", "cached s3"])
def ranged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    folder = tmp_path_factory.mktemp("ranged")
    if request.param == "local":
        files = ObjectStore.open(str(folder))
    else:
        cache = RangeCache(folder, 8 * PAGE_BYTES) if request.param == "cached s3" else None
        files = ObjectStore.open(request.getfixturevalue("s3").url(uuid.uuid4().hex), cache)
    files.put(NAME, BODY)
    return files


spans = st.integers(0, len(BODY)).flatmap(
    lambda start: st.tuples(st.just(start), st.integers(0, min(len(BODY) - start, 300 * KIB)))
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ranges=st.lists(spans, max_size=8))
def test_ranges_are_slices(ranged: ObjectStore, ranges: list[tuple[int, int]]) -> None:
    found = ranged.read_ranges(NAME, ranges)
    assert [part.to_pybytes() for part in found] == [BODY[o : o + n] for o, n in ranges]


@pytest.mark.parametrize("span", [(len(BODY) - 1, 2), (len(BODY) + PAGE_BYTES, 1)])
def test_a_file_that_ends_too_early_is_damaged(ranged: ObjectStore, span: tuple[int, int]) -> None:
    with pytest.raises(DamagedFileError, match="ends before byte"):
        ranged.read_ranges(NAME, [(0, 5), span])


@pytest.mark.parametrize("span", [(-1, 2), (0, -1)])
def test_a_negative_range_is_refused(ranged: ObjectStore, span: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError, match="negative"):
        ranged.read_ranges(NAME, [span])


# --- on a disk


def test_a_local_file_can_be_mapped(local: ObjectStore, tmp_path: Path) -> None:
    local.put(NAME, BODY)
    assert local.local == tmp_path / "rows"
    path = local.path(NAME)
    assert path is not None
    with pa.memory_map(str(path)) as mapped:
        assert mapped.read() == BODY


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*"))


def place(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def test_a_full_disk_leaves_nothing(
    local: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    local.put("kept", b"kept")
    before = everything(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="free some space"):
        local.put(NAME, BODY)
    assert everything(tmp_path) == before


def test_a_name_that_cannot_be_made_durable_is_taken_back(
    local: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def broken_for_folders(descriptor: int) -> None:
        if place(descriptor).endswith("head"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    local.put("kept", b"kept")
    before = everything(tmp_path)
    monkeypatch.setattr(os, "fsync", broken_for_folders)
    with pytest.raises(StorageError, match="Input/output error"):
        local.put(NAME, BODY)
    assert everything(tmp_path) == before


def test_a_write_that_stops_half_way_leaves_nothing(local: ObjectStore, tmp_path: Path) -> None:
    local.put("kept", b"kept")
    before = everything(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * KIB, hard))
    try:
        with pytest.raises(StorageError, match="limit"):
            local.put(NAME, BODY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert everything(tmp_path) == before


def test_every_new_folder_is_flushed(
    local: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        flushed.append(place(descriptor))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    local.put(NAME, BODY)
    rows = tmp_path / "rows"
    folders = {str(rows / "tenant/head"), str(rows / "tenant"), str(rows), str(tmp_path)}
    assert flushed[0].endswith(".tmp")
    assert flushed[1] == str(rows / "tenant/head")
    assert set(flushed[1:]) == folders
    flushed.clear()
    local.put("tenant/head/second", BODY)
    assert flushed[1:] == [str(rows / "tenant/head")]


def test_a_file_system_without_links(local: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    local.put(NAME, BODY)
    assert list(local.list()) == [(NAME, len(BODY))]


def test_a_name_taken_while_writing_is_refused(
    local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def slow(source: Path, target: Path) -> None:
        target.write_bytes(b"theirs")
        link(source, target)

    monkeypatch.setattr(os, "link", slow)
    with pytest.raises(StorageError, match="exists already"):
        local.put(NAME, BODY)
    assert local.read(NAME).to_pybytes() == b"theirs"
    assert list(local.list()) == [(NAME, 6)]


def test_a_folder_that_another_process_removes_is_made_again(
    local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open
    removed: list[Path] = []

    def late(self: Path, mode: str) -> object:
        if not removed and self.suffix == ".tmp":
            self.parent.rmdir()
            removed.append(self)
        return opened(self, mode)

    monkeypatch.setattr(Path, "open", late)
    local.put(NAME, BODY)
    assert removed
    assert local.read(NAME).to_pybytes() == BODY


def test_empty_folders_go_and_the_root_stays(local: ObjectStore, tmp_path: Path) -> None:
    local.put(NAME, BODY)
    local.put("tenant/other", BODY)
    local.delete([NAME])
    assert everything(tmp_path / "rows") == [
        tmp_path / "rows/tenant",
        tmp_path / "rows/tenant/other",
    ]
    local.delete_tree("tenant")
    assert everything(tmp_path) == [tmp_path / "rows"]


def test_a_half_written_file_is_listed_and_can_be_deleted(
    local: ObjectStore, tmp_path: Path
) -> None:
    local.put(NAME, BODY)
    half = tmp_path / "rows/tenant/head/b.0.tmp"
    half.write_bytes(b"123")
    assert ("tenant/head/b.0.tmp", 3) in set(local.list("tenant/"))
    local.delete(["tenant/head/b.0.tmp"])
    assert not half.exists()


def test_a_path_that_cannot_hold_files_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=f"{tmp_path}/file"):
        ObjectStore.open(str(tmp_path / "file")).put("a", b"")


# --- URLs and remote refusals


@pytest.mark.parametrize("url", ["", "http://x/y", "s3://", "s3://b/p?colour=red", "file://host/x"])
def test_what_names_no_storage_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"storage|bucket"):
        ObjectStore.open(url)


def test_secrets_of_a_url_are_not_shown(s3: S3) -> None:
    url = s3.url("p", bucket="missing-bucket").replace("s3://", "s3://key:hush@")
    with pytest.raises(StorageError) as refusal:
        ObjectStore.open(url).put("a", b"x")
    assert "hush" not in str(refusal.value)


def test_a_missing_bucket_is_named(s3: S3) -> None:
    files = ObjectStore.open(s3.url("p", bucket="missing-bucket"))
    assert files.local is None
    assert files.path("a") is None
    with pytest.raises(StorageError, match="make the bucket"):
        files.put("a", b"x")
    with pytest.raises(StorageError, match="no bucket missing-bucket"):
        list(files.list())


def test_an_unreachable_endpoint_fails_soon(s3: S3) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = S3(f"127.0.0.1:{nobody.getsockname()[1]}").url("p")
        start = time.monotonic()
        with pytest.raises(StorageError, match="cannot be reached"):
            ObjectStore.open(url).exists("a")
    assert time.monotonic() - start < 6


def test_a_large_upload_is_whole(s3: S3) -> None:
    files = ObjectStore.open(s3.url(uuid.uuid4().hex))
    body = pa.py_buffer(os.urandom(12 * KIB * KIB))  # several parts
    files.put(NAME, body)
    assert files.checksum_of(NAME) == checksum(body)


def test_an_upload_that_stops_half_way_leaves_nothing(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.s3.models import S3Backend

    parts: list[int] = []
    upload_part = S3Backend.upload_part

    def only_the_first(self: S3Backend, *args: Any, **named: Any) -> Any:
        parts.append(named.get("part_id", args[2] if len(args) > 2 else 0))
        if len(set(parts)) > 1:
            raise OSError("the disk of the service is full")
        return upload_part(self, *args, **named)

    monkeypatch.setattr(S3Backend, "upload_part", only_the_first)
    files = ObjectStore.open(s3.url(uuid.uuid4().hex))
    with pytest.raises(StorageError):
        files.put(NAME, bytes(30 * KIB * KIB))
    assert len(set(parts)) > 1
    assert not files.exists(NAME)
    assert list(files.list()) == []


def test_neighbouring_ranges_are_one_request(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ObjectStore.open(s3.url(uuid.uuid4().hex))
    files.put(NAME, BODY)
    reads: list[tuple[int, int]] = []

    class Noting:
        def size(self) -> int:
            return len(BODY)

        def read_at(self, length: int, offset: int) -> bytes:
            reads.append((offset, length))
            return BODY[offset : offset + length]

    monkeypatch.setattr(files._store, "_file", lambda _: Noting())
    files.read_ranges(NAME, [(70 * KIB, KIB), (0, 10 * KIB), (200 * KIB, KIB), (5, 5)])
    assert sorted(reads) == [(0, 71 * KIB), (200 * KIB, KIB)]


# --- the cache


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


class TestRefusals:
    """One kind of error, whoever was refused: what, why, and what to do."""

    @pytest.mark.parametrize(
        ("number", "otherwise", "advice"),
        [
            (errno.ENOSPC, "", "free some space"),
            (errno.ENOSPC, "name another folder", "free some space, or name another folder"),
            (errno.EACCES, "", "give this user access to it, or name another folder"),
            (errno.EROFS, "use --out", "give this user access to it, or use --out"),
            (errno.ENOENT, "", "make its folder, or name another"),
            (errno.EIO, "use --out", "use --out"),
            (errno.EIO, "", "check the storage, then try again"),
        ],
    )
    def test_what_to_do(self, number: int, otherwise: str, advice: str) -> None:
        with pytest.raises(StorageError) as caught, refusals_of("x cannot be written", otherwise):
            raise OSError(number, os.strerror(number))
        assert str(caught.value) == f"x cannot be written: {os.strerror(number)}; {advice}"

    def test_a_file_that_is_missing_is_told_from_the_rest(self) -> None:
        with (
            pytest.raises(MissingFileError, match="store/a does not exist"),
            refusals("store", "a"),
        ):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
