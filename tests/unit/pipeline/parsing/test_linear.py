# ruff: noqa: E501 (small documents are written out as they lie in a file)
"""Four times as much takes no more than about four times as long, however it is written."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.parse import parse_bytes
from tests.unit.pipeline.parsing.office_files import open_document, paragraph, run, word
from tests.unit.pipeline.parsing.test_hidden import pdf_of, stream

_WHITE = '<w:color w:val="FFFFFF"/>'
_ODF = '<style:style style:name="W"><style:text-properties fo:color="#ffffff"/></style:style>'
_SHOWN = 0.3  # seconds that any of them may take: too little to tell anything from


def chain(count: int) -> str:
    """Styles that inherit from one another."""
    return "".join(
        f'<w:style w:type="character" w:styleId="S{n}"><w:basedOn w:val="S{n + 1}"/><w:rPr>{_WHITE}</w:rPr></w:style>'
        for n in range(count)
    )


def nested(count: int) -> bytes:
    begin, end = "<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>"
    return word(begin * count + paragraph(run("a", _WHITE) * count) + end * count)


def page(content: bytes) -> bytes:
    return pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 595 842]>>",
            b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
            stream(content),
            b"<</Type/Font/Subtype/Type1/BaseFont/Courier>>",
        ]
    )


def lines(count: int) -> bytes:
    return b"".join(b"1 0 0 1 50 %d Tm (ab) Tj " % (n % 800) for n in range(count))


MADE: dict[str, tuple[str, int, Callable[[int], bytes]]] = {
    "white runs": ("a.docx", 2000, lambda n: word(paragraph(run("a", _WHITE) * n))),
    "runs of a style": ("a.docx", 1000, lambda n: word(paragraph(run("a", '<w:rStyle w:val="S0"/>') * n), chain(n))),
    "tables in tables": ("a.docx", 60, nested),
    "properties": ("a.docx", 1000, lambda n: word(paragraph(run("a", _WHITE) * n, "<w:x/>" * n))),
    "white spans": ("a.odt", 5000, lambda n: open_document(f'<text:p text:style-name="W">{"<text:span>a</text:span>" * n}</text:p>', _ODF)),
    "hidden words": ("a.odt", 3000, lambda n: open_document(f"<text:p>{'<text:hidden-text>b</text:hidden-text>a' * n}</text:p>")),
    "groups": ("a.rtf", 8000, lambda n: b"{\\rtf1 " + b"{\\v a" * n + b"}" * n + b"b}"),
    "white groups": ("a.rtf", 8000, lambda n: b"{\\rtf1{\\colortbl;\\red255\\green255\\blue255;}" + b"{\\cf1 a}" * n + b"b}"),
    "tables of colours": ("a.rtf", 8000, lambda n: b"{\\rtf1" + b"{\\colortbl" * n + b"\\red255 \\v x}"),
    "elements": ("a.html", 2000, lambda n: b"<style>.a .b .c{display:none}</style>" + b"<div class='a b'>x" * n),
    "rules": ("a.html", 2000, lambda n: b"<style>" + b".a .b{display:none}" * n + b"</style>" + b"<p class='a b'>x" * n),
    "rectangles": ("a.pdf", 500, lambda n: page(b"1 0 0 rg " + b"1 1 9 9 re f " * n + b"1 g BT /F 2 Tf " + lines(n) + b"ET")),
    "white lines": ("a.pdf", 1000, lambda n: page(b"1 g BT /F 2 Tf " + lines(n) + b"ET")),
    "sections": ("a.rst", 200, lambda n: b"".join(b".. _a%d:\n\nT%d\n=====\n\nx a%d_\n\n" % (i, i, i) for i in range(n))),
    "messages": ("a.eml", 50, lambda n: b"From: a@b\nSubject: s\n" + b"Content-Type: message/rfc822\n\nFrom: a@b\n" * n + b"\nx"),
    "comments": ("a.md", 20000, lambda n: b"a `b` <!-- c --> `<!-- d -->` " * n),
    "white letters": ("a.html", 3000, lambda n: b"<div style='color:#fff'>" * n + b"x"),
    "styles": ("a.html", 3000, lambda n: b"".join(b"<p style='color:#%06x;left:%dpx'>a" % (i, i) for i in range(n))),
    "spans": ("a.html", 500, lambda n: b"<table>" + b"<tr><td rowspan=50 colspan=50>a<td>b" * n),
    "clips": ("a.pdf", 500, lambda n: page(b"".join(b"q 0 0 99 99 re W n BT /F 9 Tf 1 0 0 1 50 %d Tm (a) Tj ET Q " % (i % 800) for i in range(n)))),
    "covered": ("a.pdf", 500, lambda n: page(b"BT /F 9 Tf 9 9 Td (a) Tj ET 1 1 9 9 re f " * n)),
    "raised": ("a.rtf", 5000, lambda n: b"{\\rtf1 " + b"{\\super 6}" * n + b"}"),
    "attributes": ("a.xml", 1000, lambda n: b"<r>" + b'<a b="1" c="2"/>' * n + b"</r>"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_other_garbage() -> Iterator[None]:
    """What earlier tests left in this process is no part of what a parser takes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def seconds(name: str, data: bytes) -> float:
    """Of this process's own time."""
    began = time.process_time()
    with suppress(DocumentError):
        parse_bytes(data, name)
    return time.process_time() - began


def grows_too_fast(name: str, small: bytes, large: bytes, repeats: int) -> str:
    """Empty unless the larger document takes more than twice its share at every repetition:
    other work on the machine can make any one measurement slow, and none of them quick."""
    four_times = min(seconds(name, large) for _ in range(repeats))
    if four_times < _SHOWN:
        return ""
    once = min(seconds(name, small) for _ in range(repeats))
    return "" if four_times < _SHOWN + 8 * once else f"{four_times:.2f} s against {once:.2f} s"


@pytest.mark.parametrize("what", list(MADE))
def test_time_grows_with_the_document(what: str) -> None:
    name, count, made = MADE[what]
    small, large = made(count), made(4 * count)
    if grows_too_fast(name, small, large, 1):
        assert not grows_too_fast(name, small, large, 4)


def test_what_is_quadratic_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def quadratic(data: bytes, _name: str) -> None:
        sum(len(data) - n for n in data for _ in data)

    monkeypatch.setattr(sys.modules[__name__], "parse_bytes", quadratic)
    assert grows_too_fast("a.txt", b"a" * 1300, b"a" * 5200, 1)
