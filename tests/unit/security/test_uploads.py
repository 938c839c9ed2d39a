"""Hostile uploads over a real connection: the server stays up, and no file of them stays."""

from __future__ import annotations

import gzip
import io
import json
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from reportlab.pdfgen import canvas

from mplus_ray.services.api.deps import Limits
from tests.api_world import SECONDS, ApiWorld, serving, until
from tests.worlds import load_model

EDGE = "edge"
FORM = {"content-type": f"multipart/form-data; boundary={EDGE}"}
LIMITS = Limits(parse_seconds=20.0, text_characters=8_000, documents=50, parse_bytes=1 << 30)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("hostile")
    model = load_model(folder / "checkpoint")
    with serving(model, folder, limits=LIMITS, writer=False, loopback=True) as world:
        yield world


@pytest.fixture(autouse=True)
def _up_and_clean(api: ApiWorld) -> Iterator[None]:
    """After every upload the server answers, and its spool is as it was."""
    before = {path.name for path in api.world.data.iterdir()}
    yield
    assert api.client.get("/healthz").status_code == 200
    until(lambda: not list(api.world.data.glob("mplus-*")))
    known = before | {"ledger.db-wal", "ledger.db-shm"}
    assert {path.name for path in api.world.data.iterdir()} <= known
    headers = api.fresh()
    good = upload(api, headers, "good.txt", b"Good.")
    assert good.status_code == 202, good.text


def upload(api: ApiWorld, headers: dict[str, str], name: str, content: bytes) -> Any:
    return api.client.post("/v1/documents", files=[("files", (name, content))], headers=headers)


def part(disposition: str, content: bytes = b"A text.") -> bytes:
    """A part with just this header, as no library would write it."""
    return f"--{EDGE}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"


def send_form(api: ApiWorld, headers: dict[str, str], *parts: bytes, end: bool = True) -> Any:
    body = b"".join(parts) + (f"--{EDGE}--\r\n".encode() if end else b"")
    return api.client.post("/v1/documents", content=body, headers={**headers, **FORM})


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('filename="../../etc/passwd.txt"', "passwd.txt"),
        ('filename="/etc/passwd.txt"', "passwd.txt"),
        ('filename="..\\\\..\\\\windows\\\\x.txt"', "x.txt"),
        ('filename="C:\\x.txt"', "x.txt"),
        ('filename="%2e%2e%2fpasswd.txt"', "%2e%2e%2fpasswd.txt"),
        ("filename*=utf-8''..%2f..%2fetc%2fpasswd.txt", "passwd.txt"),
        ('filename="x\0.txt"', "x.txt"),
        ('filename="x.exe\0.txt"', "x.exe.txt"),
        ('filename="<img src=x onerror=go()>.txt"', "<img src=x onerror=go()>.txt"),
        ('filename="; drop table documents.txt"', "; drop table documents.txt"),
        ('filename="' + "x" * 2000 + '.txt"', None),
        ('filename=".txt"', ".txt"),
        ('filename="a.txt/."', None),
        ('filename=""', None),
        ("filename=a.txt; filename=b.txt", None),
    ],
)
def test_a_name_in_a_form_is_a_name_at_most(api: ApiWorld, written: str, kept: str | None) -> None:
    headers = api.fresh()
    answer = send_form(api, headers, part(f'form-data; name="files"; {written}'))
    assert answer.status_code in (202, 400, 422), answer.text
    listed = api.client.get("/v1/documents", headers=headers).json()["documents"]
    for one in listed:
        assert "/" not in one["id"]
        assert len(one["id"]) <= 200
        assert one["id"].isprintable()
    if kept is not None and answer.status_code == 202:
        assert [one["id"] for one in listed] == [kept]
    assert str(api.world.data) not in answer.text


@pytest.mark.parametrize(
    "disposition",
    ["", "form-data", 'form-data; name="files', "attachment", "form-data; name=" + "x" * 20_000],
)
def test_a_part_that_is_none(api: ApiWorld, disposition: str) -> None:
    answer = send_form(api, api.fresh(), part(disposition))
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_many_tiny_parts(api: ApiWorld) -> None:
    fields = [part(f'form-data; name="f{number}"', b"") for number in range(5000)]
    answer = send_form(api, api.fresh(), *fields)
    assert answer.status_code == 400
    files = [part(f'form-data; name="files"; filename="{n}.txt"', b"") for n in range(2000)]
    assert send_form(api, api.fresh(), *files).status_code == 400
    headers = [f"X-{number}: y\r\n".encode() for number in range(3000)]
    many = f"--{EDGE}\r\n".encode() + b"".join(headers) + b"\r\nx\r\n"
    assert send_form(api, api.fresh(), many).status_code in (400, 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--edge",
        b"--edge--\r\n",
        b"no form at all",
        part('form-data; name="files"; filename="a.txt"')[:-8],
        part('form-data; name="files"; filename="a.txt"'),
        part('form-data; name="files"; filename="a.txt"') * 2,
        part('form-data; name="files"; filename="a.txt"') + b"--edge\r\n",
        b"--other\r\n" + part('form-data; name="files"; filename="a.txt"')[8:],
        b"\xff\xfe" * 1000,
    ],
)
def test_a_form_that_breaks_off_is_refused(api: ApiWorld, body: bytes) -> None:
    headers = api.fresh()
    answer = api.client.post("/v1/documents", content=body, headers={**headers, **FORM})
    assert answer.status_code in (400, 422)
    assert api.client.get("/v1/documents", headers=headers).json()["documents"] == []


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "application/json", "application/x-ndjson"]
)
def test_a_client_that_goes_in_the_middle(api: ApiWorld, kind: str) -> None:
    """Its body was announced and does not come."""
    headers = api.fresh()
    begun = {
        "multipart/form-data": part('form-data; name="files"; filename="a.txt"', b"x" * 3_000_000),
        "application/json": b'{"text": "' + b"x" * 100_000,
        "application/x-ndjson": b'{"text": "' + b"x" * 100_000,
    }[kind]
    host, port = api.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/documents HTTP/1.1\r\nhost: {host}\r\nauthorization: {headers['authorization']}"
        f"\r\ncontent-type: {kind}; boundary={EDGE}\r\ncontent-length: 9000000\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        connection.sendall(head.encode() + begun)
    assert api.client.get("/v1/documents", headers=headers).json()["documents"] == []


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def docx_with(xml: bytes) -> bytes:
    """A real document with other XML for its text."""
    made, file = Document(), io.BytesIO()
    made.add_paragraph("x")
    made.save(file)
    with zipfile.ZipFile(file) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return zipped({**files, "word/document.xml": xml})


W = b'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
BODY = b"<w:document " + W + b"><w:body><w:p><w:r><w:t>&x;</w:t></w:r></w:p></w:body></w:document>"
LAUGHS = b"".join(
    b'<!ENTITY %c "%s">' % (97 + n, b"&%c;" % (96 + n) * 10 if n else b"ha" * 10) for n in range(9)
)


def laughing() -> bytes:
    return docx_with(b"<!DOCTYPE x [" + LAUGHS + b'<!ENTITY x "&i;">]>' + BODY)


def reading_elsewhere() -> bytes:
    return docx_with(b'<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + BODY)


def many_entries() -> bytes:
    return zipped({f"word/{number}.xml": b"0" * 100_000 for number in range(300)})


def climbing() -> bytes:
    return zipped({"../../../climbed.txt": b"x", "/climbed.txt": b"x", "word/document.xml": b"x"})


def nested() -> bytes:
    return docx_with(b"<a>" * 200_000 + b"</a>" * 200_000)


@pytest.mark.parametrize("make", [laughing, reading_elsewhere, many_entries, climbing, nested])
def test_archives_that_are_made_to_harm(api: ApiWorld, make: Callable[[], bytes]) -> None:
    headers = api.fresh()
    answer = upload(api, headers, "a.docx", make())
    assert answer.status_code in (202, 422)
    for one in api.client.get("/v1/documents", headers=headers).json()["documents"]:
        shown = api.client.get(f"/v1/documents/{one['id']}", headers=headers).text
        assert "root:" not in shown
        assert "haha" not in shown
    assert not list(api.world.data.parent.rglob("climbed.txt"))
    assert not Path("/climbed.txt").exists()


def pages(count: int) -> bytes:
    file = io.BytesIO()
    paper = canvas.Canvas(file, pageCompression=1)
    for number in range(count):
        paper.drawString(50, 700, f"Page {number}.")
        paper.showPage()
    paper.save()
    return file.getvalue()


def endless_pages() -> bytes:
    """A tree of pages that is its own branch."""
    return (
        b"%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\n"
        b"2 0 obj << /Type /Pages /Kids [2 0 R 2 0 R] /Count 1000000000 >> endobj\n"
        b"trailer << /Size 3 /Root 1 0 R >>\n%%EOF"
    )


def test_a_pdf_of_many_pages(api: ApiWorld) -> None:
    headers = api.fresh()
    assert upload(api, headers, "long.pdf", pages(400)).status_code == 202
    assert upload(api, headers, "longer.pdf", pages(1200)).status_code == 422
    assert upload(api, headers, "endless.pdf", endless_pages()).status_code == 422


def test_scripts_are_text_and_stay_it(api: ApiWorld) -> None:
    headers = api.fresh()
    page = b"""<html><head><title>&lt;script&gt;t()&lt;/script&gt;</title><style>x{}</style></head>
    <body onload="a()"><script>b()</script><p onclick="c()">A &lt;b&gt;stone&lt;/b&gt;.</p>
    <iframe src="http://x.example/"></iframe><svg><script>d()</script></svg></body></html>"""
    assert upload(api, headers, "site.html", page).status_code == 202
    answer = api.client.get("/v1/documents/site.html", headers=headers)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    text = "".join(one["text"] for one in answer.json()["passages"])
    assert "A <b>stone</b>." in text
    for gone in ("a()", "b()", "c()", "d()", "x.example", "x{}"):
        assert gone not in text


def _twice(data: bytes) -> bytes:
    """Compressed so that it is still compressed where one coding is taken off."""
    return gzip.compress(gzip.compress(data, mtime=0), mtime=0)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", _twice(json.dumps({"text": "x" * 10_000_000}).encode())),
        ("application/x-ndjson", _twice(b'{"text": "x"}\n' * 100_000)),
        ("application/json", b"[" * 200_000),
        ("application/json", b'{"a":' * 100_000),
        ("application/json", b'{"text": "\xff\xfe"}'),
        ("application/json", b'{"text": "\\ud800"}'),
        ("application/json", b'{"text": "x", "metadata": {"n": ' + b"9" * 5000 + b"}}"),
        ("application/json", b'{"text": "x", "metadata": {"n": NaN}}'),
        ("application/json", b'{"text": "x", "metadata": {"n": 1e999}}'),
        ("application/json", b'{"text": "x", "metadata": {"n": "\\ud800"}}'),
        ("application/json", b'{"text": "x", "metadata": {"n": ' + b"[" * 500 + b"]" * 500 + b"}}"),
        ("application/x-ndjson", b'{"text": "x", "n": ' + b"[" * 500 + b"]" * 500 + b"}"),
        ("application/x-ndjson", b'{"text": "x", "metadata": {"n": "\\ud800"}}'),
        ("application/json", b'{"text": "x", "text": ""}'),
        ("application/x-ndjson", b"\xff" * 1000),
        ("application/x-ndjson", b"{" * 100_000),
        ("text/html", b"<script>x()</script>"),
        ("application/octet-stream", b"x"),
        ("", b"x"),
        ("multipart/form-data; boundary=" + "x" * 5000, b"x"),
        ("multipart/mixed; boundary=edge", part('form-data; name="files"; filename="a.txt"')),
    ],
)
def test_bodies_that_are_not_what_they_say(api: ApiWorld, kind: str, body: bytes) -> None:
    headers = {**api.fresh(), "content-type": kind, "content-encoding": "gzip"}
    for encoding in ("gzip", "identity"):
        headers["content-encoding"] = encoding
        answer = api.client.post("/v1/documents", content=body, headers=headers)
        assert answer.status_code in (400, 415, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert api.client.get("/v1/documents", headers=headers).json()["documents"] == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("utf16.txt", "Die Eule.".encode("utf-16-le")),
        ("utf7.txt", b"+ADw-script+AD4-"),
        ("nul.txt", b"a\0b\0c"),
        ("bom.txt", b"\xef\xbb\xbf\xef\xbb\xbfx"),
        ("overlong.txt", b"\xc0\xaf\xc0\xaf"),
        ("surrogate.txt", b"\xed\xa0\x80"),
        ("charset.html", b'<meta charset="utf-7"><p>+ADw-script+AD4-go()</p>'),
        ("lying.pdf", b"<html><p>x</p></html>"),
        ("lying.docx", b"%PDF-1.7"),
        ("lying.jsonl", b"\x89PNG\r\n\x1a\n" * 100),
        ("wide.csv", b"id,text\n" + b"x," * 200_000),
        ("quote.csv", b'id,text\n"' + b"x" * 400_000),
        ("deep.html", b"<div>" * 100_000),
    ],
)
def test_encodings_and_formats_that_lie(api: ApiWorld, name: str, content: bytes) -> None:
    headers = api.fresh()
    answer = upload(api, headers, name, content)
    assert answer.status_code in (202, 422)
    assert str(api.world.data) not in answer.text
    for one in api.client.get("/v1/documents", headers=headers).json()["documents"]:
        assert "\0" not in api.client.get(f"/v1/documents/{one['id']}", headers=headers).text
