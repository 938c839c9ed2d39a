"""Workbooks, presentations and books as people's programs write them."""

from __future__ import annotations

import datetime
from typing import Any

import openpyxl
import pptx
import pytest
from openpyxl.comments import Comment
from pptx.util import Inches

from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.parse import parse_bytes
from mplus_ray.pipeline.parsing.refusals import Refusal, RefusalCount
from tests.unit.pipeline.parsing.office_files import packed, saved


def read(*sheets: list[list[Any]]) -> ParsedDocument:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        made = book.create_sheet(f"S{number}")
        for row in rows:
            made.append(row)
    return parse_bytes(saved(book), "a.xlsx")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (datetime.date(2026, 3, 4), "2026-03-04"),
        (datetime.datetime(2026, 3, 4, 13, 5, 6), "2026-03-04 13:05:06"),  # noqa: DTZ001
        (datetime.time(13, 5), "13:05:00"),
        (True, "TRUE"),
        (False, "FALSE"),
        ("#DIV/0!", "#DIV/0!"),
        (0, "0"),
        (1234.5, "1234.5"),
        (12345678, "12345678"),
        ("  two  words\n", "two words"),
        ("007", "007"),
        ("ключ 鍵", "ключ 鍵"),
    ],
)
def test_values_of_cells(value: Any, said: str) -> None:
    assert read([["name", "value"], ["Mira", value]]).text == f"name: Mira; value: {said}"


def test_numbers_are_said_as_they_are_shown() -> None:
    book = openpyxl.Workbook()
    made = book.active
    for row in (["name", "share", "price"], ["Mira", 0.25, 1234.5]):
        made.append(row)
    made["B2"].number_format, made["C2"].number_format = "0%", '#,##0.00 "EUR"'
    assert parse_bytes(saved(book), "a.xlsx").text == "name: Mira; share: 25%; price: 1,234.50 EUR"


def test_sheets_are_sections_and_leading_rows_may_be_empty() -> None:
    parsed = read([[], [], ["k", "v"], ["a", 1]], [], [[None, "k", "v"], [None, "b", 2]])
    assert parsed.text == "S0\n\nk: a; v: 1\n\nS2\n\nk: b; v: 2"
    assert [section.title for section in parsed.sections] == ["S0", "S2"]


def test_each_row_tells_a_cell_that_spans_several() -> None:
    book = openpyxl.Workbook()
    made = book.active
    for row in (
        ["region", "quarter", "sales"],
        ["North", "Q1", 5],
        [None, "Q2", 6],
        ["South", "Q1", 7],
    ):
        made.append(row)
    made.merge_cells("A2:A3")
    assert parse_bytes(saved(book), "a.xlsx").text.splitlines() == [
        "region: North; quarter: Q1; sales: 5",
        "region: North; quarter: Q2; sales: 6",
        "region: South; quarter: Q1; sales: 7",
    ]


def test_a_wide_table_keeps_its_columns() -> None:
    names = [f"c{number}" for number in range(400)]
    parsed = read([names, list(range(400))])
    assert parsed.text == "; ".join(f"c{number}: {number}" for number in range(400))


def test_a_formula_without_a_value_is_counted() -> None:
    parsed = read([["k", "v"], ["a", "=1+2"], ["b", '=A2&"x"'], ["c", 3]])
    assert parsed.text == "k: a\nk: b\nk: c; v: 3"
    assert parsed.left_out == (RefusalCount(".xlsx cell", Refusal.NO_VALUE, 2),)


def test_comments_on_cells_are_read() -> None:
    book = openpyxl.Workbook()
    made = book.active
    made.title = "Ferries"
    for row in (["k", "v"], ["a", 1]):
        made.append(row)
    made["B2"].comment = Comment("Checked by Odo.", "Odo")
    parsed = parse_bytes(saved(book), "a.xlsx")
    assert parsed.text == "k: a; v: 1\n\nComment on B2 of Ferries: Checked by Odo."


def test_a_presentation() -> None:
    show = pptx.Presentation()
    first, second = (show.slides.add_slide(show.slide_layouts[1]) for _ in range(2))
    first.shapes.title.text, second.shapes.title.text = "First", "Second"
    first.placeholders[1].text = "A point"
    first.notes_slide.notes_text_frame.text = "Said aloud."
    group = second.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 99, 99).text_frame.text = "In a group."
    table = second.shapes.add_table(2, 2, 0, 0, Inches(4), Inches(1)).table
    for row in range(2):
        for column in range(2):
            table.cell(row, column).text = f"r{row}c{column}"
    order = show.slides._sldIdLst
    order.insert(0, order[1])  # the second is shown first
    parsed = parse_bytes(saved(show), "a.pptx")
    assert [section.title for section in parsed.sections] == ["Second", "First"]
    assert parsed.text.split("\n\n") == [
        "Second", "In a group.", "r0c0 | r0c1\nr1c0 | r1c1", "First", "- A point", "Said aloud.",
    ]  # fmt: skip


def page(title: str, more: str = "") -> str:
    body = f"<h1>{title}</h1><p>Text of {title}.</p>{more}"
    return f"<html xmlns='http://www.w3.org/1999/xhtml'><body>{body}</body></html>"


def test_a_book_is_read_in_its_order_without_its_table_of_contents() -> None:
    items = "".join(
        f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"{more}/>'
        for name, more in (("nav", ' properties="nav"'), ("a", ""), ("b", ""), ("stray", ""))
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in ("nav", "b", "a"))
    container = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    data = packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": f'{container}<rootfile full-path="a.opf" '
            'media-type="application/oebps-package+xml"/></rootfiles></container>',
            "a.xhtml": page("Two", "<p hidden='hidden'>no</p>"),
            "b.xhtml": page("One", "<p style='display:none'>no</p><p style='color:#0000'>no</p>"),
            "nav.xhtml": page("Contents", "<nav><ol><li><a href='a.xhtml'>Two</a></li></ol></nav>"),
            "stray.xhtml": page("Stray"),
            "a.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
            f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
        }
    )
    text = parse_bytes(data, "a.epub").text
    assert text == "One\n\nText of One.\n\nTwo\n\nText of Two."
