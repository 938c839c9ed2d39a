"""Word documents: what is written in them, and nothing that a hostile one would do."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from docx import Document
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.parse import parse_bytes


def saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def sample() -> Any:
    document = Document()
    document.core_properties.title = ""
    document.add_paragraph("Before all.")
    document.add_heading("Birds", 1)
    document.add_paragraph("The raven\tis\nblack.")
    document.add_heading("Colours", 2)
    table = document.add_table(rows=2, cols=2)
    for row, words in zip(table.rows, (("owl", "brown"), ("swan", "")), strict=True):
        for cell, word in zip(row.cells, words, strict=True):
            cell.text = word
    return document


def test_paragraphs_headings_and_tables_in_order() -> None:
    parsed = parse_bytes(saved(sample()), "birds.docx")
    assert parsed.text == (
        "Before all.\n\nBirds\n\nThe raven is\nblack.\n\nColours\n\nowl | brown\nswan"
    )
    assert parsed.title == "Birds"
    assert [(s.title, s.level) for s in parsed.sections] == [("Birds", 1), ("Colours", 2)]
    assert all(parsed.text[s.start :].startswith(s.title) for s in parsed.sections)
    assert parsed.metadata == {"format": "docx"}


def test_the_title_is_the_authors() -> None:
    document = sample()
    document.core_properties.title = "On  birds"
    assert parse_bytes(saved(document), "x.docx").title == "On birds"


def test_content_controls_and_insertions_are_read_and_deletions_are_not() -> None:
    document = Document()
    body = document.element.body
    space = nsdecls("w")
    for inner in (
        f"<w:sdt {space}><w:sdtContent><w:p><w:r><w:t>Controlled.</w:t></w:r></w:p>"
        "</w:sdtContent></w:sdt>",
        f"<w:p {space}><w:ins><w:r><w:t>New.</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>Old.</w:delText></w:r></w:del></w:p>",
    ):
        body.insert(len(body) - 1, parse_xml(inner))
    assert parse_bytes(saved(document), "x.docx").text == "Controlled.\n\nNew."


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not a docx"),
        (b"just text", "is not a docx"),
        (b"\xd0\xcf\x11\xe0 an encrypted one", "a password also makes it unreadable"),
        (saved(sample())[:-200], "is not a docx"),
        (saved(Document()), "holds no text"),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(DocumentError, match=said):
        parse_bytes(data, "a.docx")


def archive(**parts: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return buffer.getvalue()


def test_another_archive_is_refused() -> None:
    with pytest.raises(DocumentError, match="a ZIP archive of something else"):
        parse_bytes(archive(readme=b"text"), "a.docx")


def test_a_damaged_part_is_refused() -> None:
    with pytest.raises(DocumentError, match="damaged or unsupported docx"):
        parse_bytes(archive(**{"[Content_Types].xml": b"<broken"}), "a.docx")


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(DocumentError, match=r"would unpack from .* to 16,777,2\d\d bytes"):
        parse_bytes(archive(**{"[Content_Types].xml": b"x", "a": bytes(16 * 2**20)}), "a.docx")


def test_entities_are_not_expanded() -> None:
    parts = {}
    with zipfile.ZipFile(io.BytesIO(saved(sample()))) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    declared = f'<!DOCTYPE d [<!ENTITY e0 "boom">{levels}]><w:document'.encode()
    main = parts["word/document.xml"].replace(b"<w:document", declared, 1)
    parts["word/document.xml"] = main.replace(b"Before all.", b"&e9;")
    try:
        text = parse_bytes(archive(**parts), "a.docx").text
    except DocumentError:
        return
    assert len(text) < 1000
