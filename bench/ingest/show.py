"""The figures as a table for people, on standard error."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

Rows = list[tuple[str, str, str]]


def show(result: dict[str, Any]) -> None:
    """Print the figures of `bench.ingest.run`, each with its spread or with what it compares to."""
    table = Table("figure", "value", "against", box=None)
    for part in (_throughput, _writers, _latency, _small, _long):
        for row in part(result["detail"]):
            table.add_row(*row)
    console = Console(stderr=True)
    console.print(result["machine"])
    console.print(table)


def _throughput(detail: dict[str, Any]) -> Rows:
    found = detail["throughput"]
    rows = [
        (f"forward pass alone, {name.replace('_', ' ')}", _rate(spread), "the ceiling")
        for name, spread in found["forward"].items()
    ]
    for name, arm in found.items():
        if name == "forward":
            continue
        share, later = arm["share_of_forward"], arm["from_log_share_of_forward"]
        text = f"{share['median']:.0%} of it ({share['low']:.0%} to {share['high']:.0%})"
        text += f"; from the log on {later['median']:.0%}"
        number = name.removeprefix("tenants_")
        rows.append((f"arrival to last commit, tenants: {number}", _rate(arm["end_to_end"]), text))
    return rows


def _writers(detail: dict[str, Any]) -> Rows:
    found = detail["writers"]
    speedup, share = found["speedup"], found["smaller_share_of_steps"]
    text = f"{speedup['median']:.2f}x ({speedup['low']:.2f} to {speedup['high']:.2f}); "
    text += f"the idler one made {share['median']:.0%} of the steps"
    return [
        ("one writer of one thread", _rate(found["one"]), f"{found['tenants']} tenants"),
        ("two of them", _rate(found["two"]), text),
    ]


def _latency(detail: dict[str, Any]) -> Rows:
    idle, loaded = detail["idle"], detail["loaded"]
    text = f"then {idle['then_opened_by_a_reader_ms']['p50']:.1f} ms to open it in a reader"
    others = f"{loaded['tenants_with_backlog']} tenants with {loaded['lowest_backlog_steps']}+ "
    others += f"steps waiting, {loaded['backlog_tokens_per_second']:,.0f} tokens/s"
    scale = "4,000 to 12,000 ms a message"
    return [
        ("acknowledged to answerable, idle", _percentiles(idle["answerable_ms"]), text),
        ("the same under load", _percentiles(loaded["answerable_ms"]), others),
        ("text-memory services, as published", scale, "one or more LLM calls for each"),
    ]


def _small(detail: dict[str, Any]) -> Rows:
    found = detail["small"]
    name = f"{found['documents']:,} small documents, {found['tenants']} tenants"
    half = found["at_half_rate"]
    return [
        (
            name,
            f"{found['documents_per_second']:.0f} documents/s",
            f"accepted at {found['accepted_per_second']:.0f}/s; "
            f"{found['tokens_per_document']:.0f} tokens each; peak {found['peak_mb']:.0f} MB, "
            f"{found['peak_mb'] - found['peak_mb_before']:.0f} over what was there",
        ),
        (
            "answerable, all at once",
            _percentiles(found["burst_answerable_ms"]),
            f"all in {found['seconds']:.0f} s",
        ),
        (
            "answerable, at half the rate",
            _percentiles(half["answerable_ms"]),
            f"{half['documents_per_second']:.0f} documents/s",
        ),
    ]


def _long(detail: dict[str, Any]) -> Rows:
    found = detail["long"]
    return [
        (
            f"{found['tokens']:,} tokens of one tenant",
            f"{found['tokens_per_second']:,.0f} tokens/s",
            f"last tenth {found['last_to_first']:.2f}x the first; none further than "
            f"{found['largest_deviation']:.0%} from their median; peak {found['peak_mb']:.0f} MB",
        )
    ]


def _rate(spread: dict[str, float]) -> str:
    return (
        f"{spread['median']:,.0f} tokens/s ({spread['low']:,.0f} to {spread['high']:,.0f}, "
        f"n={spread['n']})"
    )


def _percentiles(found: dict[str, float]) -> str:
    return f"p50 {found['p50']:.0f} ms, p99 {found['p99']:.0f} ms (n={found['n']})"
