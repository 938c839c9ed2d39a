"""Files at a URL behave alike on a disk and in S3."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mplus_ray.model.errors import (
    DamagedFileError,
    InvalidInputError,
    MissingFileError,
    StorageError,
)
from mplus_ray.model.object_store.object_store import ObjectStore, checksum
from mplus_ray.model.object_store.range_cache import PAGE_BYTES, RangeCache
from tests.s3 import S3
from tests.unit.model.object_store.files import BODY, KIB, NAME


@pytest.fixture(params=["local", "s3", "cached s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return ObjectStore.open(str(tmp_path / "rows"))
    service: S3 = request.getfixturevalue("s3")
    cached = request.param == "cached s3"
    cache = RangeCache(tmp_path / "cache", 64 * PAGE_BYTES) if cached else None
    return ObjectStore.open(service.url(uuid.uuid4().hex), cache)


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


def test_a_local_file_can_be_mapped(local: ObjectStore, tmp_path: Path) -> None:
    local.put(NAME, BODY)
    assert local.local == tmp_path / "rows"
    path = local.path(NAME)
    assert path is not None
    with pa.memory_map(str(path)) as mapped:
        assert mapped.read() == BODY
