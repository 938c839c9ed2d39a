"""`mplus eval perplexity`: how well text is predicted behind so much memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mplus_ray.services.cli.evaluation.inputs import (
    HELD_OUT,
    check_plot,
    load_model,
    memories,
    progress,
    running_text,
    setting_of,
    to_distances,
)
from mplus_ray.services.cli.evaluation.options import PlotOption, SeedOption
from mplus_ray.services.cli.evaluation.tables import arms_out
from mplus_ray.services.cli.options import CheckpointOption, JsonOption


def perplexity(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE.txt",
            help="Text never trained on; by default a document of the repository (Bartleby).",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="N,…",
            help="Tokens of memory before what is read; by default 0,2000,16000,64000, as far as "
            "the text allows.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", help="Windows of a chunk each.", min=1)
    ] = 64,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Perplexity of running text, with memory of so many tokens before it."""
    from mplus_ray.model.evaluation.perplexity import perplexity as measure
    from mplus_ray.model.evaluation.perplexity import place_windows, tokens_to_memorize
    from mplus_ray.model.evaluation.plots import Curve

    check_plot(plot)
    mplus = load_model(checkpoint)
    running = running_text(mplus, [data] if data else None, HELD_OUT[:1])
    size = mplus.config.chunk_tokens
    distances = to_distances(tokens) if tokens else memories(len(running) - limit * size)
    starts = place_windows(len(running), max(distances), size, limit)
    with progress("perplexity", tokens_to_memorize(starts, distances, size)) as advance:
        result = measure(mplus, running.ids, distances, limit, advance, seed)
    settings = setting_of(mplus, seed, data=running.source, limit=limit)
    arms_out(
        result | {"settings": settings},
        json,
        plot,
        Curve("perplexity", "low", "high", "perplexity"),
        "Text after what is remembered",
    )
