"""Plain text and markup that is read as it stands; headings become sections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mplus_ray.pipeline.parsing.document import ParsedDocument, Section
from mplus_ray.pipeline.parsing.text.encodings import decode
from mplus_ray.pipeline.parsing.text.titles import meaningful

# All patterns look at one line, and none can be matched in two ways.
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FRONT_TITLE = re.compile(r"title:[ \t]*(\S.*)")
_ORG = re.compile(r"(\*{1,9}) +(\S.*)")
_ORG_DRAWER = re.compile(r":(properties|logbook):")
_ORG_PLANNING = re.compile(r"[ \t]*(SCHEDULED|DEADLINE|CLOSED):[ \t]*[<\[]")
_ORG_LINK = re.compile(r"\[\[[^\[\]]{1,2000}\]\[([^\[\]]{1,2000})\]\]")
_ORG_TITLE = re.compile(r"#\+title:[ \t]*(\S.*)", re.I)
_TEX = re.compile(
    r"[ \t]*\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]]*\])?"
    r"\{([^{}]*)\}"
)
_TEX_TITLE = re.compile(r"[ \t]*\\title\{([^{}]*)\}")
_TEX_LEVELS = {
    "part": 1,
    "chapter": 1,
    "section": 2,
    "subsection": 3,
    "subsubsection": 4,
    "paragraph": 5,
}
_TEX_COMMENT = re.compile(r"(?<!\\)%.*")
_TEX_UNREAD = {"\\begin{comment}": "\\end{comment}", "\\iffalse": "\\fi"}
_TEX_VERBATIM = re.compile(r"\\begin\{(verbatim\*?|lstlisting|minted|Verbatim|alltt)\}")
_LINK_COMMENT = re.compile(r"^ {0,3}\[[^\[\]\n]{1,80}\]: ?(?:#|<>) [(\"'][^\n]*\n?", re.M)
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COMMENT_BEGIN, _COMMENT_END = "<!--", "-->"
_MOST_FRONT = 200  # lines of front matter

Lines = list[tuple[str, int]]  # with where they begin


def parse_text(data: bytes, name: str) -> ParsedDocument:
    """The text as it stands without a terminal's colours, titled by its file name."""
    return ParsedDocument(title=Path(name).stem, text=_TERMINAL.sub("", decode(data, name)))


def parse_markdown(data: bytes, name: str) -> ParsedDocument:
    """The source without its comments; its headings become sections, the first one the title."""
    text = _LINK_COMMENT.sub("", _without_comments(decode(data, name)))
    lines = list(_lines(text))
    title, begin = _front_matter(lines, name)
    return _document(text, list(_markdown(lines[begin:])), title, name)


def parse_org(data: bytes, name: str) -> ParsedDocument:
    """Org mode's text as an export shows it: without comments, drawers and planning lines."""
    text = "\n".join(_org_lines(decode(data, name)))
    title: str | None = None
    sections = []
    for line, start in _lines(text):
        if found := _ORG.fullmatch(line):
            sections.append(Section(found[2].strip(), len(found[1]), start))
        elif title is None and (named := _ORG_TITLE.fullmatch(line)):
            title = meaningful(named[1], name)
    return _document(text, sections, title, name)


def _org_lines(text: str) -> Iterator[str]:
    end = ""  # of what is left out
    for line in text.split("\n"):
        bare = line.strip().lower()
        if end:
            end = "" if bare == end else end
        elif bare == "#+begin_comment":
            end = "#+end_comment"
        elif _ORG_DRAWER.fullmatch(bare):
            end = ":end:"
        elif not (bare == "#" or bare.startswith("# ") or _ORG_PLANNING.match(line)):
            yield _ORG_LINK.sub(r"\1", line)


def parse_tex(data: bytes, name: str) -> ParsedDocument:
    """LaTeX source without its comments and what follows the document's end."""
    text = "\n".join(_tex_lines(decode(data, name)))
    title: str | None = None
    sections = []
    for line, start in _lines(text):
        if found := _TEX.match(line):
            sections.append(Section(found[2].strip(), _TEX_LEVELS[found[1]], start))
        elif title is None and (named := _TEX_TITLE.match(line)):
            title = meaningful(named[1], name)
    return _document(text, [each for each in sections if each.title], title, name)


def _tex_lines(source: str) -> Iterator[str]:
    end = ""  # of what is left out
    verbatim = ""  # the end of what stands as it is
    for line in source.split("\n"):
        bare = line.strip()
        if end:
            end = "" if bare.startswith(end) else end
        elif verbatim:
            verbatim = "" if verbatim in line else verbatim
            yield line
        elif bare in _TEX_UNREAD:
            end = _TEX_UNREAD[bare]
        elif found := _TEX_VERBATIM.match(bare):
            verbatim = (
                f"\\end{{{found[1]}}}" if found[0].replace("begin", "end") not in bare else ""
            )
            yield line
        else:
            shown = _TEX_COMMENT.sub("", line)
            yield shown
            if "\\end{document}" in shown:
                return


def parse_code(data: bytes, name: str) -> ParsedDocument:
    """Source code as it stands, titled by its whole name."""
    return ParsedDocument(title=Path(name).name, text=decode(data, name))


TEXTS: dict[str, Callable[[bytes, str], ParsedDocument]] = {
    "txt": parse_text,
    "md": parse_markdown,
    "org": parse_org,
    "tex": parse_tex,
    "code": parse_code,
}


def _document(text: str, sections: list[Section], title: str | None, name: str) -> ParsedDocument:
    first = sections[0].title if sections else Path(name).stem
    return ParsedDocument(title=title or first, text=text, sections=tuple(sections))


def _lines(text: str) -> Iterator[tuple[str, int]]:
    start = 0
    for line in text.split("\n"):
        yield line, start
        start += len(line) + 1


def _without_comments(text: str) -> str:
    """Markdown without `<!-- … -->`, which no reader sees; in one pass, fences as they are."""
    if _COMMENT_BEGIN not in text:
        return text
    kept: list[str] = []
    fence, hidden = "", False
    for line in text.split("\n"):
        opening = None if hidden else _FENCE.match(line)
        if opening and not fence:
            fence = opening[1]
        elif opening and opening[1].startswith(fence) and not line.strip(" `~"):
            fence = ""
        shown, hidden = (line, False) if fence else _shown(line, hidden)
        if shown or not line:
            kept.append(shown)
    return "\n".join(kept)


def _shown(line: str, hidden: bool) -> tuple[str, bool]:
    """A line without what is in comments, and whether one is open at its end."""
    parts: list[str] = []
    place = ticks = 0  # of code in a line, which begins and ends with one
    while place < len(line):
        mark = _COMMENT_END if hidden else _COMMENT_BEGIN
        found = line.find(mark, place)
        if not hidden:
            ticks += line.count("`", place, found) if found >= 0 else 0
            if found >= 0 and ticks % 2 and (code := line.find("`", found)) >= 0:
                parts.append(line[place : code + 1])
                place, ticks = code + 1, ticks + 1
                continue
            parts.append(line[place:] if found < 0 else line[place:found])
        if found < 0:
            break
        hidden = not hidden
        place = found + len(mark)
    return "".join(parts), hidden


def _front_matter(lines: Lines, name: str) -> tuple[str | None, int]:
    """The title in a block of `key: value` lines at the beginning, and the first line after it."""
    if not lines or lines[0][0].rstrip() != "---":
        return None, 0
    title: str | None = None
    for place, (line, _) in enumerate(lines[1:_MOST_FRONT], 1):
        if line.rstrip() in ("---", "..."):
            return title, place + 1
        if title is None and (found := _FRONT_TITLE.fullmatch(line)):
            title = meaningful(found[1].strip().strip("\"'"), name)
    return None, 0


def _markdown(lines: Lines) -> Iterator[Section]:
    """ATX (`## x`) and setext (underlined) headings outside fenced code."""
    fence = ""
    previous, previous_start = "", 0
    for line, start in lines:
        opening = _FENCE.match(line)
        if fence:
            if opening and opening[1].startswith(fence):
                fence = ""
            previous = ""
        elif opening:
            fence = opening[1]
            previous = ""
        elif atx := _ATX.fullmatch(line):
            if title := _without_closing(atx[2]):
                yield Section(title, len(atx[1]), start)
            previous = ""
        elif previous.strip() and (rule := _SETEXT.fullmatch(line)):
            yield Section(previous.strip(), 1 if rule[1][0] == "=" else 2, previous_start)
            previous = ""
        else:
            previous, previous_start = line, start


def _without_closing(title: str) -> str:
    """`First ##` as `First`."""
    bare = title.rstrip()
    opened = bare.rstrip("#")
    return opened.rstrip() if not opened or opened[-1] in " \t" else bare
