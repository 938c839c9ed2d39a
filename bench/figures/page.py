"""The figures of `mplus bench figures` as Markdown: the page of all, and the few of README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mplus_ray.bench.figures.measurements import Outcome
from mplus_ray.bench.figures.rows import is_number, number, rows_of, spread_in
from mplus_ray.model.errors import StorageError
from mplus_ray.model.object_store.failures import refusals_of

BEGIN, END = "<!-- figures: written by `make figures` -->", "<!-- figures end -->"
_LONGER = "`mplus bench soak`, `mplus eval quick`, and all that `--quick` leaves out"


@dataclass(frozen=True)
class Row:
    """A figure of the short table, and what it is compared with.

    Attributes:
        title: of the row.
        measurement: whose figure it is.
        value, beside: where it and the other one are in the measurement's JSON.
        unit: that they are shown in: "ms", "%" (of a share) or "" (a number).
        what: the other one is.
    """

    title: str
    measurement: str
    value: tuple[str, ...]
    beside: tuple[str, ...]
    unit: str
    what: str


_FROM, _BM25 = ("arms", "memory"), ("arms", "bm25 in the prompt")
_IN_PROMPT = "BM25's three passages in the prompt"
_WAY = "acknowledged_to_answerable_ms"
ROWS = (
    Row(
        "a question to its first token",
        "rag",
        (*_FROM, "first_token_ms"),
        (*_BM25, "first_token_ms"),
        "ms",
        _IN_PROMPT,
    ),
    Row("F1 of the answers", "rag", (*_FROM, "f1"), (*_BM25, "f1"), "%", _IN_PROMPT),
    Row(
        "answers a second, eight questions at once",
        "rag",
        (*_FROM, "answers_a_second"),
        (*_BM25, "answers_a_second"),
        "",
        _IN_PROMPT,
    ),
    Row(
        "invented facts answered to the letter, 10,000 tokens later",
        "retention",
        ("arms", "mplus", "10000"),
        ("arms", "none", "10000"),
        "%",
        "without a memory",
    ),
    Row(
        "a message from acknowledged to answerable",
        "ingest",
        (_WAY,),
        (_WAY, "under_load"),
        "ms",
        "beside eight tenants with backlogs",
    ),
)


def write_page(path: Path, text: str) -> None:
    """Write a page.

    Raises:
        StorageError: the file cannot be written.
    """
    with refusals_of(f"{path} cannot be written"):
        path.write_text(text, "utf-8")


def write_block(path: Path, text: str) -> None:
    """Put a text between the two comments of a page that has them.

    Raises:
        StorageError: the page cannot be read or written, or has no such comments.
    """
    before, after = around_block(path)
    write_page(path, f"{before}{BEGIN}\n{text.strip()}\n{END}{after}")


def around_block(path: Path) -> tuple[str, str]:
    """What a page has before and after its block.

    Raises:
        StorageError: the page cannot be read, or has no block.
    """
    with refusals_of(f"{path} cannot be read"):
        page = path.read_text("utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise StorageError(f"{path} has no place for figures: put {BEGIN} and {END} into it")
    return before, after


def page(
    outcomes: Sequence[Outcome],
    machine: Mapping[str, Any],
    moment: datetime,
    left_out: Sequence[str] = (),
) -> str:
    """The page's text.

    Args:
        machine: as `bench.machine.describe` says it.
        moment: when it was measured.
        left_out: what could not be measured, and why.
    """
    parts = [
        "# Figures\n",
        f"{_measured(machine, moment)} A spread is from the lowest to the highest of so many "
        "values, or bounds that hold the true share with 95 %.\n",
        block(outcomes),
        *(_section(one) for one in outcomes),
        "## What is left out\n",
        *(f"- {text}" for text in left_out),
        f"- What takes longer: {_LONGER}. [LOG.md](LOG.md) has results of such runs.\n",
    ]
    return "\n".join(parts)


def readme_block(outcomes: Sequence[Outcome], machine: Mapping[str, Any], moment: datetime) -> str:
    """What README shows."""
    return f"{block(outcomes)}\n{_measured(machine, moment)}\n"


def block(outcomes: Sequence[Outcome]) -> str:
    """The few figures that say most; one whose measurement failed is there without a value."""
    found = {one.measurement.name: one for one in outcomes}
    lines = ["| | here | to compare | command |", "|---|---|---|---|"]
    for row in ROWS:
        one = found.get(row.measurement)
        if one is None:
            continue
        value, beside = (_cell(one.figures, path, row.unit) for path in (row.value, row.beside))
        lines.append(f"| {row.title} | {value} | {beside} {row.what} | {_command(one)} |")
    return "\n".join(lines) + "\n"


def _section(one: Outcome) -> str:
    head = f"## {one.measurement.title}\n\n{_command(one)}, {one.seconds:,.0f} s.\n"
    if one.error:
        return f"{head}\nIt failed: {one.error}\n"
    rows = [f"| {name} | {value} | {spread} |" for name, value, spread in rows_of(one.figures)]
    return "\n".join([head, "| figure | value | spread |", "|---|---|---|", *rows]) + "\n"


def _measured(machine: Mapping[str, Any], moment: datetime) -> str:
    return (
        f"Measured on {moment:%Y-%m-%d} at commit {machine['commit']} by `make figures`, on "
        f"{machine['device']} ({machine['threads']} threads, torch {machine['torch']}, Python "
        f"{machine['python']})."
    )


def _command(one: Outcome) -> str:
    return f"`mplus {' '.join(one.measurement.command)}`"


def _cell(figures: Any, path: Sequence[str], unit: str) -> str:
    """A figure with its spread, in a unit; "not measured" where there is none."""
    *above, last = path
    for name in above:
        figures = figures.get(name) if isinstance(figures, Mapping) else None
    found = figures.get(last) if isinstance(figures, Mapping) else None
    bounds: Sequence[Any] = ()
    if isinstance(found, Mapping):
        spread = spread_in(found)
        bounds = [found.get(name) for name in ("low", "high")]
        p99 = found.get("p99")
        found = None if spread is None else found[spread[0]]
        if not all(map(is_number, bounds)) and is_number(p99):
            return f"{_in(unit, found)} {unit} (p99 {_in(unit, p99)})"
    elif isinstance(figures, Mapping):
        bounds = [figures.get(f"{last}_{end}") for end in ("low", "high")]
    if not is_number(found):
        return "not measured"
    text = f"{_in(unit, found)} {unit}".strip()
    if bounds and all(map(is_number, bounds)):
        text += f" ({_in(unit, bounds[0])} to {_in(unit, bounds[1])})"
    return text


def _in(unit: str, value: Any) -> str:
    return f"{100 * value:.0f}" if unit == "%" else number(value)
