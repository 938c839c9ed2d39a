"""`mplus eval relevance`: what the score of a search means."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Annotated

import typer

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.cli.evaluation.inputs import cutter, load_model, progress, setting_of
from mplus_ray.services.cli.evaluation.options import LimitOption, SeedOption
from mplus_ray.services.cli.options import CheckpointOption, JsonOption


def eval_relevance(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="FILE.jsonl",
            help="Questions: an object a line with title, context, question and answers.",
            show_default=False,
        ),
    ],
    limit: LimitOption = 0,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Write the fitted relevance there: CHECKPOINT/relevance.json ships it.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """How often a passage that a search found with some score is the right one: fitted on one
    half of the documents and measured on the other."""
    from mplus_ray.model.evaluation.data.questions import draw, read_questions
    from mplus_ray.model.evaluation.data.telling import ToldDocument
    from mplus_ray.model.evaluation.relevance import relevance
    from mplus_ray.services.cli.evaluation.tables import relevance_table
    from mplus_ray.services.cli.output import human, write_json

    if save is not None and not save.absolute().parent.is_dir():
        raise InvalidInputError(f"--save {save}: there is no folder {save.absolute().parent}")
    passages = draw(read_questions(data), limit or None, Random(seed))
    mplus = load_model(checkpoint)
    cut = cutter(mplus)
    documents = [ToldDocument(cut(passage.context), passage.questions) for passage in passages]
    total = sum(len(chunk.ids) for document in documents for chunk in document.chunks)
    with progress("relevance", total) as advance:
        result, fitted = relevance(mplus, documents, seed, advance)
    if save is not None:
        fitted.save(save)
    settings = setting_of(mplus, seed, data=data.name, limit=limit)
    write_json(json, result | {"settings": settings})
    human(json).print(relevance_table(result))
