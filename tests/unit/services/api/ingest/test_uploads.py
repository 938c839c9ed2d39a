"""Uploaded files: names, formats, and files that are made to do harm."""

from __future__ import annotations

import asyncio
import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from prometheus_client import CollectorRegistry
from reportlab.pdfgen import canvas

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.ingest.parser_pool import Parsers
from mplus_ray.services.api.ingest.uploads import file_name
from mplus_ray.services.api.limits.rate_limits import Meter
from mplus_ray.services.api.metrics import ApiMetrics
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

Upload = tuple[str, bytes]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("uploads")
    limits = Limits(parse_seconds=20.0, text_characters=50_000)
    with serving(load_model(folder / "checkpoint"), folder, limits=limits, writer=False) as world:
        yield world


def send(api: ApiWorld, headers: dict[str, str], *uploads: Upload) -> Any:
    files = [("files", upload) for upload in uploads]
    return api.client.post("/v1/documents", files=files, headers=headers)


def docx(text: str) -> bytes:
    document = Document()
    document.add_heading("Birds", 1)
    document.add_paragraph(text)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def pdf(*pages: str) -> bytes:
    file = io.BytesIO()
    paper = canvas.Canvas(file)
    for page in pages:
        paper.drawString(50, 700, page)
        paper.showPage()
    paper.save()
    return file.getvalue()


def test_files_of_all_kinds_in_one_upload(api: ApiWorld) -> None:
    headers = api.fresh()
    answer = send(
        api,
        headers,
        ("notes.txt", b"Ilse sings."),
        ("page.md", b"# Owls\n\nThe owl is brown."),
        ("site.html", b"<html><body><script>steal()</script><p>A stone.</p></body></html>"),
        ("word.docx", docx("The raven is black.")),
        ("paper.pdf", pdf("Maren lives in Dorvas.")),
        ("table.csv", b"id,text\nx,One row.\ny,Another row.\n"),
        ("lines.jsonl", b'{"text": "A line."}\nbroken\n'),
        ("picture.png", b"\x89PNG\r\n\x1a\n"),
    )
    assert answer.status_code == 202
    taken = answer.json()
    assert [one["id"] for one in taken["documents"]] == [
        "notes.txt",
        "page.md",
        "site.html",
        "word.docx",
        "paper.pdf",
        "table.csv#x",
        "table.csv#y",
        "lines.jsonl#1",
    ]
    assert [one["source"] for one in taken["failed"]] == ["lines.jsonl#2", "picture.png"]
    log = api.log(headers)
    assert "steal" not in log.text("site.html")
    assert log.text("paper.pdf") == "Maren lives in Dorvas."
    (passage, *_) = log.passages("page.md")
    assert passage.section == "Owls"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\Users\\ilse\\notes.txt", "notes.txt"),
        ("a\x00b\n.txt", "ab.txt"),
        ("..", "upload"),
        ("/", "upload"),
        ("", "upload"),
        (None, "upload"),
        ("ünï.txt", "ünï.txt"),
    ],
)
def test_a_name_is_never_a_path(given: str | None, kept: str) -> None:
    assert file_name(given) == kept


def test_a_long_name_keeps_its_format() -> None:
    name = file_name("x" * 1000 + ".txt")
    assert len(name) <= 200
    assert name.endswith(".txt")


def test_nothing_is_written_where_a_name_points(api: ApiWorld, tmp_path: Path) -> None:
    target = tmp_path / "planted.txt"
    answer = send(api, api.fresh(), (str(target), b"Planted."))
    assert answer.json()["id"] == "planted.txt"
    assert not target.exists()
    assert not [path.name for path in api.world.data.iterdir() if path.name.startswith("mplus-")]


def test_two_files_of_one_name_are_not_one_document(api: ApiWorld) -> None:
    headers = api.fresh()
    answer = send(api, headers, ("a/x.txt", b"One."), ("b/x.txt", b"Two."), ("a/x.txt", b"Three."))
    assert [one["id"] for one in answer.json()["documents"]] == ["a/x.txt", "b/x.txt"]
    assert "two files of this name" in answer.json()["failed"][0]["reason"]
    again = send(api, headers, ("b/x.txt", b"Four.")).json()
    assert again["replaced"] == 1
    assert again["documents"][0]["replaced"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.txt", b"\xff\xfea", "not valid UTF-16"),
        ("a.txt", b"caf\xe9", "not valid UTF-8"),
        ("a.txt", b"", "no text"),
        ("a.txt", b"x" * 60_000, "50,000 are allowed"),
        ("a.html", b"<meta charset=klingon><p>x</p>", "unknown encoding"),
        ("a.pdf", b"%PDF-1.7 and nothing else", "damaged"),
        ("a.docx", b"PK\x03\x04 and nothing else", "not a docx"),
        ("a.exe", b"MZ\x90\0", "a program"),
        ("noname", b"te\0xt", "not supported"),
        ("a.csv", b"\xff\xff\xff", "a.csv"),
        ("a.parquet", b"PAR1 no", "damaged"),
    ],
)
def test_what_cannot_be_read_is_said(api: ApiWorld, name: str, content: bytes, why: str) -> None:
    answer = send(api, api.fresh(), (name, content))
    assert answer.status_code == 422
    problem = answer.json()
    assert why in problem["failed"][0]["reason"]
    assert str(api.world.data) not in answer.text


def bomb_docx() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"<a>" + b"0" * (30 << 20))
    return file.getvalue()


def bomb_pdf() -> bytes:
    """One page whose content unpacks to much more than it is."""
    import zlib

    stream = zlib.compress(b"BT (x) Tj ET " * (4 << 20), 9)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >> stream\n%s\nendstream" % (len(stream), stream),
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj %s endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n" + table
    return out + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % start


@pytest.mark.parametrize(("name", "make"), [("a.docx", bomb_docx), ("a.pdf", bomb_pdf)])
def test_a_bomb_does_no_harm(api: ApiWorld, name: str, make: Callable[[], bytes]) -> None:
    bomb = make()
    assert len(bomb) < 1 << 20
    headers = api.fresh()
    answer = send(api, headers, (name, bomb), ("good.txt", b"Good."))
    assert answer.status_code == 202
    assert [one["id"] for one in answer.json()["documents"]] == ["good.txt"]
    assert [one["source"] for one in answer.json()["failed"]] == [name]


def test_a_form_without_files_is_refused(api: ApiWorld) -> None:
    answer = api.client.post("/v1/documents", files={"other": b"x"}, headers=api.fresh())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.files"


def test_a_broken_form_is_refused(api: ApiWorld) -> None:
    headers = {**api.fresh(), "content-type": "multipart/form-data"}
    answer = api.client.post("/v1/documents", content=b"x", headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


class TestParsers:
    """The processes by themselves."""

    def read(self, folder: Path, limits: Limits, *names: str) -> list[list[Record]]:
        async def run() -> list[list[Record]]:
            meter = Meter(limits, ApiMetrics(CollectorRegistry()), time.monotonic)
            parsers, anna = Parsers(limits, meter), Tenant("a" * 32, "anna", 0, "f")
            try:
                return [[r async for r in parsers.records(folder / n, n, anna)] for n in names]
            finally:
                await parsers.close()

        return asyncio.run(run())

    def test_one_process_parses_many_files(self, tmp_path: Path) -> None:
        for name in ("a.txt", "b.txt"):
            (tmp_path / name).write_text(name)
        found = self.read(tmp_path, Limits(), "a.txt", "b.txt")
        assert [record.load().text for (record,) in found] == ["a.txt", "b.txt"]

    def test_a_file_that_takes_too_long_ends_its_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mplus_ray.services.api.ingest.parser_pool._STUCK", 1)
        os.mkfifo(tmp_path / "never.txt")  # nobody will ever write to it
        (tmp_path / "good.txt").write_text("Good.")
        limits = Limits(parse_seconds=2.0, parsers=1)
        (late,), (good,) = self.read(tmp_path, limits, "never.txt", "good.txt")
        assert isinstance(late.outcome, DocumentError)
        assert "longer than 2 s" in str(late.outcome)
        assert good.load().text == "Good."

    def test_a_file_that_takes_all_memory_is_refused(self, tmp_path: Path) -> None:
        with (tmp_path / "large.txt").open("wb") as file:
            file.truncate(250 << 20)  # sparse: it takes no room
        (tmp_path / "good.txt").write_text("Good.")
        limits = Limits(parse_bytes=512 << 20, parsers=1)
        (large,), (good,) = self.read(tmp_path, limits, "large.txt", "good.txt")
        assert isinstance(large.outcome, DocumentError)
        assert "memory" in str(large.outcome)
        assert good.load().text == "Good."
