"""Lines of a page to text: paragraphs, columns one after the other, rows of tables."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from mplus_ray.pipeline.parsing.formats.pdf.page import Line, TextSegment
from mplus_ray.pipeline.parsing.text.builder import table_line

_FEWEST_COLUMN_LINES = 3
_PROSE = 2.5  # words of a cell from which a grid is columns of text
_FILLED = 0.6  # of a grid's cells, likewise
_MOST_COLUMNS = 4
_PARAGRAPH_GAP = 0.8  # heights of a line between two paragraphs
_FULL = 0.8  # of the widest line, from which one is taken to go on in the next
_RANGE = re.compile(r"\d[-–]$")
_CUT = re.compile(r"[^\W\d_]{2}-$")
_PAIR = re.compile(r"(and|or|und|oder|et|ou|y|o|e)\b")  # `pre- and post-war`
_ROW_GAP = 3.0  # heights of a line between rows of one table


def page_text(lines: Sequence[Line]) -> str:
    """The text of a page; empty for one without lines."""
    parts: list[str] = []
    prose: list[Line] = []
    for run in _runs(lines):
        grid = _grid(run) if len(run) > 1 else None
        if grid is None:
            prose += run
            continue
        parts.append(_prose(prose))
        prose = []
        if _is_columns(grid):
            parts += [_prose(column) for column in _columns(grid)]
        else:
            parts.append("\n".join(_rows(grid)))
    parts.append(_prose(prose))
    return "\n\n".join(part for part in parts if part)


Grid = list[list[TextSegment | None]]


def _runs(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Neighbouring lines that may be one grid, and those between as text."""
    run: list[Line] = []
    is_grid = False
    for line in lines:
        many = len(line.segments) > 1
        if run and (many != is_grid or (is_grid and not _is_near(run[-1], line))):
            if is_grid and _fits_column(run, line):
                run.append(line)
                continue
            yield run
            run = []
        if not run:
            is_grid = many
        run.append(line)
    if run:
        yield run


def _is_near(line: Line, following: Line) -> bool:
    height = max(line.y1 - line.y0, 1.0)
    return -height < line.y0 - following.y1 < _ROW_GAP * height


def _fits_column(run: list[Line], line: Line) -> bool:
    """Whether a line with one segment is a row whose other cells are empty."""
    if len(line.segments) != 1 or not _is_near(run[-1], line):
        return False
    segment = line.segments[0]
    above = run[-1].segments
    touched = sum(segment.x0 < each.x1 and each.x0 < segment.x1 for each in above)
    starts = any(abs(segment.x0 - each.x0) < segment.height for each in above)
    return starts and touched == 1


def _grid(run: Sequence[Line]) -> Grid | None:
    """Rows by columns; None if the segments lie in no common columns."""
    bands: list[list[float]] = []
    for x0, x1 in sorted((s.x0, max(s.x0, s.x1)) for line in run for s in line.segments):
        if bands and x0 <= bands[-1][1]:
            bands[-1][1] = max(bands[-1][1], x1)
        else:
            bands.append([x0, x1])
    if len(bands) < 2:
        return None
    starts = [band[0] for band in bands]
    grid: Grid = []
    for line in run:
        if line.joins:  # a cell of its own now, which says itself that its word goes on
            line.segments[-1].text += "-"
            line.joins = False
        row: list[TextSegment | None] = [None] * len(bands)
        for segment in line.segments:
            place = bisect_right(starts, segment.x0) - 1
            if (there := row[place]) is not None:
                there.text += f" {segment.text}"
            else:
                row[place] = segment
        grid.append(row)
    return grid


def _is_columns(grid: Grid) -> bool:
    if len(grid) < _FEWEST_COLUMN_LINES or len(grid[0]) > _MOST_COLUMNS:
        return False
    cells = [cell for row in grid for cell in row]
    words = [len(cell.text.split()) for cell in cells if cell is not None]
    return len(words) >= _FILLED * len(cells) and median(words) >= _PROSE


def _columns(grid: Grid) -> Iterator[list[Line]]:
    for place in range(len(grid[0])):
        yield [Line([cell]) for row in grid if (cell := row[place]) is not None]


def _rows(grid: Grid) -> list[str]:
    """A line a row; a word that is cut where a cell goes on in the next row is one."""
    found: list[str] = []
    cells: list[str | None] = []
    for row in grid:
        above, cells = cells, [cell.text if cell is not None else None for cell in row]
        text = next((text for text in cells if text), "")
        alone = sum(map(bool, cells)) == 1 and [*map(bool, above)] == [*map(bool, cells)]
        if alone and found and _goes_on(found[-1], text):
            found[-1] = found[-1][:-1] + text
        else:
            found.append(_row(row))
    return found


def _goes_on(text: str, following: str) -> bool:
    """Whether a word is cut at the end of a line; PDFium sees it only where all of a line ends."""
    return bool(_CUT.search(text)) and following[:1].islower() and not _PAIR.match(following)


def _row(row: Sequence[TextSegment | None]) -> str:
    return table_line([cell.text if cell is not None else "" for cell in row])


def _prose(lines: Sequence[Line]) -> str:
    """Lines joined to paragraphs: a space where the text goes on."""
    if not lines:
        return ""
    right = max(line.segments[-1].x1 for line in lines)
    left = min(line.segments[0].x0 for line in lines)
    pieces = [lines[0].text]
    for line, following in pairwise(lines):
        text = following.text
        if line.joins:
            hyphen = "" if text[:1].islower() else "-"
            pieces.append(hyphen + text)
        elif _goes_on(pieces[-1], text):
            pieces[-1] = pieces[-1][:-1]
            pieces.append(text)
        else:
            pieces.append(_gap(line, following, left, right) + text)
    if lines[-1].joins:
        pieces.append("-")
    return "".join(pieces)


def _gap(line: Line, following: Line, left: float, right: float) -> str:
    """What parts two lines: nothing but a space inside a paragraph."""
    last, first = line.segments[-1], following.segments[0]
    if _RANGE.search(last.text) and first.text[:1].isdigit():
        return ""
    height = max(last.height, 1.0)
    apart = line.y0 - following.y1
    if apart > _PARAGRAPH_GAP * height or apart < -3 * height:
        return "\n\n"
    same_size = abs(first.height - last.height) < 0.15 * height
    goes_on = last.x1 - left > _FULL * (right - left)
    starts_lower = first.text[:1].islower()
    return " " if same_size and (goes_on or starts_lower) else "\n"
