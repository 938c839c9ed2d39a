# ruff: noqa: E501 (small documents are written out as they lie in a file)
"""Text that nobody sees is a way to plant instructions: it is left out of every format."""

from __future__ import annotations

import io
import zipfile

import pytest
from reportlab.lib.colors import black, navy, white
from reportlab.pdfgen.canvas import Canvas

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.formats.hidden.rtf import without_hidden_rtf
from mplus_ray.pipeline.parsing.parse import parse_bytes

_NS = "urn:oasis:names:tc:opendocument:xmlns"


def rtf(body: bytes) -> str:
    return parse_bytes(rb"{\rtf1\ansi " + body + b"}", "a.rtf").text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb"Seen. {\v no {\b no} no}Again.", "Seen. Again."),
        (rb"Seen. \v no\v0 Again.", "Seen. Again."),
        (rb"Seen. \v no\plain Again.", "Seen. Again."),
        (rb"Seen. {\fs2 no}{\fs24 Again.}", "Seen. Again."),
        (rb"Seen. {\deleted no}Again.", "Seen. Again."),
        (rb"Seen. {\v \'6eo \u110?o}Again.", "Seen. Again."),
        (rb"Seen. {\viewkind4 Again.}", "Seen. Again."),
        (rb"U\u252?n {\v no}\u8364? \u-10179?\u-8704?", "Uün € 😀"),
    ],
)
def test_rtf(body: bytes, text: str) -> None:
    assert rtf(body) == text


def test_raw_bytes_in_rtf_are_passed_over() -> None:
    body = b"{\\rtf1 {\\v no}{\\pict\\bin3 }{\\}Seen.}"
    assert without_hidden_rtf(body) == b"{\\rtf1 {\\v }{\\pict\\bin3 }{\\}Seen.}"


def odt(body: str, styles: str = "") -> bytes:
    content = (
        f'<office:document-content xmlns:office="{_NS}:office:1.0" xmlns:text="{_NS}:text:1.0" '
        f'xmlns:style="{_NS}:style:1.0" xmlns:fo="{_NS}:xsl-fo-compatible:1.0">'
        f"<office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:text>{body}</office:text></office:body></office:document-content>"
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        file.writestr("content.xml", content)
    return buffer.getvalue()


_STYLES = (
    '<style:style style:name="H"><style:text-properties text:display="none"/></style:style>'
    '<style:style style:name="C" style:parent-style-name="H"/>'
    '<style:style style:name="S"><style:text-properties fo:font-size="1pt"/></style:style>'
    '<style:style style:name="N"><style:text-properties fo:font-size="12pt"/></style:style>'
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('<text:p>Seen<text:span text:style-name="H">no</text:span> again.</text:p>', "Seen again."),
        ('<text:p>Seen<text:span text:style-name="C">no</text:span> again.</text:p>', "Seen again."),
        ('<text:p>Seen<text:span text:style-name="S">no</text:span> again.</text:p>', "Seen again."),
        ('<text:p><text:span text:style-name="N">Seen</text:span> again.</text:p>', "Seen again."),
        ('<text:p text:style-name="H">no</text:p><text:p>Seen.</text:p>', "Seen."),
        ('<text:section text:display="none"><text:p>no</text:p></text:section><text:p>Seen.</text:p>', "Seen."),
        ("<text:p>Seen<text:hidden-text>no</text:hidden-text>.</text:p>", "Seen."),
        ('<text:p><text:hidden-paragraph text:is-hidden="true"/>no</text:p><text:p>Seen.</text:p>', "Seen."),
        (
            "<text:p>Seen<office:annotation><text:p>A comment.</text:p></office:annotation>.</text:p>",
            "Seen[1].\n\n[1] A comment.",
        ),
    ],
)  # fmt: skip
def test_open_document(body: str, text: str) -> None:
    assert parse_bytes(odt(body, _STYLES), "a.odt").text == text


def test_a_pdf_is_read_by_what_letters_stand_on() -> None:
    buffer = io.BytesIO()
    page = Canvas(buffer)
    for y, ground, letters, text in (
        (700, None, black, "Seen on paper."),
        (650, None, white, "White on paper."),
        (600, white, white, "White on a white box."),
        (550, navy, white, "Seen on navy."),
        (500, navy, navy, "Navy on navy."),
        (450, None, navy, "Seen in navy."),
    ):
        page.setFillColor(ground or white)
        page.setStrokeColor(black)
        page.rect(60, y - 5, 300, 20, fill=ground is not None)  # a frame hides nothing
        page.setFillColor(letters)
        page.drawString(72, y, text)
    page.showPage()
    page.save()
    text = parse_bytes(buffer.getvalue(), "a.pdf").text
    assert text == "Seen on paper.\n\nSeen on navy.\n\nSeen in navy."


def pdf_of(objects: list[bytes]) -> bytes:
    """A file of these objects, the first of which is the catalogue."""
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, count = len(data), len(objects) + 1
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    data += b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, rows)
    return data + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (count, start)


def stream(data: bytes) -> bytes:
    return b"<</Length %d>>stream\n%s\nendstream" % (len(data), data)


@pytest.mark.parametrize("mapped", [True, False])
def test_a_font_of_drawings_is_read_by_its_map(mapped: bool) -> None:
    names = b"/g1 /g2 /g3"
    cmap = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def "
        b"1 begincodespacerange <00> <FF> endcodespacerange "
        b"3 beginbfchar <41> <004F> <42> <0077> <43> <006C> endbfchar endcmap end end"
    )
    procedures = b" ".join(name + b" 7 0 R" for name in names.split())
    font = (
        b"<</Type/Font/Subtype/Type3/FontBBox[0 0 500 700]/FontMatrix[0.001 0 0 0.001 0 0]"
        b"/CharProcs<<%s>>/Encoding<</Differences[65 %s]>>/FirstChar 65/LastChar 67"
        b"/Widths[500 500 500]/Resources<<>>%s>>"
    ) % (procedures, names, b"/ToUnicode 6 0 R" if mapped else b"")
    data = pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R"
            b"/Resources<</Font<</F 5 0 R>>>>>>",
            stream(b"BT /F 20 Tf 50 200 Td (ABC) Tj 60 0 Td (ABCC) Tj ET"),
            font,
            stream(cmap),
            stream(b"500 0 0 0 500 700 d1 0 0 400 700 re f"),
        ]
    )
    if mapped:
        assert parse_bytes(data, "a.pdf").text == "Owl Owll"
    else:
        with pytest.raises(DocumentError, match="do not say which characters"):
            parse_bytes(data, "a.pdf")


def test_a_pdf_without_pages_says_so_whatever_was_read_before() -> None:
    with pytest.raises(DocumentError, match="damaged"):
        parse_bytes(b"%PDF-1.4 cut", "b.pdf")
    data = pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"])
    with pytest.raises(DocumentError, match="has no pages"):
        parse_bytes(data, "a.pdf")


@pytest.mark.parametrize(
    ("css", "element"),
    [
        (".x{display:none}", "<p class='a x'>"),
        ("#x { color: red; DISPLAY : NONE ! important }", "<p id=x>"),
        ("p.x, h6{visibility:hidden}", "<p class=x>"),
        (".x.y{font-size:0}", "<p class='y x'>"),
        (".x{opacity:0}", "<p class=x>"),
        ("body div .x{display:none}", "<div><p class=x>"),
        ("@media screen{.x{display:none}}", "<p class=x>"),
        ("p{display:block}.x{display:none}", "<p class=x>"),
        (".x{display:block}.x{display:none}", "<p class=x>"),
        (".x{display:none!important}#x{display:block}", "<p class=x id=x>"),
        ("/* .x{} */ .x{display:none", "<p class=x>"),
    ],
)
def test_what_a_style_sheet_hides(css: str, element: str) -> None:
    page = f"<html><head><style>{css}</style></head><body><p>Seen.</p>{element}no"
    assert parse_bytes(page.encode(), "a.html").text == "Seen."


@pytest.mark.parametrize(
    ("css", "element"),
    [
        (".x{display:none}", "<p class=xx>"),
        (".x{display:none}.x{display:block}", "<p class=x>"),
        (".x{display:none}p.x{display:block}", "<p class=x>"),
        (".x{display:none}#x{display:block}", "<p class=x id=x>"),
        (".x{display:none}.x.is-open{display:block}", "<p class=x>"),
        (".x{display:none}.open .x{display:block}", "<p class=x>"),
        (".x{display:none}.x:target{display:block}", "<p class=x>"),
        (".x{display:none}@media (min-width:40em){.x{display:block}}", "<p class=x>"),
        ("@media print{.x{display:none}}", "<p class=x>"),
        ("@media (max-width:40em){.x{display:none}}", "<p class=x>"),
        ("div>.x{display:none}", "<p class=x>"),
        (".x:first-child{display:none}", "<p class=x>"),
        ("section .x{display:none}", "<div><p class=x>"),
        (".x{opacity:0;transition:opacity 1s}", "<p class=x>"),
        (".x{font-size:0}", "<div class=x><p>"),
        ("body{visibility:hidden}", "<p>"),
        ("@keyframes a{from{display:none}}", "<p>"),
        (".x::before{display:none}", "<p class=x>"),
    ],
)
def test_what_a_style_sheet_may_show(css: str, element: str) -> None:
    page = f"<html><head><style>{css}</style></head><body>{element}Seen."
    assert parse_bytes(page.encode(), "a.html").text == "Seen."


@pytest.mark.parametrize(
    "css",
    [
        "{" * 50_000,
        "a(" * 50_000,
        ".x .x " * 20_000 + "{display:none}",
        ".x{display:none}" * 10_000,
    ],
)
@pytest.mark.timeout(20)
def test_a_style_sheet_that_is_odd_takes_no_longer(css: str) -> None:
    page = f"<html><head><style>{css}</style></head><body>{'<div>' * 200}<p>Seen."
    assert parse_bytes(page.encode(), "a.html").text == "Seen."
