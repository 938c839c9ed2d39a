"""Compressed bodies are what they are when they are not, and no larger than that may be."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterator

import pytest

from mplus_ray.services.api.compressed_body import Expander
from mplus_ray.services.api.deps import Limits
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

MOST = 4 << 20
TEXT = {"id": "owl", "text": "The owl is brown. " * 200}


def raw_deflate(data: bytes) -> bytes:
    packed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packed.compress(data) + packed.flush()


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("GZip", gzip.compress),
    ("identity, gzip", gzip.compress),
    ("gzip", lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("compressed")
    limits = Limits(json_bytes=MOST, upload_bytes=MOST, parse_seconds=20.0)
    with serving(load_model(folder / "checkpoint"), folder, limits=limits, loopback=True) as world:
        yield world


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
def test_a_compressed_body_is_read(
    api: ApiWorld, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    headers = api.fresh()
    sent = {**headers, "content-encoding": coding, "content-type": "application/json"}
    content = pack(json.dumps(TEXT).encode())
    answer = api.client.post("/v1/documents", content=content, headers=sent)
    assert answer.status_code == 202, answer.text
    assert api.log(headers).text("owl") == TEXT["text"]


def test_lines_files_and_questions_may_be_compressed(api: ApiWorld) -> None:
    headers = {**api.fresh(), "content-encoding": "gzip"}
    lines = b"".join(b'{"id": "%d", "text": "Keeper %d waits."}\n' % (n, n) for n in range(300))
    sent = {**headers, "content-type": "application/x-ndjson"}
    answer = api.client.post("/v1/documents", content=gzip.compress(lines), headers=sent)
    assert answer.json()["taken_in"] == 300
    form = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
        b"The raven is black.\r\n--x--\r\n"
    )
    sent = {**headers, "content-type": "multipart/form-data; boundary=x"}
    answer = api.client.post("/v1/documents", content=gzip.compress(form), headers=sent)
    assert answer.json()["id"] == "a.txt", answer.text
    question = gzip.compress(b'{"query": "Who is black?"}')
    sent = {**headers, "content-type": "application/json"}
    assert api.client.post("/v1/search", content=question, headers=sent).status_code == 200


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/plain"])
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_what_expands_beyond_the_limit_is_refused_on_the_way(
    api: ApiWorld, kind: str, pack: Callable[[bytes], bytes]
) -> None:
    """What is beyond is not even expanded."""
    coding = "gzip" if pack is gzip.compress else "deflate"
    bomb = pack(b" " * (256 << 20))
    assert len(bomb) < MOST
    headers = {**api.fresh(), "content-encoding": coding, "content-type": kind}
    began = time.monotonic()
    answer = api.client.post("/v1/documents", content=bomb, headers=headers)
    assert answer.status_code == 413, answer.text
    assert f"larger than {MOST:,} bytes" in answer.json()["detail"]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("coding", "content", "why"),
    [
        ("gzip", b"{}", "is not gzip"),
        ("gzip", gzip.compress(b"x" * 9000, mtime=0)[:-9], "breaks off"),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more", "is not gzip"),
        ("deflate", zlib.compress(b"{}") + b"more", "something follows"),
        ("deflate", b"\xff\xff\xff", "is not deflate"),
    ],
)
def test_what_is_not_what_it_says_is_refused(
    api: ApiWorld, coding: str, content: bytes, why: str
) -> None:
    headers = {**api.fresh(), "content-encoding": coding, "content-type": "application/json"}
    for path in ("/v1/documents", "/v1/query", "/v1/chat/completions"):
        answer = api.client.post(path, content=content, headers=headers)
        assert answer.status_code == 400, (path, answer.text)
        assert why in answer.text


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "deflate, gzip"])
def test_other_codings_are_named_as_such(api: ApiWorld, coding: str) -> None:
    headers = {**api.fresh(), "content-encoding": coding}
    answer = api.client.post("/v1/documents", content=b"x", headers=headers)
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip, deflate"


def test_the_key_is_checked_before_anything_is_expanded(api: ApiWorld) -> None:
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    assert api.client.post("/v1/documents", content=b"no gzip", headers=headers).status_code == 401


def test_pieces_are_bounded_and_complete() -> None:
    data = bytes(5 << 20) + b"end"
    expander, found = Expander("gzip"), []
    packed = gzip.compress(data)
    for start in range(0, len(packed), 100):
        expander.feed(packed[start : start + 100])
        while piece := expander.next_piece():
            found.append(piece)
    expander.end()
    assert b"".join(found) == data
    assert max(map(len, found)) <= 1 << 20
