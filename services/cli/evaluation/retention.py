"""`mplus eval retention`: what is still known after so much other text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.cli.evaluation.inputs import (
    HELD_OUT,
    check_plot,
    load_model,
    progress,
    running_text,
    setting_of,
    to_distances,
)
from mplus_ray.services.cli.evaluation.options import (
    LimitOption,
    PlotOption,
    SeedOption,
    TenantsOption,
    TextOption,
)
from mplus_ray.services.cli.evaluation.tables import arms_out
from mplus_ray.services.cli.options import CheckpointOption, JsonOption

if TYPE_CHECKING:
    from mplus_ray.model.corpus.facts import Unseen


def retention(
    tokens: Annotated[
        str, typer.Option(metavar="N,…", help="Tokens of other text before the question.")
    ] = "0,20000,160000",
    questions: Annotated[int, typer.Option(help="Invented facts, one question each.", min=1)] = 300,
    told: Annotated[
        str,
        typer.Option(
            help="How a fact is told: in prose (a chunk of text around it), as one sentence, as "
            "an update of an earlier one in prose, or as one sentence that overrides another.",
            metavar="prose|sentence|update|restated",
        ),
    ] = "prose",
    unseen: Annotated[
        str,
        typer.Option(
            help="Whose phrasings training never saw: the questions', or everything's (the "
            "statements' too).",
            metavar="questions|everything",
        ),
    ] = "questions",
    text: TextOption = None,
    tenants: TenantsOption = 4,
    limit: LimitOption = 0,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Invented facts, so many tokens of other text, then the questions; M+, the pool alone
    (MemoryLLM) and no memory."""
    from mplus_ray.model.evaluation.data.facts import WAYS
    from mplus_ray.model.evaluation.plots import Curve
    from mplus_ray.model.evaluation.retention import RetentionPlan
    from mplus_ray.model.evaluation.retention import retention as measure

    if told not in WAYS:
        raise InvalidInputError(f"--told {told} is unknown; there are {', '.join(WAYS)}")
    count = min(questions, limit or questions)
    if unseen not in ("questions", "everything"):
        raise InvalidInputError(f"--unseen {unseen} is unknown; give questions or everything")
    plan = RetentionPlan(
        to_distances(tokens), count, min(tenants, count), told, seed, cast("Unseen", unseen)
    )
    check_plot(plot)
    mplus = load_model(checkpoint)
    running = running_text(mplus, text, HELD_OUT)
    with progress("retention", plan.tokens(mplus.config.chunk_tokens)) as advance:
        result = measure(mplus, running, plan, advance)
    settings = setting_of(
        mplus, seed, text=running.source, tenants=plan.tenants, told=told, unseen=unseen
    )
    settings["text_tokens"] = len(running)
    arms_out(
        result | {"settings": settings},
        json,
        plot,
        Curve("exact", "low", "high", "exact match"),
        "What is still known",
    )
