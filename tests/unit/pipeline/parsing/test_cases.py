"""Inputs that other parsers read wrongly: each has its right text here."""

from __future__ import annotations

from pathlib import Path

import pytest

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.multi_document import read_many
from mplus_ray.pipeline.parsing.parse import parse_file

_DATA = Path(__file__).parent / "data"
_SHUT, _OPEN = "The quay is shut.", "The quay is open."


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docx-footnote.docx", "The bridge opened in 1902.[1]\n\n[1] The builder was Odo Farrin."),
        ("docx-move.docx", "Second paragraph.\n\nThe key hangs in the barn."),
        ("docx-nested-table.docx", "Outer\n\nInner one | Inner two\n\nRight"),
        ("docx-nbhyphen.docx", "Call 555-0142 by 3-4 pm"),
        ("docx-omml.docx", "Energy is E=mc2 always."),
        ("docx-empty-cell.docx", "Port | Open | Closed\nDorvas | | yes"),
        ("docx-strict.docx", "Strict text about Dorvas."),
        ("docx-numbered.docx", "1. First do this\n2. Then that"),
        ("docx-superscript.docx", "The lake holds 10⁶ litres."),
        ("pdf-form.pdf", "Name of the keeper: Odo Farrin"),
        ("pdf-ligature.pdf", "The office is open."),
        ("pdf-hyphen.pdf", "The harbour master is Odo Farrin of Dorvas."),
        ("pdf-bad-info.pdf", "The ferry to Brelin leaves at nine."),
        (
            "pdf-columns.pdf",
            "Left one starts here and goes on down to its last line.\n\n"
            "Right one is about tea and how it is sold in small shops.",
        ),
        ("pdf-rot90-td.pdf", "Rotated words stay words"),
        (
            "pdf-header.pdf",
            "Annual Report 2024 - Confidential\n\nPage text number 1 is here.\n\n"
            "Page text number 2 is here.\n\nPage text number 3 is here.\n\n"
            "Page text number 4 is here.",
        ),
        ("pdf-table.pdf", "Port | Open | Closed\nDorvas | | yes"),
        ("comments.md", "# Title\n\nThe quay is in Dorvas.\n"),
        ("form.html", "Tides\n\nHigh water at noon."),
        ("gb2312.html", "张镕住在杭州"),
        ("sjis.html", "① 髙橋"),
        ("euckr.html", "똠방각하"),
        ("empty-main.html", "The dam was finished in 1931."),
        ("teaser.html", "The dam\n\nThe dam was finished in 1931.\n\nSee also\n\nLamps."),
        ("corner.html", "| North | South\nOpen | | yes"),
        ("cellp.html", "Mira | Dorvas\nTomas | Brelin"),
        ("alt.html", "Plan: The ferry leaves from pier four"),
        ("crlf.txt", "line one\nline two"),
    ],
)
def test_the_text_is_right(name: str, text: str) -> None:
    assert parse_file(_DATA / name).text == text


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("pdf-title-word.pdf", "pdf-title-word"),
        ("docx-move.docx", "docx-move"),  # not "Word Document"
        ("front.md", "Rules of the quay"),
        ("teaser.html", "The dam"),
    ],
)
def test_the_title_says_something(name: str, title: str) -> None:
    assert parse_file(_DATA / name).title == title


def test_front_matter_is_no_heading() -> None:
    assert parse_file(_DATA / "front.md").sections == ()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pdf-cid-identity.pdf", "fonts do not say which characters"),
        ("pdf-glyphnames.pdf", "fonts do not say which characters"),
        ("a-punycode.html", "unknown encoding 'punycode'"),
        ("b-undefined.html", "unknown encoding 'undefined'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(DocumentError, match=why):
        parse_file(_DATA / name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "facts.csv",
            [
                (None, "name: Mira Holt; town: Dorvas; job: watchmaker"),
                (None, "name: Tomas Rehn; town: Bo; job: cook"),
            ],
        ),
        ("trailing.csv", [("1", _SHUT)]),
        ("preamble.csv", [("1", _SHUT)]),
        (
            "headerless.csv",
            [
                (None, "The red boat is Miras boat and lies at pier four."),
                (None, "The blue boat is Tomas boat."),
            ],
        ),
        ("short.csv", [("1", _SHUT), ("2", _OPEN)]),
        ("crlf.csv", [("a", "line one\nline two")]),
        ("crlf.jsonl", [("a", "line one\nline two")]),
        ("delta.parquet", [("a", _SHUT), ("b", _OPEN)]),
    ],
)
def test_the_rows_are_right(name: str, expected: list[tuple[str | None, str]]) -> None:
    with (_DATA / name).open("rb") as file:
        assert [(r.id, r.load().text) for r in read_many(file, name)] == expected


def test_half_a_character_is_no_id() -> None:
    with (_DATA / "half.jsonl").open("rb") as file:
        first, second, third = read_many(file, "half.jsonl")
    assert "cannot be a document's id" in str(first.outcome)
    assert "cannot be a document's id" in str(second.outcome)
    assert (third.id, third.load().text) == ("b", "A third.")


def test_other_names_of_the_text_are_read_and_conversations_refused() -> None:
    with (_DATA / "content.jsonl").open("rb") as file:
        first, second = read_many(file, "content.jsonl")
    assert first.load().text == _SHUT
    assert "of a conversation, write its turns" in str(second.outcome)
