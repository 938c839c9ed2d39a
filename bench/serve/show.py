"""The figures as a table for people, on standard error."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

Rows = list[tuple[str, str, str]]


def show(result: dict[str, Any]) -> None:
    """Print the figures of `bench.serve.run`, each with its spread or with what is wanted.

    Parts that were not measured are left out.
    """
    table = Table("figure", "value", "against", box=None)
    for name, found in result["detail"].items():
        for row in _PARTS[name](found):
            table.add_row(*row)
    console = Console(stderr=True, highlight=False)
    console.print(result["machine"])
    console.print(table)


def _speed(found: dict[str, Any]) -> Rows:
    rows = []
    for name, arm in found.items():
        tenants, _, concurrency = name.partition("x")
        rate = arm["tokens_per_second"]
        text = f"{rate['total']:,.0f} tokens/s in all; of one answer p50 {rate['p50']:,.0f}, "
        text += f"p99 {rate['p99']:,.0f}{_errors(arm['errors'])}"
        figure = f"first token, questions at once: {concurrency}, tenants: {tenants}"
        rows.append((figure, _percentiles(arm["first_token_ms"]), text))
    return rows


def _overhead(found: dict[str, Any]) -> Rows:
    rows = []
    for name, over in (("an answer at once", found["whole"]), ("a streamed answer", found)):
        figure = f"p50 {over['p50']:.1f} ms, p99 {over['p99']:.1f} ms (n={over['n']})"
        more = f"{over['service']:.1f} against {over['bare']:.1f}"
        rows.append((f"service over the bare reader, {name}", figure, f"15 ms; {more}"))
    first = f"p50 {found['first_token_p50']:.1f} ms"
    empty = f"15 ms; an empty request {found['ping_ms']['p50']:.1f}"
    return [*rows, ("the same, to the first token of a stream", first, empty)]


def _eight(found: dict[str, Any]) -> Rows:
    return [
        (f"eight questions at once, {name.replace('_', ' ')}, {way}", _times(spread), "2x")
        for name, ways in found.items()
        for way, spread in ways.items()
    ]


def _tiers(found: dict[str, Any]) -> Rows:
    names = {
        "warm": "prepared",
        "host": "open, not prepared",
        "disk": "in files, out of the page cache",
        "cold": f"dropped, {found['steps']} steps made again from text",
    }
    return [
        (f"first token, memory {tier}", _percentiles(found[tier]), text)
        for tier, text in names.items()
    ]


def _killed(found: dict[str, Any]) -> Rows:
    each = ", ".join(f"{seconds:.1f}" for seconds in found["each_back_seconds"])
    return [
        (
            f"reader killed {found['kills']}x under load",
            f"{found['failed']} of {found['asked']} questions failed",
            f"{found['in_flight']} of these were in flight, as were {found['under_way']} in all",
        ),
        ("until answers come again", f"{found['back_seconds']:.1f} s", f"5 s; each: {each}"),
    ]


def _mixed(found: dict[str, Any]) -> Rows:
    first, last = (sum(found[f"{which}_third_mb"].values()) for which in ("first", "last"))
    return [
        (
            f"{found['minutes']:g} minutes of both",
            f"{found['questions']:,} questions, {found['documents']:,} documents",
            f"{found['errors']} errors; first token {_percentiles(found['first_token_ms'])}",
        ),
        (
            "memory, last third over the first",
            f"{found['memory_growth']:+.1%}",
            f"0; {first:,.0f} to {last:,.0f} MB of all processes; without mapped files "
            f"{found['own_memory_growth']:+.1%}",
        ),
    ]


def _reads(found: dict[str, Any]) -> Rows:
    text = f"{found['older']} older; handed in to answered "
    text += f"{_percentiles(found['written_to_answer_ms'])}; {found['other_documents']} other "
    text += f"documents meanwhile{_errors(found['errors'])}"
    return [("min_step honoured", f"{found['honoured']:,} of {found['asked']:,}", text)]


_PARTS = {
    "speed": _speed,
    "overhead": _overhead,
    "eight": _eight,
    "tiers": _tiers,
    "killed": _killed,
    "mixed": _mixed,
    "reads": _reads,
}


def _percentiles(found: dict[str, float]) -> str:
    return f"p50 {found['p50']:.0f} ms, p99 {found['p99']:.0f} ms (n={found['n']})"


def _times(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f}x ({spread['low']:.2f} to {spread['high']:.2f}, n={spread['n']})"


def _errors(errors: dict[str, int]) -> str:
    return f"; {sum(errors.values())} errors" if errors else ""
