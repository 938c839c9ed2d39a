"""Comments on a workbook's cells, which the library that reads workbooks passes over."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from lxml import etree

from mplus_ray.pipeline.parsing.formats.office_title import xml_parser
from mplus_ray.pipeline.parsing.packages import BROKEN, part_of
from mplus_ray.pipeline.parsing.text.builder import one_line

_COMMENTS = re.compile(r"xl/([^/]{1,80}/)?comments?[^/]{0,80}\.xml", re.I)
_ID = re.compile(r"\{[^}]*/relationships\}id")
# What Excel puts before a comment for programs that know no replies to comments.
_REPLIES = re.compile(r"\[Threaded comment\].*?Comment:\s*", re.S)


def cell_comments(data: bytes) -> list[str]:
    """`Comment on B2 of Ferries: …` of each comment on a sheet that is shown."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if not any(map(_COMMENTS.fullmatch, archive.namelist())):
                return []
            return [said for name, part in _sheets(archive) for said in _of(archive, part, name)]
    except (*BROKEN, etree.XMLSyntaxError, OSError):
        return []  # its parser says what is wrong with it


def _sheets(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Name and part of each sheet that is shown."""
    root = _xml(archive, "xl/workbook.xml")
    targets = dict(_relations(archive, "xl/workbook.xml", ""))
    for sheet in root.iter("{*}sheet") if root is not None else ():
        identity = next((value for key, value in sheet.attrib.items() if _ID.fullmatch(key)), None)
        if sheet.get("state", "visible") == "visible" and identity in targets:
            yield sheet.get("name", ""), targets[identity]


def _of(archive: zipfile.ZipFile, sheet: str, name: str) -> Iterator[str]:
    for _, part in _relations(archive, sheet, "/comments"):
        root = _xml(archive, part)
        for comment in root.iter("{*}comment") if root is not None else ():
            said = "".join(node.text or "" for node in comment.iter("{*}t"))
            if text := one_line(_REPLIES.sub("", said, count=1)):
                yield f"Comment on {comment.get('ref', '')} of {name}: {text}"


def _relations(archive: zipfile.ZipFile, part: str, kind: str) -> Iterator[tuple[str, str]]:
    """Id and target of what a part refers to, if its type ends so."""
    folder, _, file = part.rpartition("/")
    root = _xml(archive, f"{folder}/_rels/{file}.rels")
    for one in root if root is not None else ():
        if isinstance(one.tag, str) and one.get("Type", "").endswith(kind):
            target = one.get("Target", "")
            absolute = target[1:] if target.startswith("/") else posixpath.join(folder, target)
            yield one.get("Id", ""), posixpath.normpath(absolute)


def _xml(archive: zipfile.ZipFile, part: str) -> Any:
    content = part_of(archive, part)
    return etree.fromstring(content, xml_parser()) if content else None
