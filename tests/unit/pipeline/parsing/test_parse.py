"""Every format gives its text; what is broken or something else is refused by name."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import Section
from mplus_ray.pipeline.parsing.parse import parse_bytes, parse_file
from mplus_ray.pipeline.parsing.text.checks import MAX_WORD


def pdf(*pages: str, title: str | None = None) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    if title:
        canvas.setTitle(title)
    for page in pages:
        canvas.drawString(72, 700, page)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def encrypted(data: bytes, user_password: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(user_password, owner_password="owner", algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


class TestText:
    def test_text_is_kept_as_it_stands(self) -> None:
        parsed = parse_bytes("Grüße\n\n  aus Köln\n".encode(), "letters/köln.txt")
        assert parsed.text == "Grüße\n\n  aus Köln\n"
        assert parsed.title == "köln"
        assert parsed.metadata == {"format": "txt"}

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
    def test_a_byte_order_mark_tells_the_encoding(self, encoding: str) -> None:
        assert parse_bytes("Grüße".encode(encoding), "a.txt").text == "Grüße"

    def test_line_ends_become_newlines(self) -> None:
        assert parse_bytes(b"a\r\nb\rc", "a.txt").text == "a\nb\nc"

    def test_one_word_is_enough(self) -> None:
        assert parse_bytes(b"yes", "a.txt").text == "yes"

    @pytest.mark.parametrize("data", [b"", b" \n\t", b"\xef\xbb\xbf"])
    def test_without_text_there_is_nothing_to_memorize(self, data: bytes) -> None:
        with pytest.raises(DocumentError, match=r"a\.txt holds no text"):
            parse_bytes(data, "a.txt")

    def test_broken_utf8_is_located(self) -> None:
        with pytest.raises(DocumentError, match="not valid UTF-8: byte 0xff at offset 3"):
            parse_bytes(b"abc\xffdef", "a.txt")

    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (gzip.compress(b"text", mtime=0), "gzip"),
            (b"\x7fELF\2\1", "program"),
        ],
    )
    def test_another_format_under_its_name_is_refused(self, data: bytes, kind: str) -> None:
        with pytest.raises(DocumentError, match=rf"a\.txt is not a \.txt file.*{kind}"):
            parse_bytes(data, "a.txt")

    @pytest.mark.parametrize(
        ("data", "name", "kind"),
        [
            (b"<!DOCTYPE html><p>Owls", "a.txt", "html"),
            (b"<!-- saved --> <html lang=en><p>Owls", "a.md", "html"),
            (b"{\\rtf1 Owls}", "a.doc", "rtf"),
            (b"Owls", "a.xyz", "txt"),
            (b"Owls", "a", "txt"),
            (b"From: a@b.c\nTo: d@e.f\nSubject: x\n\nOwls", "a", "eml"),
            (b"<?xml version='1.0'?><a>Owls</a>", "a", "xml"),
        ],
    )
    def test_the_content_says_what_it_is(self, data: bytes, name: str, kind: str) -> None:
        parsed = parse_bytes(data, name)
        assert "Owls" in parsed.text
        assert "<" not in parsed.text
        assert parsed.metadata["format"] == kind

    def test_a_damaged_archive_is_refused(self) -> None:
        with pytest.raises(DocumentError, match="damaged ZIP archive"):
            parse_bytes(b"PK\x03\x04\x14", "a.txt")

    @pytest.mark.parametrize("data", [b"text\0text", bytes(range(1, 32)) * 4])
    def test_binary_data_is_refused(self, data: bytes) -> None:
        with pytest.raises(DocumentError, match="binary data"):
            parse_bytes(data, "a.txt")

    def test_an_endless_word_is_refused_with_its_line(self) -> None:
        text = "first line\nsecond " + "x" * (MAX_WORD + 1) + " more"
        with pytest.raises(DocumentError, match=r"a\.txt, line 2: more than 1,000,000 characters"):
            parse_bytes(text.encode(), "a.txt")

    def test_an_endless_word_at_the_end_is_refused(self) -> None:
        with pytest.raises(DocumentError, match="line 1"):
            parse_bytes(b"x" * (10 * 2**20), "a.txt")

    def test_a_long_text_without_spaces_but_with_sentences_is_text(self) -> None:
        text = "我们走。" * (MAX_WORD // 2)
        assert parse_bytes(text.encode(), "a.txt").text == text

    @pytest.mark.parametrize("name", ["a.xyz", "a"])
    def test_an_unknown_format_names_the_known_ones(self, name: str) -> None:
        with pytest.raises(DocumentError, match=r"not supported; convert it to one of .*\.pdf"):
            parse_bytes(b"te\0xt", name)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentError, match=r"gone\.txt cannot be read: No such file"):
            parse_file(tmp_path / "gone.txt")


class TestMarkdown:
    def test_headings_become_sections(self) -> None:
        text = "Title\n=====\n\nIntro.\n\n## First #\n\nSecond\n---\n\n```\n# no\n```\n### Third"
        parsed = parse_bytes(text.encode(), "a.md")
        assert parsed.text == text
        assert parsed.title == "Title"
        assert parsed.sections == tuple(
            Section(title, level, text.index(title))
            if title in ("Title", "Second")
            else Section(title, level, text.index("#" * level + " " + title))
            for title, level in [("Title", 1), ("First", 2), ("Second", 2), ("Third", 3)]
        )

    def test_a_rule_is_no_heading(self) -> None:
        assert parse_bytes(b"text\n\n---\n\nmore\n\n#hashtag", "a.md").sections == ()

    def test_without_headings_the_file_names_it(self) -> None:
        assert parse_bytes(b"text", "notes.md").title == "notes"


class TestHtml:
    def test_blocks_become_paragraphs(self) -> None:
        page = """<html><head><title>A  page</title><style>p{}</style></head><body>
            <nav>Home</nav><h1>Birds</h1><p>Ravens <b>are</b>
            black.<p>Owls<br>sleep.<script>let x</script><ul><li>one<li>two</ul>
            <table><tr><td>a<td>b</table><pre>x
  y</pre></body></html>"""
        parsed = parse_bytes(page.encode(), "a.html")
        assert parsed.title == "A page"
        assert parsed.text.split("\n\n") == [
            "Birds",
            "Ravens are black.",
            "Owls sleep.",
            "- one\n- two",
            "a | b",
            "x\n  y",
        ]

    def test_headings_become_sections_at_their_place(self) -> None:
        parsed = parse_bytes(b"<p>intro<h2>Owls</h2><p>text", "a.html")
        (section,) = parsed.sections
        assert (section.title, section.level) == ("Owls", 2)
        assert parsed.text[section.start :].startswith("Owls\n\ntext")

    def test_the_main_part_alone_is_read(self) -> None:
        page = b"<body><div>Subscribe!</div><main><p>News</main><div>Links</div>"
        assert parse_bytes(page, "a.html").text == "News"

    def test_the_declared_encoding_is_used(self) -> None:
        page = '<meta charset="iso-8859-1"><p>Grüße – äh'.encode("cp1252")
        assert parse_bytes(page, "a.html").text == "Grüße – äh"

    def test_an_unknown_declared_encoding_is_refused(self) -> None:
        with pytest.raises(DocumentError, match="unknown encoding 'klingon'"):
            parse_bytes(b"<meta charset=klingon><p>x", "a.html")

    def test_broken_bytes_are_refused(self) -> None:
        with pytest.raises(DocumentError, match="not valid UTF-8"):
            parse_bytes(b"<p>abc\xff", "a.html")

    def test_text_without_tags_is_not_html(self) -> None:
        with pytest.raises(DocumentError, match="has no tags"):
            parse_bytes(b"1 < 2 and nothing else", "a.html")

    @pytest.mark.parametrize("page", [b"", b"<html><script>x()</script></html>"])
    def test_a_page_without_text_is_refused(self, page: bytes) -> None:
        with pytest.raises(DocumentError, match="holds no text"):
            parse_bytes(page, "a.html")

    def test_deep_nesting_is_read(self) -> None:
        page = b"<div>" * 2_000 + b"deep" + b"</div>" * 2_000
        assert parse_bytes(page, "a.html").text == "deep"

    def test_nesting_that_the_parser_would_cut_off_is_refused(self) -> None:
        page = b"<p>top" + b"<div>" * 20_000 + b"deep"
        with pytest.raises(DocumentError, match="Excessive depth"):
            parse_bytes(page, "a.html")

    def test_xhtml_declarations_are_read(self) -> None:
        page = '<?xml version="1.0" encoding="utf-8"?><html><body><p>Grüße</p></body></html>'
        assert parse_bytes(page.encode(), "a.xhtml").text == "Grüße"


class TestPdf:
    def test_pages_become_sections(self) -> None:
        parsed = parse_bytes(pdf("First page.", "Second page.", title="Report"), "a.pdf")
        assert parsed.text == "First page.\n\nSecond page."
        assert parsed.title == "Report"
        assert [section.title for section in parsed.sections] == ["page 1", "page 2"]
        assert parsed.text[parsed.sections[1].start :] == "Second page."

    def test_another_format_under_its_name_is_refused(self) -> None:
        with pytest.raises(DocumentError, match=r"a\.pdf is not a PDF"):
            parse_bytes(b"just text", "a.pdf")

    def test_an_encrypted_one_is_refused(self) -> None:
        with pytest.raises(DocumentError, match="encrypted; save a copy without a password"):
            parse_bytes(encrypted(pdf("secret"), "open sesame"), "a.pdf")

    def test_one_that_opens_without_password_is_read(self) -> None:
        assert parse_bytes(encrypted(pdf("open text"), ""), "a.pdf").text == "open text"

    def test_a_damaged_one_is_refused(self) -> None:
        with pytest.raises(DocumentError, match=r"a\.pdf is a damaged or unsupported PDF"):
            parse_bytes(pdf("text")[:200], "a.pdf")

    def test_a_scan_is_refused(self) -> None:
        buffer = io.BytesIO()
        canvas = Canvas(buffer)
        canvas.rect(0, 0, 600, 800, fill=1)
        canvas.showPage()
        canvas.save()
        with pytest.raises(DocumentError, match=r"no text on its 1 pages.*OCR"):
            parse_bytes(buffer.getvalue(), "a.pdf")

    def test_an_empty_one_is_no_scan(self) -> None:
        with pytest.raises(DocumentError, match=r"no text on its 1 pages$") as caught:
            parse_bytes(pdf(""), "a.pdf")
        assert caught.value.reason == "no text"


def test_tex_keeps_what_is_verbatim_and_nothing_that_no_page_shows() -> None:
    source = (
        "\\begin{document}\n50\\% off % no\n\\begin{comment}\nno\n\\end{comment}\n"
        "\\iffalse\nno\n\\fi\n"
        "\\begin{verbatim}\n% kept\n\\end{verbatim}\n\\end{document}\nno\n"
    )
    text = parse_bytes(source.encode(), "a.tex").text
    assert "% kept" in text
    assert "50\\% off" in text
    assert "no" not in text.split()


def test_a_comment_in_code_is_written_about() -> None:
    source = "Write `<!-- so -->` or <!-- no --> `a` and <!-- no `x` -->b.\n"
    assert parse_bytes(source.encode(), "a.md").text == "Write `<!-- so -->` or  `a` and b.\n"


def test_fences_in_a_notebook_s_code_end_no_cell() -> None:
    cells = [
        {"cell_type": "code", "source": 's = """\n```\n# no heading\n"""'},
        {"cell_type": "markdown", "source": "# Real"},
    ]
    parsed = parse_bytes(json.dumps({"cells": cells}).encode(), "a.ipynb")
    assert [section.title for section in parsed.sections] == ["Real"]
    with pytest.raises(DocumentError, match="holds no text"):
        parse_bytes(b'{"cells": []}', "a.ipynb")


def test_what_declares_ascii_and_is_utf_8_is_read_as_such() -> None:
    mail = 'From: a@b\nSubject: x\nContent-Type: text/plain; charset="us-ascii"\n\nGrüße.\n'
    assert parse_bytes(mail.encode(), "a.eml").text.endswith("Grüße.")
    page = '<meta charset="iso-8859-1"><p>Grüße.</p>'
    assert parse_bytes(page.encode(), "a.html").text == "Grüße."
    assert parse_bytes(page.encode("latin-1"), "a.html").text == "Grüße."
