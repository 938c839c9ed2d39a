"""Text of a page that nobody sees, instruction by instruction."""

# ruff: noqa: E501 (pages are written out as they lie in a file)
from __future__ import annotations

import pytest

from mplus_ray.pipeline.parsing.parse import parse_bytes
from tests.unit.pipeline.parsing.test_hidden import pdf_of, stream


def said(x: float, y: float, text: str, how: str = "", size: float = 12) -> str:
    """One instruction; `how` is set before it, and for it alone."""
    return f"q BT /F {size} Tf {how} 1 0 0 1 {x} {y} Tm ({text}) Tj ET Q "


_SEEN = said(72, 700, "Seen one.")


def read(
    content: str, resources: str = "", page: str = "", catalog: str = "", more: str = ""
) -> str:
    """The text of a document with one page."""
    objects = [
        f"<</Type/Catalog/Pages 2 0 R{catalog}>>".encode(),
        b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 595 842]>>",
        f"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F 5 0 R>>{resources}>>{page}>>"
        .encode(),
        stream(content.encode("latin-1")),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        more.encode() or b"null",
    ]  # fmt: skip
    return parse_bytes(pdf_of(objects), "a.pdf").text


@pytest.mark.parametrize(
    "hidden",
    [
        said(72, 650, "no", "3 Tr"),
        said(72, 650, "no", "7 Tr"),  # it only clips
        said(72, 650, "no", "1 g"),
        said(72, 650, "no", "0 0 0 0 k"),
        said(72, 650, "no", "1 Tr 1 G"),  # white outlines
        said(72, 650, "no", "0.01 Tz"),
        said(72, 650, "no", size=1),
        said(-300, 650, "no"),
        said(72, -50, "no"),
        "q 0 0 1 1 re W n " + said(72, 650, "no") + "Q ",
        "q 0 0 0 0 re W n " + said(72, 650, "no") + "Q ",
        said(72, 650, "no") + "q 1 g 60 640 300 30 re f Q ",  # covered
        said(130, 700, "no", "1 g"),  # in a line with what is seen
        said(130, 700, "no", "3 Tr"),
    ],
)
def test_what_is_not_shown_is_left_out(hidden: str) -> None:
    assert read(_SEEN + hidden) == "Seen one."
    assert read(hidden + _SEEN) == "Seen one."


@pytest.mark.parametrize(
    "seen",
    [
        said(72, 650, "Seen two.", "1 Tr 1 g"),  # white letters with black outlines
        said(72, 650, "Seen two.", "2 Tr 1 g"),
        "q 0 0 500 800 re W n " + said(72, 650, "Seen two.") + "Q ",
        "q 0.5 0 0 0.5 0 0 cm 100 1250 600 200 re W n " + said(144, 1300, "Seen two.", size=24) + "Q ",
        "0 g 60 640 300 30 re f " + said(72, 650, "Seen two.", "1 g"),
        "1 g 60 640 300 30 re f 0 g " + said(72, 650, "Seen two."),  # drawn over the box
    ],
)  # fmt: skip
def test_what_is_shown_is_kept(seen: str) -> None:
    assert read(_SEEN + seen) == "Seen one.\n\nSeen two."


@pytest.mark.parametrize(
    ("opacity", "text"), [("0.02", "Seen one."), ("0.5", "Seen one.\n\nFaint.")]
)
def test_opacity(opacity: str, text: str) -> None:
    states = f"/ExtGState<</G<</ca {opacity}>>>>"
    assert read(_SEEN + "q /G gs " + said(72, 650, "Faint.") + "Q", states) == text


@pytest.mark.parametrize(("state", "text"), [("OFF", "Seen one."), ("ON", "Seen one.\n\nLayer.")])
def test_layers(state: str, text: str) -> None:
    layers = f"/OCProperties<</OCGs[6 0 R]/D<</{state}[6 0 R]/Order[6 0 R]>>>>"
    content = _SEEN + "/OC /O BDC " + said(72, 650, "Layer.") + "EMC"
    assert read(content, "/Properties<</O 6 0 R>>", "", layers, "<</Type/OCG/Name(x)>>") == text


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_on_a_turned_page(turned: int) -> None:
    content = (
        _SEEN + said(72, 650, "no", "1 g") + "0 g 60 590 99 30 re f " + said(72, 600, "Two.", "1 g")
    )
    assert sorted(read(content, page=f"/Rotate {turned}").split("\n\n")) == ["Seen one.", "Two."]


def test_a_line_goes_on_after_raised_letters() -> None:
    line = (
        "BT /F 12 Tf 1 0 0 1 72 700 Tm (The lake holds 10) Tj /F 7 Tf 5 Ts (6) Tj "
        "/F 12 Tf 0 Ts ( litres. It was dug in 1902) Tj /F 7 Tf 5 Ts (3) Tj /F 12 Tf 0 Ts (.) Tj ET"
    )
    assert read(line) == "The lake holds 10⁶ litres. It was dug in 1902³."


def test_years_at_a_line_s_end_keep_their_hyphen() -> None:
    assert read(said(72, 700, "Built from 2010-") + said(72, 686, "2012 by Odo.")) == (
        "Built from 2010-2012 by Odo."
    )


def test_words_cut_at_the_end_of_a_column_s_line_are_joined() -> None:
    left = ("The harbour mas-", "ter of the town is", "Odo of pre-", "and post-war times")
    right = (
        "and here the inter-",
        "preter of the other",
        "column goes on to",
        "its very last line",
    )
    content = "".join(
        said(72, 700 - 14 * line, one) + said(330, 700 - 14 * line, other)
        for line, (one, other) in enumerate(zip(left, right, strict=True))
    )
    text = " ".join(read(content).split())
    assert "harbour master of the town is Odo of pre- and post-war times" in text
    assert "and here the interpreter of the other column goes on to its very last line" in text
