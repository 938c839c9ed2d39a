"""The figures as a table for people, on standard error."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def show(result: dict[str, Any]) -> None:
    """Print the figures of `bench.rag.run`."""
    columns = ("arm", "first token ms", "times", "CPU s", "prompt", "answers/s", "exact", "F1")
    table = Table(*columns, box=None)
    for name, arm in result["arms"].items():
        ms = arm["first_token_ms"]
        table.add_row(
            name,
            f"{ms['p50']:.0f} ({ms['low']:.0f} to {ms['high']:.0f})",
            f"{arm['times_first']:.1f}",
            f"{arm['processor_s']:.2f}",
            f"{arm['prompt_tokens']:.0f}",
            f"{arm['answers_a_second']:.2f}",
            f"{arm['exact']:.0%} ({arm['exact_low']:.0%} to {arm['exact_high']:.0%})",
            f"{arm['f1']:.0%} ({arm['f1_low']:.0%} to {arm['f1_high']:.0%})",
        )
    console = Console(stderr=True)
    console.print(result["machine"])
    console.print(
        f"{result['questions']} questions to {result['memory_tokens']:,} tokens, memorized at "
        f"{result['memorized_a_second']:,.0f} a second, {result['bytes_a_token']:,.0f} bytes each"
    )
    console.print(table)
