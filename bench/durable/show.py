"""The figures as a table for people, on standard error."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def show(result: dict[str, Any]) -> None:
    """Print the figures of `bench.durable.run`, each with its spread or what it compares to."""
    table = Table("figure", "value", "against", box=None)
    for part in (_appends, _gather, _restart, _forget, _bytes, _ingest, _precision):
        for row in part(result):
            table.add_row(*row)
    console = Console(stderr=True)
    console.print(result["machine"])
    console.print(table)


Rows = list[tuple[str, str, str]]


def _appends(result: dict[str, Any]) -> Rows:
    append = result["append"]
    rows = [("a file of a step flushed to disk", _percentiles(append["floor_ms"]), "the floor")]
    for place, sizes in append.items():
        if place in ("floor_ms", "step_bytes"):
            continue
        first = next(iter(sizes.values()))["ms"]["p50"]
        for tokens, found in sizes.items():
            name = f"append, {place.replace('_', ' + ')}, {int(tokens):,} tokens"
            split = f"seal {found['seal_ms']['p50']:.1f}, commit {found['commit_ms']['p50']:.1f}"
            flat = f"{found['ms']['p50'] / first:.2f}x the first; {split}"
            rows.append((name, _percentiles(found["ms"]), flat))
    return rows


def _gather(result: dict[str, Any]) -> Rows:
    rows = []
    for name, found in result["gather"].items():
        what = f"gather {found['megabytes']:.1f} MB, {name.replace('_', ' ')}"
        warm, cold = found["warm_ms"], found["cold_ms"]
        disk = f"disk {found['cold_sequential_gbps']:.1f} GB/s in sequence"
        memory = f"{found['warm_gbps']:.1f} GB/s; memory {result['roofline']['gbps']:.0f}"
        rows.append((f"{what}, warm", _percentiles(warm), memory))
        rows.append((f"{what}, cold", _percentiles(cold), f"{found['cold_gbps']:.1f} GB/s; {disk}"))
    return rows


def _restart(result: dict[str, Any]) -> Rows:
    rows = []
    for name, found in result["restart"].items():
        if isinstance(found, dict) and "open_memory" in found:
            what = f"restart, {name.replace('_', ' ')}, {found['tokens']:,} tokens"
            parts = f"imports {found['imports']:.0f}, weights {found['load_model']:.0f}, "
            parts += f"memory {found['open_memory']:.0f}, answer {found['first_answer']:.0f}"
            rows.append((what, f"{found['total']:.0f} ms", parts))
    text, rebuilt = result["restart"]["from_text"], result["rebuild"]
    rate = f"{rebuilt['tokens_per_second']:.0f} tokens/s over {rebuilt['tokens']:,}"
    rows.append(("restart, from text", f"{text['seconds_scaled']:.0f} s (scaled)", rate))
    limit = f"{rebuilt['loading_wins_above_mb_per_s']:.1f} MB/s"
    rows.append(("rebuilding beats loading below", limit, "what rows are made at"))
    return rows


def _forget(result: dict[str, Any]) -> Rows:
    found, snapshot = result["forget"], result["snapshot"]
    parts = f"request {found['request_ms']:.1f}, then a view without it"
    again = f"{found['steps_memorized_again']} of {found['steps']} steps memorized again"
    replay = snapshot["replay_llama_8b"]
    tiny = snapshot["replay_checkpoint"]
    return [
        ("forget: unanswerable", f"{found['unanswerable_ms']:.1f} ms", parts),
        ("forget: receipt", f"{found['receipt_seconds']:.1f} s", again),
        (
            "snapshot",
            _percentiles(snapshot["take_ms"]),
            f"{snapshot['ledger_bytes_each']:.0f} bytes of the ledger",
        ),
        (
            f"index sets of step {replay['steps']} of 8B",
            f"{replay['seconds']:.2f} s",
            f"{replay['ms_per_step']:.2f} ms a step; "
            f"{replay['bytes_if_it_were_stored'] / 1e6:.0f} MB if stored",
        ),
        (
            f"index sets of step {tiny['steps']:,} here",
            f"{tiny['seconds']:.2f} s",
            f"{tiny['ms_per_step']:.2f} ms a step",
        ),
    ]


def _bytes(result: dict[str, Any]) -> Rows:
    return [
        (
            f"bytes a token, {name.replace('_', ' ')}",
            ", ".join(f"{kind} {value:,.0f}" for kind, value in found.items()),
            "",
        )
        for name, found in result["bytes"].items()
    ]


def _ingest(result: dict[str, Any]) -> Rows:
    return [
        (
            f"ingest {found['tokens']:,} tokens, {name.replace('_', ' ')}",
            f"{found['tokens_per_second']:,.0f} tokens/s",
            f"last to first third {found['last_to_first']:.2f}; peak {found['peak_mb']:.0f} MB, "
            f"{found['peak_mb'] - found['peak_mb_before']:.0f} over what was there",
        )
        for name, found in result["ingest"].items()
    ]


def _precision(result: dict[str, Any]) -> Rows:
    return [
        (
            name.replace("_", " "),
            f"{found['same_rows']:.1%} of rows the same",
            f"logits differ by {found['largest_logit_difference']:.3f}; "
            f"{found['same_answer']:.0%} of answers the same",
        )
        for name, found in result["precision"].items()
        if isinstance(found, dict)
    ]


def _percentiles(found: dict[str, float]) -> str:
    return f"{found['p50']:.2f} ms (p99 {found['p99']:.2f}, n={found['n']})"
