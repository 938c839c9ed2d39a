"""Parsers and the reading of headers, with what nobody would write by hand.

What fails is kept in `tests/security/corpus` and tried first from then on; commit it.
"""

from __future__ import annotations

import io
import json
import socket
import zipfile
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.multi_document import holds_many, read_many
from mplus_ray.pipeline.parsing.parse import parse_bytes
from tests.integration.server import Server

pytestmark = pytest.mark.timeout(300)

_CORPUS = DirectoryBasedExampleDatabase(Path(__file__).with_name("corpus"))
fuzzed = settings(
    max_examples=150,
    deadline=None,
    database=_CORPUS,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


def docx(body: str) -> bytes:
    names = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="xml" ContentType="application/vnd.openxmlformats-officedocument'
            '.wordprocessingml.document.main+xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            '<Relationship Id="r" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
            'relationships/officeDocument" Target="word/document.xml"/></Relationships>',
        )
        archive.writestr(
            "word/document.xml", f"<w:document {names}><w:body>{body}</w:body></w:document>"
        )
    return file.getvalue()


MARKDOWN = b"""# Birds

- raven
- owl

> quoted `code` [link](x) <!-- c -->

|a|b|
|-|-|
|1|2|
"""
HTML = b"""<html><head><title>Birds</title><meta charset=utf-8></head><body><h1>Owl</h1>
<table><tr><td>a<td>b</table><p>It is <b>brown</b>.</body></html>"""
DOCX = docx(
    "<w:p><w:r><w:t>The owl.</w:t></w:r></w:p><w:tbl><w:tr><w:tc><w:p/></w:tc></w:tr></w:tbl>"
)
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R>>endobj
trailer<</Root 1 0 R>>"""
JSONL = rb"""{"id": "a", "text": "The owl.", "metadata": {"x": [1, 2]}}
{"text": "\ud83e\udd89"}
"""
SEEDS = {
    "a.txt": "The raven is black.\n\nThe owl is brown.\n".encode("utf-16"),
    "a.md": MARKDOWN,
    "a.html": HTML,
    "a.docx": DOCX,
    "a.pdf": PDF,
    "a.csv": b'id,text,author\n1,"The owl, brown",Ilse\n2,Raven,\n',
    "a.jsonl": JSONL,
}

edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 20), st.binary(max_size=12)), min_size=1, max_size=6
)


def edited(seed: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """The seed with some bytes replaced by others, of another length."""
    data = seed
    for at, gone, new in changes:
        start = round(at * len(data))
        data = data[:start] + new + data[start + gone :]
    return data


@pytest.mark.parametrize("name", SEEDS)
def test_a_parser_gives_a_document_or_says_why_not(name: str) -> None:
    @fuzzed
    @given(edits)
    def parse(changes: list[tuple[float, int, bytes]]) -> None:
        data = edited(SEEDS[name], changes)
        try:
            if holds_many(name):
                outcomes = [record.outcome for record in read_many(io.BytesIO(data), name)]
            else:
                outcomes = [parse_bytes(data, name)]
        except DocumentError:
            return
        for outcome in outcomes:
            if isinstance(outcome, ParsedDocument):
                assert outcome.text.strip()
                outcome.text.encode()
                json.dumps(outcome.metadata, allow_nan=False)

    parse()


NAMES = """authorization content-type content-length transfer-encoding idempotency-key
x-request-id accept host range expect connection x"""
VALUES = (
    "Bearer mplus_",
    "Bearer  ",
    "application/json",
    "multipart/form-data; boundary=",
    "application/x-ndjson",
    "chunked",
    "0",
    "-1",
    "99999999999999999999",
    "bytes=0-1",
)
latin = st.characters(min_codepoint=1, max_codepoint=255)
header = st.tuples(
    st.sampled_from(NAMES.split()),
    st.one_of(st.text(latin, max_size=40), st.sampled_from(VALUES)),
)
PATHS = ("/healthz", "/v1/documents", "/v1/query", "/mcp", "/", "*", "//", "/..;/")
line = st.tuples(
    st.sampled_from(["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "get", "X"]),
    st.one_of(
        st.sampled_from(
            ["/healthz", "/v1/documents", "/v1/query", "/mcp", "/", "*", "//", "/..;/"]
        ),
        st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=40).map("/{}".format),
    ),
)


def test_headers_of_any_kind_get_an_answer_of_ours(server: Server) -> None:
    where = httpx.URL(server.url)

    @fuzzed
    @given(line, st.lists(header, max_size=6), st.binary(max_size=30))
    def ask(first: tuple[str, str], headers: list[tuple[str, str]], body: bytes) -> None:
        lines = [f"{first[0]} {first[1]} HTTP/1.1", *(f"{n}: {v}" for n, v in headers)]
        sent = "\r\n".join(lines).encode("latin-1") + b"\r\nconnection: close\r\n\r\n" + body
        with socket.create_connection((where.host, where.port), timeout=30) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            said = b""
            while piece := connection.recv(65536):
                said += piece
        if said:  # a client that has closed its half may get nothing
            status = int(said.split(b" ", 2)[1])
            assert status != 500, (sent, said)
            assert b"Traceback" not in said

    ask()
    with server.client() as client:
        assert client.get("/healthz").status_code == 200
