# ruff: noqa: E501 (small documents are written out as they lie in a file)
"""Small office files for tests, written out or made by the libraries that people use."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"
_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_NAMES = (
    f'xmlns:office="{_ODF}:office:1.0" xmlns:text="{_ODF}:text:1.0" xmlns:table="{_ODF}:table:1.0" '
    f'xmlns:style="{_ODF}:style:1.0" xmlns:fo="{_ODF}:xsl-fo-compatible:1.0" '
    f'xmlns:draw="{_ODF}:drawing:1.0"'
)


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive of these."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return buffer.getvalue()


def saved(document: Any) -> bytes:
    """What a document of a library is when it is saved."""
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def word(body: str, styles: str = "") -> bytes:
    """A docx of this XML."""
    relations = (
        f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" Type="{_DOCUMENT}'
    )
    return packed(
        {
            "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
            f'<Default Extension="rels" ContentType="{_PACKAGE}/relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{_TYPE}.document.main+xml"/>'
            f'<Override PartName="/word/styles.xml" ContentType="{_TYPE}.styles+xml"/></Types>',
            "_rels/.rels": f'{relations}/officeDocument" Target="word/document.xml"/></Relationships>',
            "word/_rels/document.xml.rels": f'{relations}/styles" Target="styles.xml"/></Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>',
            "word/styles.xml": f'<w:styles xmlns:w="{_WORD}">{styles}</w:styles>',
        }
    )


def run(text: str, properties: str = "") -> str:
    """A run of a docx."""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(inner: str, properties: str = "") -> str:
    """A paragraph of a docx."""
    return f"<w:p><w:pPr>{properties}</w:pPr>{inner}</w:p>"


def open_document(body: str, styles: str = "", kind: str = "text") -> bytes:
    """An odt or ods of this XML."""
    content = (
        f"<office:document-content {_NAMES}><office:automatic-styles>{styles}"
        f"</office:automatic-styles><office:body><office:{kind}>{body}</office:{kind}>"
        "</office:body></office:document-content>"
    )
    mime = f"application/vnd.oasis.opendocument.{kind}"
    return packed({"mimetype": mime, "content.xml": content})
