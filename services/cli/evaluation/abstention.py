"""`mplus eval abstention`: whether it can know that it was never told."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Annotated

import typer

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.cli.evaluation.inputs import (
    HELD_OUT,
    check_plot,
    cutter,
    load_model,
    progress,
    running_text,
    setting_of,
)
from mplus_ray.services.cli.evaluation.options import (
    FactsOrDataOption,
    LimitOption,
    PlotOption,
    SeedOption,
    TextOption,
)
from mplus_ray.services.cli.options import CheckpointOption, JsonOption


def abstention(
    data: FactsOrDataOption = None,
    tokens: Annotated[
        int,
        typer.Option(metavar="N", help="Tokens of other text between telling and asking.", min=0),
    ] = 0,
    text: TextOption = None,
    limit: LimitOption = 300,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Write the fitted confidence there: CHECKPOINT/confidence.json ships it.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Whether a confidence tells what was memorized from what never was: area under the ROC
    curve, chosen on one half of the documents and measured on the other."""
    from mplus_ray.model.evaluation.abstention import After
    from mplus_ray.model.evaluation.abstention import abstention as measure
    from mplus_ray.model.evaluation.data.questions import draw, read_questions
    from mplus_ray.model.evaluation.data.telling import ToldDocument
    from mplus_ray.model.evaluation.plots import draw_roc
    from mplus_ray.model.evaluation.quick import fact_documents
    from mplus_ray.services.cli.evaluation.tables import abstention_line
    from mplus_ray.services.cli.output import human, write_json

    check_plot(plot)
    if save is not None and not save.absolute().parent.is_dir():
        raise InvalidInputError(f"--save {save}: there is no folder {save.absolute().parent}")
    passages = draw(read_questions(data), limit or None, Random(seed)) if data else []
    mplus = load_model(checkpoint)
    running, cut = running_text(mplus, text, HELD_OUT), cutter(mplus)
    if data is None:
        documents = fact_documents(mplus, running, limit or 300, seed)
        source = f"invented facts in {running.source}"
    else:
        documents = [ToldDocument(cut(passage.context), passage.questions) for passage in passages]
        source = data.name
    total = sum(len(chunk.ids) for document in documents for chunk in document.chunks)
    after = After(running, tokens) if tokens else None
    with progress("abstention", total + 2 * tokens) as advance:
        result, confidence = measure(mplus, documents, seed, advance, after)
    if save is not None:
        confidence.save(save)
    if plot is not None:
        draw_roc(plot, result["roc"], "Told and never told")
    settings = setting_of(mplus, seed, data=source, limit=limit, tokens=tokens)
    write_json(json, result | {"settings": settings})
    human(json).print(abstention_line(result))
