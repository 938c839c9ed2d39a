"""The commands of Anthropic's memory tool on files that are documents.

A file's document has its path, without the first slash, as its id; its content is kept exactly, in
the document's metadata, and memorized as text. Folders are there while there are files in them.
What goes wrong is told to the model as a `ToolError`; its words and those of the answers are the
ones that the tool's description promises.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from anthropic.lib.tools import ToolError

from ..client import Operations
from ..errors import InvalidRequestError, TooLargeError
from ..flow import Flow
from ..models import Document, NewDocument
from .runner import all_taken, described, every, forget

_ROOT = "/memories"
_TAG = "memory-tool"
_FIELD = "content"  # of a document's metadata: a file's content
_MOST_BYTES = 63 * 1024  # of one as JSON; metadata may have 64 KiB in all
_NUMBER = 6  # digits of a line's number
_MOST_LINES = 999_999
_AROUND = 2  # lines that are shown before and behind a change
_DEPTH = 2  # levels of a folder that are shown


def view(client: Operations, path: str, lines: Sequence[int] | None) -> Flow[str]:
    """A file with its lines numbered, or what is in a folder.

    Args:
        lines: the first and the last, -1 for the end; None: all.

    Raises:
        ToolError: there is no such path.
    """
    place = _place(path)
    files = yield from _files(client)
    if place in files:
        return _numbered(path, files[place], lines)
    below = _below(files, place)
    if not below and place != _ROOT:
        raise ToolError(f"The path {path} does not exist. Please provide a valid path.")
    sizes: dict[str, int] = {}
    for name, content in below.items():
        parts = name.removeprefix(f"{place}/").split("/")
        if any(part.startswith(".") for part in parts):
            continue
        for depth in range(1, min(len(parts), _DEPTH) + 1):
            shown = "/".join(parts[:depth]) + ("/" if depth < len(parts) else "")
            sizes[shown] = sizes.get(shown, 0) + len(content.encode())
    head = f"Here're the files and directories up to {_DEPTH} levels deep in {path}"
    whole = sum(len(content.encode()) for content in below.values())
    listed = [f"{_size(whole)}\t{path}"]
    listed += [f"{_size(sizes[name])}\t{place}/{name}" for name in sorted(sizes)]
    return f"{head}, excluding hidden items:\n" + "\n".join(listed)


def create(client: Operations, path: str, content: str) -> Flow[str]:
    """A new file.

    Raises:
        ToolError: it is there, a folder has its name, or the service refuses it.
    """
    place = _place(path)
    if place == _ROOT:
        raise ToolError(f"The path {path} is a directory")
    files = yield from _files(client)
    if place in files or _below(files, place):
        raise ToolError(f"File {path} already exists")
    _check_folders(files, place, path)
    yield from _write(client, {place: content})
    return f"File created successfully at: {path}"


def replace(client: Operations, path: str, old: str, new: str | None) -> Flow[str]:
    """Another text in the place of one that a file has once.

    Raises:
        ToolError: there is no such file, or it does not have the text exactly once.
    """
    place, content = yield from _read(client, path)
    count = content.count(old) if old else 0
    if not count:
        raise ToolError(
            f"No replacement was performed, old_str `{old}` did not appear verbatim in {path}."
        )
    if count > 1:
        at = ", ".join(str(number) for number in _lines_of(content, old))
        raise ToolError(
            f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines: "
            f"{at}. Please ensure it is unique"
        )
    line = content[: content.index(old)].count("\n")
    changed = content.replace(old, new or "")
    yield from _write(client, {place: changed})
    first = max(line - _AROUND, 0)
    shown = changed.split("\n")[first : line + _AROUND + 1]
    head = "The memory file has been edited. Here is the snippet showing the change"
    return f"{head} (with line numbers):\n{_with_numbers(shown, first + 1)}"


def insert(client: Operations, path: str, line: int, text: str) -> Flow[str]:
    """More lines in a file.

    Args:
        line: behind which; 0: before the first.

    Raises:
        ToolError: there is no such file, or it has no such line.
    """
    place, content = yield from _read(client, path)
    lines = content.removesuffix("\n").split("\n") if content else []
    if not 0 <= line <= len(lines):
        raise ToolError(
            f"Invalid `insert_line` parameter: {line}. It should be within the range "
            f"[0, {len(lines)}]."
        )
    lines.insert(line, text.rstrip("\n"))
    yield from _write(client, {place: "\n".join(lines) + "\n"})
    return f"The file {path} has been edited."


def delete(client: Operations, path: str) -> Flow[str]:
    """A file, or a folder with all that is in it, is forgotten.

    Raises:
        ToolError: there is no such path, or it is the root.
    """
    place = _place(path)
    if place == _ROOT:
        raise ToolError("Cannot delete the /memories directory itself")
    files = yield from _files(client)
    gone = [place] if place in files else list(_below(files, place))
    if not gone:
        raise ToolError(f"The path {path} does not exist")
    yield from forget(client, map(_id, gone))
    return f"Successfully deleted {path}"


def rename(client: Operations, old: str, new: str) -> Flow[str]:
    """A file or a folder under another name.

    Raises:
        ToolError: there is no such path, or something has the new name.
    """
    source, target = _place(old), _place(new)
    if source == _ROOT:
        raise ToolError("Cannot rename the /memories directory itself")
    files = yield from _files(client)
    moved = {source: files[source]} if source in files else _below(files, source)
    if not moved:
        raise ToolError(f"The path {old} does not exist")
    if target in files or _below(files, target) or target == _ROOT:
        raise ToolError(f"The destination {new} already exists")
    if target.startswith(f"{source}/"):
        raise ToolError(f"The destination {new} is inside {old}")
    _check_folders({name: "" for name in files if name not in moved}, target, new)
    written = {target + name.removeprefix(source): content for name, content in moved.items()}
    yield from _write(client, written)
    yield from forget(client, map(_id, moved))
    return f"Successfully renamed {old} to {new}"


def clear(client: Operations) -> Flow[str]:
    """All files are forgotten."""
    yield from Operations.delete_documents(client, {"tags": [_TAG]})
    return "All memory cleared"


def _place(path: str) -> str:
    """A path without anything that leads elsewhere.

    Raises:
        ToolError: it is none below /memories.
    """
    parts = path.split("/")
    if parts[:2] != ["", _ROOT[1:]]:
        raise ToolError(f"Path must start with {_ROOT}, got: {path}")
    inner = [part for part in parts[2:] if part]
    if any(part in (".", "..") or not part.isprintable() for part in inner) or "\\" in path:
        raise ToolError(f"Path {path} would escape {_ROOT} directory")
    return "/".join([_ROOT, *inner])


def _id(place: str) -> str:
    return place.removeprefix("/")


def _files(client: Operations) -> Flow[dict[str, str]]:
    """Contents by path."""
    documents = yield from every(client, {"tags": [_TAG]})
    return {f"/{document.id}": _content(document) for document in documents}


def _content(document: Document) -> str:
    return str(document.metadata[_FIELD])


def _read(client: Operations, path: str) -> Flow[tuple[str, str]]:
    """A file's place and content.

    Raises:
        ToolError: there is no such file.
    """
    place = _place(path)
    found = (yield from described(client, [_id(place)])).get(_id(place))
    if found is None or _TAG not in found.tags:
        raise ToolError(f"The path {path} does not exist. Please provide a valid path.")
    return place, _content(found)


def _write(client: Operations, files: dict[str, str]) -> Flow[None]:
    """
    Raises:
        ToolError: the service refuses one.
    """
    for place, content in files.items():
        if len(json.dumps(content, ensure_ascii=False).encode()) > _MOST_BYTES:
            raise ToolError(
                f"{place} would have more than {_MOST_BYTES:,} bytes as JSON; split it into "
                "several files"
            )
    documents = [
        NewDocument(
            id=_id(place),
            text=content if content.strip() else place,
            title=place[:200],
            tags=[_TAG],
            metadata={_FIELD: content},
        )
        for place, content in files.items()
    ]
    try:
        all_taken((yield from Operations.memorize_all(client, documents)))
    except (InvalidRequestError, TooLargeError, ValueError) as error:
        raise ToolError(str(error)) from error


def _below(files: dict[str, str], place: str) -> dict[str, str]:
    return {name: files[name] for name in files if name.startswith(f"{place}/")}


def _check_folders(files: Iterable[str], place: str, path: str) -> None:
    """
    Raises:
        ToolError: what would be a folder is a file.
    """
    for name in files:
        if place.startswith(f"{name}/"):
            raise ToolError(f"{name} is a file, so {path} cannot be in it")


def _numbered(path: str, content: str, lines: Sequence[int] | None) -> str:
    every_line = content.split("\n")
    if len(every_line) > _MOST_LINES:
        raise ToolError(f"File {path} exceeds maximum line limit of {_MOST_LINES:,} lines.")
    first, last = 1, len(every_line)
    if lines is not None and len(lines) == 2:
        first = max(lines[0], 1)
        last = last if lines[1] == -1 else lines[1]
    shown = _with_numbers(every_line[first - 1 : last], first)
    return f"Here's the content of {path} with line numbers:\n{shown}"


def _with_numbers(lines: Sequence[str], first: int) -> str:
    return "\n".join(f"{number:>{_NUMBER}}\t{line}" for number, line in enumerate(lines, first))


def _lines_of(content: str, text: str) -> list[int]:
    found, start = [], content.find(text)
    while start != -1:
        found.append(content[:start].count("\n") + 1)
        start = content.find(text, start + 1)
    return found


def _size(count: int) -> str:
    """Bytes as people read them."""
    size, units = float(count), list("BKMG")
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.1f}".removesuffix(".0") + units[0]
