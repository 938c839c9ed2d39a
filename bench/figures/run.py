"""A run of `mplus bench figures`: what is written is looked at before the hour, and at its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch

from mplus_ray.bench.figures.measurements import WHOLE, Outcome, measure, measurements
from mplus_ray.bench.figures.page import (
    around_block,
    page,
    readme_block,
    write_block,
    write_page,
)
from mplus_ray.bench.machine import describe
from mplus_ray.model.errors import InvalidInputError, StorageError
from mplus_ray.model.evaluation.data.questions import read_questions

_NO_DATA = (
    "`mplus bench rag` on a file of questions: none was given (`make figures DATA=FILE.jsonl`), "
    "so it asked the few that ship, whose passages are a memory of 1,700 tokens."
)


def main(
    out: Path,
    readme: Path | None,
    data: Path | None,
    checkpoint: str | None,
    say: Callable[[str], None],
    minutes: float = WHOLE,
) -> list[Outcome]:
    """Measure, and write the pages.

    Args:
        out: the page of all figures.
        readme: a page with a block for the few; None for none.
        data: passages with questions for `mplus bench rag`; None for those that ship.
        checkpoint: a folder or hub id; None for the default.
        say: is told what is going on.
        minutes: for all measurements.

    Raises:
        StorageError, InvalidInputError: a page cannot be written, or the questions cannot be
            read; this is found out before anything is measured.
    """
    if not out.parent.is_dir():
        raise StorageError(f"{out} cannot be written: there is no folder {out.parent}")
    if readme is not None:
        around_block(readme)
    if data is not None and not list(read_questions(data)):
        raise InvalidInputError(f"{data} has no questions")
    machine = describe(torch.device("cpu"), torch.float32)  # before the pages change the commit
    outcomes = measure(measurements(data), checkpoint, say, minutes)
    moment = datetime.now(UTC)
    left_out = [] if data else [_NO_DATA]
    write_page(out, page(outcomes, machine, moment, left_out))
    if readme is not None:
        write_block(readme, readme_block(outcomes, machine, moment))
    return outcomes
