"""`mplus bench`: how fast it is on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from services.options import CheckpointOption, JsonOption

app = typer.Typer(help="Measure.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Benchmarks; each prints its figures and their share of what the machine can do."""


@app.command("model")
def bench_model(json: JsonOption = None) -> None:
    """Memorizing, questions and decoding at the paper's geometry."""
    from bench.model import main
    from services.output import write_json

    write_json(json, main())


@app.command("memory")
def bench_memory(
    quick: Annotated[
        bool, typer.Option("--quick", help="Less of everything, in two minutes instead of 15.")
    ] = False,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """What durable memory costs: appends, restarts, forgetting, snapshots, bytes."""
    from bench.memory import main
    from services.output import write_json

    write_json(json, main(quick, checkpoint))
