"""What pages repeat is said once; what only looks alike is the text itself."""

from __future__ import annotations

import io

from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from mplus_ray.pipeline.parsing.formats.pdf.page import Line, TextSegment
from mplus_ray.pipeline.parsing.formats.pdf.running_heads import without_running_heads
from mplus_ray.pipeline.parsing.parse import parse_bytes
from mplus_ray.pipeline.parsing.refusals import Refusal, RefusalCount


def page(*texts: str) -> list[Line]:
    """Lines from top to bottom."""
    heights = range(10 * len(texts), 0, -10)
    return [
        Line([TextSegment(text, 0.0, float(y), 100.0, y + 8.0)])
        for text, y in zip(texts, heights, strict=True)
    ]


def kept(*pages: list[Line]) -> list[list[str]]:
    return [[line.text for line in lines] for lines in without_running_heads(pages)]


def test_a_head_stands_once_and_page_numbers_never() -> None:
    pages = [
        page("The tides", f"Text {word}", f"More {word}", f"End {word}", str(number))
        for number, word in enumerate("abcd", 7)
    ]

    assert kept(*pages) == [
        ["The tides", "Text a", "More a", "End a"],
        *([f"Text {word}", f"More {word}", f"End {word}"] for word in "bcd"),
    ]


def test_a_head_may_have_the_page_s_number_in_it() -> None:
    pages = [
        page(f"Tides 1931, page {n} of 40", f"Text {n * n}", "-", f"End {n * n}") for n in (3, 4, 5)
    ]

    assert [lines[0] for lines in kept(*pages)] == [
        "Tides 1931, page 3 of 40",
        "Text 16",
        "Text 25",
    ]


def test_sums_that_differ_are_no_head() -> None:
    pages = [page(f"Bill {n}", "Goods", "Tax", f"Total {n} EUR") for n in (120, 75, 300, 18)]

    assert [(lines[0], lines[-1]) for lines in kept(*pages)] == [
        (f"Bill {n}", f"Total {n} EUR") for n in (120, 75, 300, 18)
    ]


def test_a_long_line_is_no_head() -> None:
    row = "A, B, C = 0.00, 0.10, 0.20 " * 4
    pages = [page(row, f"Text {n * n}", "-", f"End {n * n}") for n in (1, 2, 3)]

    assert all(lines[0] == row for lines in kept(*pages))


def drawn(*texts: str, picture: bool = False) -> bytes:
    """A PDF with a page for each."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(300, 300))
    # A picture of noise, so that it is no blank one.
    noise = ImageReader(io.BytesIO(b"P5 16 16 255\n" + bytes(range(256))))
    for text in texts:
        if picture:
            canvas.drawImage(noise, 0, 0, 300, 300)
        canvas.drawString(50, 280, text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def test_pages_that_say_nothing_but_their_head_are_not_lost() -> None:
    parsed = parse_bytes(drawn("Letter 1: page 1", "Letter 1: page 2", "Letter 1: page 3"), "a.pdf")
    assert parsed.text == "Letter 1: page 1\n\nLetter 1: page 2\n\nLetter 1: page 3"


def test_scans_under_a_head_are_scans() -> None:
    parsed = parse_bytes(drawn("Archive", "Archive", "Archive", picture=True), "a.pdf")
    assert parsed.text == "Archive"
    assert parsed.left_out == (RefusalCount(".pdf page", Refusal.SCAN, 2),)
