"""Elements of a page that nobody sees, by their attributes and its style sheet."""

from __future__ import annotations

import pytest

from mplus_ray.pipeline.parsing.parse import parse_bytes


def read(body: str, css: str = "") -> str:
    page = f"<html><head><style>{css}</style></head><body>{body}</body></html>"
    return parse_bytes(page.encode(), "a.html").text


@pytest.mark.parametrize(
    "style",
    [
        "DISPLAY : NONE !important",
        "display:/**/none",
        "d\\69splay:none",
        "visibility:collapse",
        "content-visibility:hidden",
        "opacity:.01",
        "opacity:0%",
        "filter:opacity(0)",
        "font-size:1px",
        "font:0/0 a",
        "zoom:0",
        "transform:scale(0)",
        "transform:translateX(-9999px)",
        "position:absolute;left:-9999px",
        "position:absolute;right:-9999px",
        "margin-left:-9999px",
        "text-indent:-999em",
        "clip:rect(0,0,0,0);position:absolute",
        "clip-path:circle(0)",
        "width:1px;height:1px;overflow:hidden",
        "max-height:0px;overflow:hidden",
        "color:transparent",
        "color:rgba(0,0,0,0)",
        "color:#00000000",
        "color:#fff",
        "color:rgb(255,255,255)",
        "color:hsl(0, 0%, 100%)",
        "color:navy;background:#000080",
    ],
)
def test_what_a_style_hides(style: str) -> None:
    assert read(f"<p>Seen.</p><p style='{style}'>no</p>") == "Seen."
    assert read("<p>Seen.</p><p class=x>no</p>", f".x{{{style}}}") == "Seen."


@pytest.mark.parametrize(
    "body",
    [
        "<p style='display:none;display:block'>Seen.</p>",
        "<div style='font-size:0'><span style='font-size:14px'>Seen.</span></div>",
        "<div style='visibility:hidden'><p style='visibility:visible'>Seen.</p></div>",
        "<div style='background:#123'><p style='color:#fff'>Seen.</p></div>",
        "<table bgcolor=black><tr><td><font color=white>Seen.</font></td></tr></table>",
        "<div style='color:#fff'><p style='color:#000'>Seen.</p></div>",
        "<p style='opacity:0;transition:opacity 1s'>Seen.</p>",
        "<p style='font:12px/0 a'>Seen.</p>",
        "<p style='margin:0 -100px'>Seen.</p>",
        "<p style='transform:translateX(-100%)'>Seen.</p>",
        "<p style='color:currentcolor;left:-100%;font-size:;opacity:'>Seen.</p>",
    ],
)
def test_what_is_shown_all_the_same(body: str) -> None:
    assert read(body) == "Seen."


@pytest.mark.parametrize(
    ("css", "text"),
    [
        (".w{color:#fff}", ""),
        ("body{background:white}.w{color:#fff}", ""),
        ("body{background:#000}.w{color:#fff}", "Seen."),
        ("body{background:url(a.png)}.w{color:#fff}", "Seen."),
        (".w{color:#fff}.w:hover{color:#000}", "Seen."),
    ],
)
def test_white_letters_are_hidden_where_the_page_is_white(css: str, text: str) -> None:
    assert read("<p>A.</p><p class=w>Seen.</p>", css) == f"A.\n\n{text}".strip()


def test_a_style_sheet_elsewhere_may_give_another_ground() -> None:
    page = "<link rel=stylesheet href=a.css><p>A.</p><p style='color:white'>Seen.</p>"
    assert parse_bytes(page.encode(), "a.html").text == "A.\n\nSeen."


def test_cells_that_span_rows_are_told_in_each() -> None:
    rows = (
        "<tr><th>Port<th>Day<th>Open"
        "<tr><td rowspan=2>Dorvas<td>Monday<td rowspan=3>yes<tr><td>Friday"
        "<tr><td colspan=2>Brelin"
    )
    assert read(f"<table>{rows}</table>") == (
        "Port | Day | Open\nDorvas | Monday | yes\nDorvas | Friday | yes\nBrelin | | yes"
    )


def test_what_is_typed_into_a_form_is_read() -> None:
    form = (
        "<form><label>Name</label><input value='Odo Farrin'><input type=hidden value=no>"
        "<select><option>no<option selected>Dorvas</select><textarea>By ferry</textarea></form>"
    )
    assert read(form) == "Name Odo Farrin Dorvas By ferry"


def test_a_drawing_s_title_is_not_the_page_s() -> None:
    page = b"<p>Seen.</p><svg><title>Arrow</title></svg>"
    assert parse_bytes(page, "tides.html").title == "tides"


def test_a_page_that_declares_utf_16_and_is_readable_is_utf_8() -> None:
    page = '<meta charset="unicode"><p>Über.</p>'
    assert parse_bytes(page.encode(), "a.html").text == "Über."
