"""What is encrypted is refused for that reason, whatever it is called."""

from __future__ import annotations

import io
import os
from pathlib import Path

import openpyxl
import pptx
import pytest
from msoffcrypto.format.ooxml import OOXMLFile
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.multi_document import read_many
from mplus_ray.pipeline.parsing.parse import parse_bytes
from mplus_ray.pipeline.parsing.refusals import Refusal
from tests.unit.pipeline.parsing.office_files import packed, paragraph, run, saved, word

_DATA = Path(__file__).parent / "data"
_MANIFEST = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"


def refused(data: bytes, name: str) -> None:
    with pytest.raises(DocumentError, match="encrypted") as caught:
        parse_bytes(data, name)
    assert caught.value.reason == Refusal.ENCRYPTED


def encrypted(data: bytes) -> bytes:
    buffer = io.BytesIO()
    OOXMLFile(io.BytesIO(data)).encrypt("secret", buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["docx", "xlsx", "pptx"])
def test_office_files(kind: str) -> None:
    plain = {
        "docx": lambda: word(paragraph(run("Owls."))),
        "xlsx": lambda: saved(openpyxl.Workbook()),
        "pptx": lambda: saved(pptx.Presentation()),
    }[kind]()
    data = encrypted(plain)
    for name in (f"a.{kind}", "a", "a.pdf", "a.doc"):
        refused(data, name)


@pytest.mark.parametrize("strength", [40, 128])
def test_pdf(strength: int) -> None:
    def made(password: str) -> bytes:
        buffer = io.BytesIO()
        lock = StandardEncryption(password, ownerPassword="owner", canCopy=0, strength=strength)
        canvas = Canvas(buffer, encrypt=lock)
        canvas.drawString(72, 700, "The owl is brown.")
        canvas.save()
        return buffer.getvalue()

    refused(made("secret"), "a.pdf")
    assert parse_bytes(made(""), "a.pdf").text == "The owl is brown."


@pytest.mark.parametrize("whole", [False, True])
def test_open_documents(whole: bool) -> None:
    """Each part by itself, or since ODF 1.4 the whole package in one."""
    part = "encrypted-package" if whole else "content.xml"
    manifest = (
        f'<m:manifest xmlns:m="{_MANIFEST}"><m:file-entry m:full-path="{part}" m:size="500" '
        'm:media-type="text/xml"><m:encryption-data/></m:file-entry></m:manifest>'
    )
    data = packed(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            part: os.urandom(500),
            "META-INF/manifest.xml": manifest,
        }
    )
    refused(data, "a.odt")
    refused(data, "a")


def test_an_archive_is_read_but_for_what_is_encrypted_in_it() -> None:
    """Made by `zip -P secret`; another member was added without."""
    with (_DATA / "encrypted.zip").open("rb") as file:
        first, second = read_many(file, "a.zip")
    assert isinstance(first.outcome, DocumentError)
    assert first.outcome.reason == Refusal.ENCRYPTED
    assert "with its password" in str(first.outcome)
    assert second.load().text == "x"


def book(encryption: str) -> bytes:
    cipher = f'<e:EncryptedData xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptionMethod Algorithm="{encryption}"/></e:EncryptedData>'  # noqa: E501
    return packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="a.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',  # noqa: E501
            "META-INF/encryption.xml": f'<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container">{cipher}</encryption>',  # noqa: E501
            "a.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="c"/></spine></package>',  # noqa: E501
            "c.xhtml": "<html xmlns='http://www.w3.org/1999/xhtml'><body><p>Owls.</p></body></html>",
        }
    )


def test_books() -> None:
    refused(book("http://www.w3.org/2001/04/xmlenc#aes128-cbc"), "a.epub")
    fonts = book("http://www.idpf.org/2008/embedding")  # only the fonts are
    assert parse_bytes(fonts, "a.epub").text == "Owls."


@pytest.mark.parametrize("name", ["a.7z", "a"])
def test_another_kind_of_archive_is_not_supported(name: str) -> None:
    with pytest.raises(DocumentError, match="is a 7z archive, a format that is not") as caught:
        parse_bytes(b"7z\xbc\xaf\x27\x1c\0\4", name)
    assert caught.value.reason == Refusal.UNSUPPORTED
