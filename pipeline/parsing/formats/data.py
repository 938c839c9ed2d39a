"""Notebooks, XML and JSON values as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.formats.html import parse_markup
from mplus_ray.pipeline.parsing.formats.office_title import xml_parser
from mplus_ray.pipeline.parsing.formats.text import parse_markdown
from mplus_ray.pipeline.parsing.refusals import Refusal
from mplus_ray.pipeline.parsing.text.builder import TextBuilder, one_line
from mplus_ray.pipeline.parsing.text.encodings import decode
from mplus_ray.pipeline.parsing.text.sentences import sentence

_DEEPEST = 200  # elements or values inside one another
_UNREAD = frozenset(["script", "style"])
_NO_VALUES = frozenset("id class style href src type rel ref width height x y d".split())
_ESCAPED = re.compile(r"</?(p|br|b|i|a|div|span|ul|li|h[1-6])\b[^<>]{0,500}>", re.I)
_FENCES = re.compile("`+")
_OUTPUT = 4000  # characters of one output of a notebook


def parse_notebook(data: bytes, name: str) -> ParsedDocument:
    """The cells of a Jupyter notebook in order, with the text of their outputs."""
    try:
        notebook = json.loads(decode(data, name))
        cells = notebook.get("cells")
        if cells is None:
            cells = [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
        blocks = [block for cell in cells for block in _cell(cell) if block.strip()]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError(
            f"{name} is no Jupyter notebook ({error}); save it again", Refusal.MISNAMED
        ) from error
    return parse_markdown("\n\n".join(blocks).encode("utf-8", "replace"), name)


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input", "")))
    if cell.get("cell_type") != "code":
        yield source
        return
    if source.strip():
        yield _fenced(source)
    for output in cell.get("outputs", []):
        text = _output(output)
        if text.strip():
            yield _fenced(text[:_OUTPUT])


def _fenced(text: str) -> str:
    """Between fences longer than any in it."""
    longest = max((len(run) for run in _FENCES.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _output(output: dict[str, Any]) -> str:
    if output.get("output_type") in ("error", "pyerr"):
        return f"{output.get('ename', '')}: {output.get('evalue', '')}"
    shown = output.get("data") or {}
    text = _joined(output.get("text") or shown.get("text/plain") or shown.get("text/markdown", ""))
    page = _joined(shown.get("text/html", ""))
    return text if text.strip() or not page.strip() else parse_markup(page, "output").text


def _joined(lines: Any) -> str:
    return lines if isinstance(lines, str) else "".join(map(str, lines))


def parse_xml(data: bytes, name: str) -> ParsedDocument:
    """The text of the elements; those that have names and values as `name: value; …`.

    No entity is expanded and nothing is fetched.
    """
    try:
        root = etree.fromstring(data, xml_parser())
    except etree.XMLSyntaxError as error:
        raise DocumentError(
            f"{name} is not well-formed XML ({error}); save it again", Refusal.MALFORMED
        ) from error
    if root is None:
        raise DocumentError(f"{name} is not well-formed XML; save it again", Refusal.MALFORMED)
    builder = TextBuilder()
    pending: list[tuple[str, str]] = []  # names and values that stand side by side
    stack: list[bool] = []  # of the open elements: whether they are running text
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        if not isinstance(element.tag, str):
            continue
        if event == "start" and etree.QName(element).localname in _UNREAD:
            walk.skip_subtree()
            stack.append(True)
            continue
        if event == "end":
            if stack.pop():
                continue
            _tell(builder, pending)
            continue
        if _is_running(element):
            _tell(builder, pending)
            builder.paragraph(one_line("".join(element.itertext())))
            stack.append(True)
            walk.skip_subtree()
        elif len(element) == 0:
            if not (element.text or "").strip() and len(own := _own(element)) > 1:
                _tell(builder, pending)  # a record in attributes
                builder.paragraph(sentence(own))
            else:
                pending += _named(element)
            stack.append(True)
        else:
            _tell(builder, pending)
            pending += _attributes(element)
            stack.append(False)
    _tell(builder, pending)
    text, sections = builder.finish()
    return ParsedDocument(Path(name).stem, text, sections)


def _tell(builder: TextBuilder, pending: list[tuple[str, str]]) -> None:
    if len(pending) == 1:
        builder.paragraph(pending[0][1])
    else:
        builder.paragraph(sentence(pending))
    pending.clear()


def _is_running(element: Any) -> bool:
    """Whether it has text between its children."""
    if len(element) == 0:
        return False
    return any(text and text.strip() for text in (element.text, *(child.tail for child in element)))


def _named(element: Any) -> list[tuple[str, str]]:
    values = _attributes(element)
    if element.text and element.text.strip():
        text = element.text
        if _ESCAPED.search(text):  # a page as text, as feeds have it
            text = parse_markup(text, "").text
        values.append((etree.QName(element).localname, text))
    return values


def _own(element: Any) -> list[tuple[str, str]]:
    """What an element without content says in its attributes."""
    return [
        (etree.QName(key).localname, value)
        for key, value in element.attrib.items()
        if not key.startswith("{") and key.lower() not in _NO_VALUES and value.strip()
    ]


def _attributes(element: Any) -> list[tuple[str, str]]:
    """Those that say something; identifiers and places of schemas do not."""
    return [
        (etree.QName(key).localname, value)
        for key, value in element.attrib.items()
        if not key.startswith("{http://www.w3.org/2001/XMLSchema-instance}")
        and " " in value.strip()
    ]


def value_text(value: Any, name: str) -> str:
    """A JSON value that is no document of ours: each of its values under the names it lies in.

    Raises:
        DocumentError: it is nested too deeply.
    """
    lines: list[str] = []
    stack: list[tuple[str, Any, int]] = [("", value, 0)]
    while stack:
        path, each, depth = stack.pop()
        if depth > _DEEPEST:
            raise DocumentError(
                f"{name} is nested deeper than {_DEEPEST} values; flatten it", Refusal.TOO_LARGE
            )
        if isinstance(each, dict):
            plain = {key: one for key, one in each.items() if not isinstance(one, dict | list)}
            if said := sentence((key, _shown(one)) for key, one in plain.items()):
                lines.append(f"{path}: {said}" if path else said)
            inner = [(key, one) for key, one in each.items() if isinstance(one, dict | list)]
            begin = f"{path}." if path else ""
            stack += [(f"{begin}{key}"[:200], one, depth + 1) for key, one in reversed(inner)]
        elif isinstance(each, list):
            stack += [(path, one, depth + 1) for one in reversed(each)]
        elif shown := one_line(_shown(each)):
            lines.append(f"{path}: {shown}" if path else shown)
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
