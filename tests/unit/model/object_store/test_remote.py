"""A storage in a bucket: what it says when it fails, and what it asks for."""

from __future__ import annotations

import os
import socket
import time
import uuid
from typing import Any

import pyarrow as pa
import pytest

from mplus_ray.model.errors import (
    InvalidInputError,
    StorageError,
)
from mplus_ray.model.object_store.object_store import ObjectStore, checksum
from tests.s3 import S3
from tests.unit.model.object_store.files import BODY, KIB, NAME


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
