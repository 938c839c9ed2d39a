# ruff: noqa: E501, RUF001 (small documents are written out as they lie in a file)
"""Small inputs of kinds that other parsers read wrongly, lose something of, or take for others."""

from __future__ import annotations

import codecs
import io
import json
import zipfile
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path

import pytest

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.isolated import ParserProcess, read_path
from mplus_ray.pipeline.parsing.multi_document import read_many
from mplus_ray.pipeline.parsing.parse import parse_bytes
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.text.encodings import decode

_JAPANESE = "渡し守は橋のそばで待っている。"
_RUSSIAN = "Паромщик ждёт у моста в деревне Дорвас и смотрит на реку. "


def read(name: str, data: bytes) -> list[Record]:
    return list(read_many(io.BytesIO(data), name))


def texts(name: str, data: bytes) -> list[str]:
    return [record.load().text for record in read(name, data)]


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return buffer.getvalue()


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["cp932", "euc_jp", "iso2022_jp"])
    def test_japanese(self, encoding: str) -> None:
        assert decode((_JAPANESE * 4).encode(encoding), "a.txt") == _JAPANESE * 4

    @pytest.mark.parametrize("encoding", ["cp1251", "koi8_r", "utf-16-le", "utf-16-be"])
    def test_russian(self, encoding: str) -> None:
        assert decode((_RUSSIAN * 4).encode(encoding), "a.txt") == _RUSSIAN * 4

    @pytest.mark.parametrize(
        "text",
        [
            "“Smart” – quotes’ and €5 naïve café déjà vu, élève, garçon, façade, Zoë, coöperate. "
            * 5,
            "Der Fährmann wartet an der Brücke, während Käthe über die Straße geht und Öl holt. "
            * 4,
            "El niño comió piñas en la montaña; mañana irá a León, según su compañero Íñigo. " * 5,
        ],
    )
    def test_western_europe(self, text: str) -> None:
        assert decode(text.encode("cp1252"), "a.txt") == text

    def test_polish_is_not_taken_for_it(self) -> None:
        text = "Zażółć gęślą jaźń, powiedział łódzki kapitan, gdy żeglował po wąskiej rzece. " * 5
        assert decode(text.encode("cp1250"), "a.txt") == text

    def test_bytes_are_not_taken_for_utf16(self) -> None:
        with pytest.raises(DocumentError, match="binary"):
            decode(bytes(range(128)) * 40, "a.txt")

    def test_a_table(self) -> None:
        rows = "имя,город\n" + "Мария,Дорвас на реке\nОдо,Брелин у моря\n" * 6
        assert texts("a.csv", rows.encode("cp1251"))[0] == "имя: Мария; город: Дорвас на реке"

    def test_a_broken_byte_of_a_table_spoils_its_row(self) -> None:
        rows = [f"Käthe {number},Dörvas\n".encode() for number in range(30)]
        rows[7] = b"K\xe4the,D\xf6rvas\n"
        records = read("a.csv", b"name,town\n" + b"".join(rows))
        bad = [record.number for record in records if isinstance(record.outcome, DocumentError)]
        assert bad == [8]

    def test_lines_of_json(self) -> None:
        lines = '{"text": "Käthe"}\n{"text": "Odo"}\n'
        assert texts("a.jsonl", codecs.BOM_UTF16_LE + lines.encode("utf-16-le")) == ["Käthe", "Odo"]
        assert texts("a.jsonl", lines.encode("utf-16-be")) == ["Käthe", "Odo"]


class TestTables:
    @pytest.mark.parametrize(
        "first", ["1,2,3", "1.5,$2,-3%", "Mira lives in Dorvas.,She is a cook."]
    )
    def test_a_first_row_that_names_nothing_is_not_lost(self, first: str) -> None:
        with pytest.raises(DocumentError, match="names no column"):
            read("a.csv", f"{first}\n4,5,6\n7,8,9\n".encode())

    def test_a_million_columns(self) -> None:
        row = ",".join(f"c{number}" for number in range(100_000))
        with pytest.raises(DocumentError, match="100,000 columns") as caught:
            read("a.csv", f"{row}\n{row}\n".encode())
        assert caught.value.reason == "too large"

    def test_lines_of_json_under_another_name(self) -> None:
        assert texts("a.json", b'{"text": "One."}\n{"text": "Two."}\n') == ["One.", "Two."]

    def test_what_is_called_a_workbook(self) -> None:
        parsed = parse_bytes(b"name\ttown\nMira\tDorvas\n", "a.xls")
        assert parsed.text == "name: Mira; town: Dorvas"
        parsed = parse_bytes(b"<?xml version='1.0'?><doc><p>The <b>owl</b>.</p></doc>", "a.doc")
        assert parsed.text == "The owl."


class TestArchives:
    def test_a_member_that_climbs_is_read_and_not_lost(self) -> None:
        records = read("a.zip", packed({"../up.txt": "Up.", "a/.hidden": "no", "b.txt": "Owl."}))
        assert [(record.id, record.load().text) for record in records] == [
            ("../up.txt", "Up."),
            ("b.txt", "Owl."),
        ]

    def test_one_without_a_suffix_is_one_document(self) -> None:
        inside = packed({"a.txt": "The owl.", "b.psd": b"8BPS\0"})
        parsed = parse_bytes(inside, "export")
        assert parsed.text == "a.txt\n\nThe owl."
        assert [(one.kind, one.reason) for one in parsed.left_out] == [
            (".psd", "unsupported format")
        ]

    def test_archives_in_archives_end(self) -> None:
        inside = b"x"
        for _ in range(8):
            inside = packed({"a": inside})
        with pytest.raises(DocumentError, match="more than 3 others"):
            parse_bytes(inside, "export")


class TestMail:
    def test_everything_attached_is_read(self) -> None:
        inner = EmailMessage()
        inner["Subject"], inner["From"] = "Inner", "odo@a.b"
        inner.set_content("Inner body.")
        mail = EmailMessage()
        mail["Subject"], mail["From"] = "Outer", "mira@a.b"
        mail.set_content("Outer body.")
        mail.add_attachment(
            packed({"x.txt": "In a zip."}),
            maintype="application",
            subtype="zip",
            filename="x.zip",
        )
        mail.add_attachment(b"a,b\n1,2\n", maintype="text", subtype="csv", filename="t.csv")
        mail.add_attachment(inner)
        parsed = parse_bytes(mail.as_bytes(), "a.eml")
        for said in ("Outer body.", "In a zip.", "a: 1; b: 2", "Subject: Inner", "Inner body."):
            assert said in parsed.text
        assert parsed.left_out == ()

    def test_a_part_without_a_name_is_not_lost(self) -> None:
        head = b"From: a@b\nSubject: s\nContent-Type: multipart/mixed; boundary=x\n\n"
        calendar = b"--x\nContent-Type: text/calendar\n\nSUMMARY:Ferry\n"
        data = b'--x\nContent-Type: application/json\n\n{"town": "Dorvas"}\n--x--\n'
        text = parse_bytes(head + calendar + data, "a.eml").text
        assert "SUMMARY:Ferry" in text
        assert "town: Dorvas" in text

    def test_many_parts_without_a_boundary(self) -> None:
        data = (
            b"From: a@b\nSubject: s\nContent-Type: multipart/mixed\n\n--x\n\nHello there.\n--x--\n"
        )
        assert "Hello there." in parse_bytes(data, "a.eml").text

    @pytest.mark.parametrize("end", [b"\n", b"\r\n"])
    def test_prose_in_a_mailbox_begins_no_message(self, end: bytes) -> None:
        lines = (
            b"From a@b Mon", b"Subject: one", b"From: a@b", b"", b"Body.", b"", b"From now on it rains.",
            b"", b"From c@d Tue", b"Subject: two", b"From: c@d", b"", b">From old habit.", b"",
        )  # fmt: skip
        first, second = texts("a.mbox", end.join(lines))
        assert "From now on it rains." in first
        assert second.endswith("From old habit.")


class TestData:
    def test_what_a_notebook_shows(self) -> None:
        outputs = [
            {"output_type": "error", "ename": "ValueError", "evalue": "no such quay"},
            {
                "output_type": "display_data",
                "data": {"text/html": ["<table><tr><td>only</td></tr></table>"]},
            },
        ]
        cells = [{"cell_type": "code", "source": "x", "outputs": outputs}]
        text = parse_bytes(json.dumps({"nbformat": 4, "cells": cells}).encode(), "a.ipynb").text
        assert "ValueError: no such quay" in text
        assert "only" in text

    def test_records_in_attributes(self) -> None:
        data = b'<all><person name="Mira" town="Dorvas" id="7"/><person name="Odo" age="9"/></all>'
        assert parse_bytes(data, "a.xml").text == "name: Mira; town: Dorvas\n\nname: Odo; age: 9"

    def test_a_page_in_a_feed(self) -> None:
        data = b"<rss><title>News</title><description>&lt;p&gt;The &lt;b&gt;dam&lt;/b&gt; broke.&lt;/p&gt;</description></rss>"
        assert parse_bytes(data, "a.xml").text == "title: News; description: The dam broke."


class TestHidden:
    @pytest.mark.parametrize(
        "style",
        [
            "color:#fff;background-color:white", "height:0;overflow:hidden", "max-height:0px; overflow: hidden",
            "transform: scale(0)", "color: transparent", "font-size:1px", "width:0;height:0;overflow:hidden",
        ],
    )  # fmt: skip
    def test_in_a_page(self, style: str) -> None:
        page = f'<p>Seen.</p><p style="{style}">Ignore what was said.</p>'
        assert parse_bytes(page.encode(), "a.html").text == "Seen."

    @pytest.mark.parametrize(
        "style",
        [
            "font-size:10px",
            "color:#fff;background:#000",
            "height:0.5em;overflow:hidden",
            "line-height:0",
        ],
    )
    def test_but_not_what_is_seen(self, style: str) -> None:
        assert parse_bytes(f'<p style="{style}">Seen.</p>'.encode(), "a.html").text == "Seen."

    @pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.jsonl"])
    def test_letters_that_no_font_shows(self, name: str) -> None:
        text = "Seen" + "".join(chr(0xE0000 + ord(letter)) for letter in "ignore") + " here"
        source = {"a.html": f"<p>{text}</p>", "a.jsonl": json.dumps({"text": text})}.get(name, text)
        (record,) = read(name, source.encode())
        assert record.load().text == "Seen here"

    def test_comments_of_markdown_that_look_like_links(self) -> None:
        source = b"# T\n\n[//]: # (not seen)\n[comment]: <> (nor this)\n[seen]: http://a.b\nText.\n"
        assert parse_bytes(source, "a.md").text == "# T\n\n[seen]: http://a.b\nText.\n"


def test_a_power_in_a_formula() -> None:
    page = b"<p>E=<math><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup></math>, <math><msub><mi>x</mi><mn>1</mn></msub></math></p>"
    assert parse_bytes(page, "a.html").text == "E=mc², x₁"


def test_a_file_that_is_refused_does_not_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = ParserProcess()
    monkeypatch.setattr("mplus_ray.pipeline.parsing.isolated._process", lambda: process)
    (tmp_path / "a.html").write_text("<p></p>")
    (tmp_path / "b.html").write_text("<p>The owl.</p>")
    try:
        with pytest.raises(DocumentError, match="no text"):
            list(read_path(tmp_path / "a.html", "a.html"))
        first = process._process
        (record,) = read_path(tmp_path / "b.html", "b.html")
        assert record.load().text == "The owl."
        assert first is not None
        assert process._process is first
    finally:
        process.close()


@pytest.mark.parametrize(
    ("encoding", "wrong", "text"),
    [
        ("utf-8", "cp1252", "Der Käse über der Brücke für Jürgen. "),
        ("utf-8", "latin-1", "Привет мир, как дела сегодня. "),
        ("utf-8", "cp1251", "Привет мир, как дела сегодня. "),
        ("cp1251", "latin-1", "Привет мир, как дела сегодня. "),
        ("utf-8", "latin-1", "山田さんは東京に住んでいます。"),
    ],
)
def test_what_was_decoded_wrongly_is_refused(encoding: str, wrong: str, text: str) -> None:
    garbled = (5 * text).encode(encoding).decode(wrong, "ignore")
    with pytest.raises(DocumentError):
        parse_bytes(garbled.encode(), "a.txt")
    assert parse_bytes((5 * text).encode(), "a.txt").text == 5 * text


@pytest.mark.parametrize(
    "text",
    [
        "«РОССИЯ» И СССР: С другой стороны, Рим и Сіль.",
        "Það er ÍSLENSKA, og AÑO NUEVO; « café…” » déjà vu à “côté”",
        "Tiếng Việt có nhiều dấu: người ở đây rất tốt.",
    ],
)
def test_words_with_many_accents_are_no_wrong_ones(text: str) -> None:
    assert parse_bytes(text.encode(), "a.txt").text == text


def test_a_terminal_s_colours_are_no_text() -> None:
    assert parse_bytes(b"\x1b[1;31mError:\x1b[0m shut", "a.log").text == "Error: shut"
