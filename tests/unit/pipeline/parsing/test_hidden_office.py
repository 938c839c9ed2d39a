# ruff: noqa: E501 (small documents are written out as they lie in a file)
"""What office files hide by colours, styles, sheets and slides is left out; what is seen stays."""

from __future__ import annotations

import io
from typing import Any

import openpyxl
import pptx
import pytest
from openpyxl.styles import Font, PatternFill
from openpyxl.worksheet.table import Table
from pptx.dml.color import RGBColor
from pptx.util import Inches, Pt
from reportlab.lib.colors import black, white
from reportlab.pdfgen.canvas import Canvas

from mplus_ray.pipeline.parsing.formats.hidden import workbook
from mplus_ray.pipeline.parsing.parse import parse_bytes
from mplus_ray.pipeline.parsing.refusals import RefusalCount
from tests.unit.pipeline.parsing.office_files import open_document, paragraph, run, saved, word
from tests.unit.pipeline.parsing.test_hidden import pdf_of, stream

_WHITE = '<w:color w:val="FFFFFF"/>'
_NAVY = '<w:shd w:val="clear" w:color="auto" w:fill="000080"/>'
_STYLES = f"""
<w:style w:type="paragraph" w:styleId="P"><w:rPr><w:vanish/></w:rPr></w:style>
<w:style w:type="character" w:styleId="C"><w:rPr><w:vanish/></w:rPr></w:style>
<w:style w:type="character" w:styleId="Later"><w:basedOn w:val="C"/></w:style>
<w:style w:type="paragraph" w:styleId="W"><w:rPr>{_WHITE}</w:rPr></w:style>
<w:style w:type="paragraph" w:styleId="Banner"><w:pPr>{_NAVY}</w:pPr><w:rPr>{_WHITE}</w:rPr></w:style>
<w:style w:type="paragraph" w:styleId="Tiny"><w:rPr><w:sz w:val="2"/></w:rPr></w:style>
<w:style w:type="table" w:styleId="Plain"/>
<w:style w:type="table" w:styleId="Dark"><w:tblStylePr w:type="firstRow"><w:tcPr>{_NAVY}</w:tcPr></w:tblStylePr></w:style>
"""


def style(name: str) -> str:
    return f'<w:pStyle w:val="{name}"/>'


def cell(inner: str, table: str = "", own: str = "") -> str:
    return (
        f"<w:tbl><w:tblPr>{table}</w:tblPr><w:tr><w:tc><w:tcPr>{own}</w:tcPr>{paragraph(inner)}"
        "</w:tc></w:tr></w:tbl>"
    )


@pytest.mark.parametrize(
    "hidden",
    [
        paragraph(run("no", _WHITE)),
        paragraph(run("no", '<w:color w:val="FEFEFE" w:themeColor="background1"/>')),
        paragraph(run("no", "<w:vanish/>")),
        paragraph(run("no"), style("P")),
        paragraph(run("no", '<w:rStyle w:val="C"/>')),
        paragraph(run("no", '<w:rStyle w:val="Later"/>')),
        paragraph(run("no"), style("W")),
        paragraph(run("no"), style("Tiny")),
        paragraph(run("no", "<w:sz w:val='2'/>")),
        paragraph(run("no", '<w:color w:val="000080"/>'), _NAVY),
        cell(run("no", _WHITE)),
        cell(run("no", _WHITE), '<w:tblStyle w:val="Plain"/>'),
        paragraph(run("no", f'{_WHITE}<w:shd w:val="clear" w:fill="FFFFFF"/>')),
    ],
)
def test_what_a_word_file_hides(hidden: str) -> None:
    body = paragraph(run("Seen.")) + hidden + paragraph(run("Again."))
    assert parse_bytes(word(body, _STYLES), "a.docx").text == "Seen.\n\nAgain."


@pytest.mark.parametrize(
    "seen",
    [
        paragraph(run("Seen.", _WHITE + _NAVY)),
        paragraph(run("Seen.", _WHITE + '<w:highlight w:val="black"/>')),
        paragraph(run("Seen.", _WHITE), _NAVY),
        paragraph(run("Seen."), style("Banner")),
        paragraph(run("Seen.", '<w:color w:val="000000"/>'), style("W")),
        paragraph(run("Seen.", '<w:vanish w:val="0"/>'), style("P")),
        paragraph(run("Seen.", '<w:color w:val="auto"/>'), style("W")),
        paragraph(run("Seen.", "<w:webHidden/>")),
        paragraph(run("Seen.", _WHITE + "<w:outline/>")),
        paragraph(run("Seen.", _WHITE + '<w:shd w:val="pct50" w:fill="FFFFFF"/>')),
        cell(run("Seen.", _WHITE), "", _NAVY),
        cell(run("Seen.", _WHITE), _NAVY),
        cell(run("Seen.", _WHITE), '<w:tblStyle w:val="Dark"/>'),
        cell(cell(run("Seen.", _WHITE)), "", _NAVY).replace("<w:p><w:pPr></w:pPr><w:tbl>", "<w:tbl>").replace("</w:tbl></w:p>", "</w:tbl><w:p/>"),
        paragraph("<w:r><w:pict><w:txbxContent>" + paragraph(run("Seen.", _WHITE)) + "</w:txbxContent></w:pict></w:r>"),
        paragraph(run("Seen.", _WHITE)) + paragraph('<w:r><w:drawing><w:anchor behindDoc="1"/></w:drawing></w:r>'),
    ],
)  # fmt: skip
def test_what_a_word_file_shows_on_another_ground(seen: str) -> None:
    assert parse_bytes(word(seen, _STYLES), "a.docx").text.strip() == "Seen."


_ODF_STYLES = (
    '<style:style style:name="W" style:family="text"><style:text-properties fo:color="#ffffff"/></style:style>'
    '<style:style style:name="B" style:family="text"><style:text-properties fo:color="#000000"/></style:style>'
    '<style:style style:name="A" style:family="text"><style:text-properties style:use-window-font-color="true"/></style:style>'
    '<style:style style:name="N" style:family="paragraph"><style:paragraph-properties fo:background-color="#000080"/></style:style>'
    '<style:style style:name="C" style:family="table-cell"><style:table-cell-properties fo:background-color="#000080"/></style:style>'
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('<text:p>Seen<text:span text:style-name="W"> no</text:span>.</text:p>', "Seen."),
        ('<text:p text:style-name="W">no <text:span text:style-name="B">Seen.</text:span> no</text:p>', "Seen."),
        ('<text:p text:style-name="W">no <text:span text:style-name="A">Seen.</text:span></text:p>', "Seen."),
        ('<text:p text:style-name="N"><text:span text:style-name="W">Seen.</text:span></text:p>', "Seen."),
        ('<table:table><table:table-row><table:table-cell table:style-name="C"><text:p text:style-name="W">Seen.</text:p></table:table-cell></table:table-row></table:table>', "Seen."),
        ('<text:p><draw:frame><draw:text-box><text:p text:style-name="W">Seen.</text:p></draw:text-box></draw:frame></text:p>', "Seen."),
    ],
)  # fmt: skip
def test_colours_of_an_open_document(body: str, text: str) -> None:
    data = open_document(f"<text:p>First.</text:p>{body}", _ODF_STYLES)
    assert parse_bytes(data, "a.odt").text.split() == ["First.", *text.split()]


def test_a_page_of_an_open_document_may_be_dark() -> None:
    page = '<style:page-layout><style:page-layout-properties fo:background-color="#000000"/></style:page-layout>'
    data = open_document('<text:p text:style-name="W">Seen.</text:p>', _ODF_STYLES + page)
    assert parse_bytes(data, "a.odt").text == "Seen."


def test_hidden_sheets_and_rows_of_an_open_document() -> None:
    def row(values: str, more: str = "") -> str:
        cells = "".join(
            f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'
            for value in values.split()
        )
        return f"<table:table-row{more}>{cells}</table:table-row>"

    hidden = '<style:style style:name="H" style:family="table"><style:table-properties table:display="false"/></style:style>'
    collapsed = row("no no", ' table:visibility="collapse"')
    shown = f"{row('k v')}{row('a one')}{collapsed}{row('b two')}"
    body = (
        f'<table:table table:name="S">{shown}</table:table>'
        f'<table:table table:name="T" table:style-name="H">{row("no no")}</table:table>'
    )
    parsed = parse_bytes(open_document(body, hidden, "spreadsheet"), "a.ods")
    assert "no" not in parsed.text
    assert "two" in parsed.text
    assert set(parsed.left_out) == {
        RefusalCount(".ods row", "hidden", 1),
        RefusalCount(".ods sheet", "hidden", 1),
    }


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb"Seen. {\cf2 no}{\cf1 Again.}", "Seen. Again."),
        (rb"Seen. \cf2 no\cf0 Again.", "Seen. Again."),
        (rb"Seen. {\cf2\highlight1 Again.}", "Seen. Again."),
        (rb"Seen.\par\pard\cbpat1 {\cf2 Again.}", "Seen.\n\nAgain."),
        (rb"Seen.\par\pard\cbpat1\cf2 Again.\par\pard no", "Seen.\n\nAgain."),
        (rb"\trowd\clcbpat1\cellx900\intbl {\cf2 Seen.}\cell\row", "Seen."),
        (rb"{\stylesheet{\s1\cf2 heading 1;}}Seen. {\cf2 no}", "Seen."),
    ],
)
def test_colours_of_rtf(body: bytes, text: str) -> None:
    table = rb"{\colortbl;\red0\green0\blue128;\red255\green255\blue255;}"
    assert parse_bytes(rb"{\rtf1\ansi " + table + body + b"}", "a.rtf").text == text


def sheet(book: Any, *rows: list[Any], name: str = "S") -> Any:
    made = book.create_sheet(name)
    for row in rows:
        made.append(row)
    return made


@pytest.fixture
def book() -> Any:
    made = openpyxl.Workbook()
    made.remove(made.active)
    return made


def test_white_cells_of_a_workbook(book: Any) -> None:
    made = sheet(book, ["k", "v"], ["a", "no"], ["b", "seen"], ["c", "no"], ["d", "seen"])
    for place in ("B2", "B3", "B4"):
        made[place].font = Font(color="FFFFFFFF")
    made["B3"].fill = PatternFill("solid", fgColor="FF000080")
    made["B4"].fill = PatternFill("solid", fgColor="FFFFFFFF")
    text = parse_bytes(saved(book), "a.xlsx").text
    assert text.splitlines() == ["k: a", "k: b; v: seen", "k: c", "k: d; v: seen"]


def test_a_table_of_a_workbook_may_be_dark_by_its_style(book: Any) -> None:
    made = sheet(book, ["k", "v"], ["a", "seen"])
    made["A1"].font = made["B1"].font = Font(color="FFFFFFFF")
    made.add_table(Table(displayName="T", ref="A1:B2"))
    assert parse_bytes(saved(book), "a.xlsx").text == "k: a; v: seen"


def test_hidden_sheets_rows_and_columns_are_counted(book: Any) -> None:
    made = sheet(book, ["k", "v", "no"], ["a", 1, "no"], ["no", 2, "no"], ["c", 3, "no"])
    made.row_dimensions[3].hidden = True
    made.column_dimensions["C"].hidden = True
    sheet(book, ["no"], ["no"], name="T").sheet_state = "hidden"
    sheet(book, ["no"], ["no"], name="U").sheet_state = "veryHidden"
    parsed = parse_bytes(saved(book), "a.xlsx")
    assert parsed.text == "k: a; v: 1\nk: c; v: 3"
    assert set(parsed.left_out) == {
        RefusalCount(".xlsx sheet", "hidden", 2),
        RefusalCount(".xlsx row", "hidden", 1),
        RefusalCount(".xlsx column", "hidden", 1),
    }


def test_rows_that_a_filter_leaves_out_are_not_lost(book: Any) -> None:
    made = sheet(book, ["k", "v"], ["a", 1], ["b", 2], ["c", 3])
    made.auto_filter.ref = "A1:B4"
    made.auto_filter.add_filter_column(0, ["a", "c"])
    made.row_dimensions[3].hidden = True
    parsed = parse_bytes(saved(book), "a.xlsx")
    assert parsed.text == "k: a; v: 1\nk: b; v: 2\nk: c; v: 3"
    assert parsed.left_out == ()


def test_a_workbook_without_styles_or_sheets_is_left_to_its_parser() -> None:
    assert workbook.without_hidden_cells(b"PK no archive") == (b"PK no archive", ())


def test_hidden_slides_shapes_and_tiny_text() -> None:
    show = pptx.Presentation()
    for title in ("Seen", "no", "Again"):
        slide = show.slides.add_slide(show.slide_layouts[5])
        slide.shapes.title.text = title
        slide.notes_slide.notes_text_frame.text = f"Said of {title}."
    show.slides[1]._element.set("show", "0")
    slide = show.slides[2]
    hidden = slide.shapes.add_textbox(0, 0, 99, 99)
    hidden.text_frame.text = "no"
    hidden._element.nvSpPr.cNvPr.set("hidden", "1")
    tiny = slide.shapes.add_textbox(0, 0, 99, 99)
    tiny.text_frame.text = "no"
    tiny.text_frame.paragraphs[0].runs[0].font.size = Pt(1)
    parsed = parse_bytes(saved(show), "a.pptx")
    assert parsed.text == "Seen\n\nSaid of Seen.\n\nAgain\n\nSaid of Again."
    assert parsed.left_out == (RefusalCount(".pptx slide", "hidden", 1),)


def test_the_top_of_a_page_whose_size_the_document_gives() -> None:
    data = pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 595 842]>>",
            b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
            stream(b"BT /F 12 Tf 50 820 Td (At the top) Tj 0 -300 Td (below) Tj ET"),
            b"<</Type/Font/Subtype/Type1/BaseFont/Courier>>",
        ]
    )
    assert parse_bytes(data, "a.pdf").text == "At the top\n\nbelow"


def test_text_in_a_pattern_is_seen() -> None:
    data = pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 300 300]>>",
            b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F 5 0 R>>/Pattern<</P 6 0 R>>>>>>",
            stream(b"BT /Pattern cs /P scn /F 24 Tf 50 200 Td (Striped) Tj ET"),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold>>",
            b"<</PatternType 2/Shading<</ShadingType 2/ColorSpace/DeviceRGB/Coords[0 0 300 0]/Function<</FunctionType 2/Domain[0 1]/C0[1 0 0]/C1[0 0 1]/N 1>>/Extend[true true]>>>>",
        ]
    )
    assert parse_bytes(data, "a.pdf").text == "Striped"


def test_text_of_forms_is_read_where_they_are_drawn() -> None:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.beginForm("inner")
    canvas.drawString(0, 0, "In a form.")
    canvas.endForm()
    canvas.beginForm("outer")
    canvas.doForm("inner")
    canvas.setFillColor(black)
    canvas.rect(0, 60, 200, 30, fill=1)
    canvas.setFillColor(white)
    canvas.drawString(5, 70, "White on black.")
    canvas.drawString(5, 120, "White on paper.")
    canvas.endForm()
    canvas.translate(72, 500)
    canvas.doForm("outer")
    canvas.save()
    assert parse_bytes(buffer.getvalue(), "a.pdf").text.split("\n\n") == [
        "In a form.",
        "White on black.",
    ]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb"10{\super 6} litres of H{\sub 2}O", "10⁶ litres of H₂O"),
        (rb"10\super 6\nosupersub  litres", "10⁶ litres"),
        (rb"10{\up6 6} litres, x{\super th}", "10⁶ litres, x^th"),
        (rb"{\stylesheet{\s1\super 6;}}10{\super 6\plain 7}", "10⁶7"),
    ],
)
def test_raised_letters_of_rtf(body: bytes, text: str) -> None:
    assert parse_bytes(rb"{\rtf1\ansi " + body + b"}", "a.rtf").text == text


def test_raised_letters_of_an_open_document() -> None:
    styles = "".join(
        f'<style:style style:name="{name}"><style:text-properties style:text-position="{place}"/>'
        "</style:style>"
        for name, place in (("A", "super 58%"), ("B", "-33% 58%"), ("C", "0% 100%"))
    )
    body = "".join(
        f'{before}<text:span text:style-name="{name}">{text}</text:span>'
        for before, name, text in (("10", "A", "6"), (" H", "B", "2"), ("O", "C", " is"))
    )
    assert (
        parse_bytes(open_document(f"<text:p>{body}</text:p>", styles), "a.odt").text == "10⁶ H₂O is"
    )


def test_signs_and_readings_of_a_word_file() -> None:
    sign = '<w:r><w:sym w:font="Symbol" w:char="F061"/></w:r>'
    reading = (
        "<w:r><w:ruby><w:rubyPr/><w:rt><w:r><w:t>かん</w:t></w:r></w:rt>"
        "<w:rubyBase><w:r><w:t>漢</w:t></w:r></w:rubyBase></w:ruby></w:r>"
    )
    body = paragraph(run("an angle ") + sign) + paragraph(reading + run("字"))
    assert parse_bytes(word(body), "a.docx").text == "an angle α\n\n漢(かん)字"


def test_letters_of_no_width_are_hidden() -> None:
    body = paragraph(
        run("Seen.") + run("no", '<w:w w:val="1"/>') + run(" Two.", '<w:w w:val="50"/>')
    )
    assert parse_bytes(word(body), "a.docx").text == "Seen. Two."


def test_each_row_of_a_document_tells_a_cell_that_spans_several() -> None:
    def cell(text: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(run(text) if text else '')}</w:tc>"

    rows = (
        cell("Port") + cell("Open"),
        cell("Dorvas", '<w:vMerge w:val="restart"/>') + cell("yes"),
        cell("", "<w:vMerge/>") + cell("no"),
    )
    body = f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"
    assert parse_bytes(word(body), "a.docx").text == "Port | Open\nDorvas | yes\nDorvas | no"


def test_what_is_not_on_a_slide_is_left_out_and_counted() -> None:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])

    def box(shapes: Any, text: str, x: float, y: float) -> Any:
        made = shapes.add_textbox(Inches(x), Inches(y), Inches(3), Inches(1))
        made.text_frame.text = text
        return made

    box(slide.shapes, "Seen.", 1, 1)
    for x, y in ((-9, 1), (30, 1), (1, -5), (1, 20)):
        box(slide.shapes, "no", x, y)
    group = slide.shapes.add_group_shape()
    box(group.shapes, "In a group.", 1, 2)
    box(group.shapes, "no", -20, 2)
    parsed = parse_bytes(saved(deck), "a.pptx")
    assert parsed.text == "Seen.\n\nIn a group."
    assert parsed.left_out == (RefusalCount(".pptx shape off its slide", "hidden", 5),)


def test_transparent_and_raised_letters_of_a_slide() -> None:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    text = slide.shapes.add_textbox(Inches(1), Inches(1), Inches(3), Inches(1)).text_frame
    text.text = "10"
    raised, clear = text.paragraphs[0].add_run(), text.paragraphs[0].add_run()
    raised.text, clear.text = "6", " no"
    raised.font._element.set("baseline", "30000")
    clear.font.color.rgb = RGBColor(1, 2, 3)
    (colour,) = clear.font._element.iter("{*}srgbClr")
    alpha = colour.makeelement(colour.tag.replace("srgbClr", "alpha"), {"val": "0"})
    colour.append(alpha)
    assert parse_bytes(saved(deck), "a.pptx").text == "10⁶"
