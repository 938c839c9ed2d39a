"""The figures as a table for people, on standard error."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def show(result: dict[str, Any]) -> None:
    """Print the figures of `bench.index.run`."""
    table = Table(
        "memory", "blocks from", "ms", "exact ms", "faster", "recall", "built in", box=None
    )
    for size in result["sizes"]:
        for name in ("copies", "lists"):
            arm = size[name]
            table.add_row(
                f"{size['tokens']:,} tokens, {size['blocks']:,} blocks",
                f"{name}, {arm['bytes'] / 1e6:,.0f} MB",
                _spread(arm["ms"]),
                _spread(arm["exact_ms"]),
                f"{arm['speedup']:.1f}x",
                f"{arm['recall']['mean']:.4f} (worst {arm['recall']['worst']:.2f})",
                f"{arm['build_s']:.1f} s",
            )
    console = Console(stderr=True)
    console.print(result["machine"])
    console.print(table)


def _spread(ms: dict[str, Any]) -> str:
    return f"{ms['p50']:.1f} ({ms['low']:.1f} to {ms['high']:.1f})"
