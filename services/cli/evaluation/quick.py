"""`mplus eval quick`: every evaluation, small."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mplus_ray.services.cli.evaluation.inputs import (
    BETWEEN,
    HELD_OUT,
    cutter,
    load_model,
    progress,
    running_text,
    setting_of,
)
from mplus_ray.services.cli.evaluation.options import DataOption, SeedOption, TextOption
from mplus_ray.services.cli.options import CheckpointOption, JsonOption

if TYPE_CHECKING:
    from mplus_ray.model import MPlus
    from mplus_ray.model.evaluation.quick import QuickTexts


def quick(
    data: DataOption = None,
    text: TextOption = None,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
) -> None:
    """All of them, small, in minutes: one table."""
    from mplus_ray.model.evaluation.quick import quick as measure
    from mplus_ray.services.cli.evaluation.tables import quick_table
    from mplus_ray.services.cli.output import human, write_json

    mplus = load_model(checkpoint)
    texts = _texts(mplus, data, text)
    result = measure(mplus, texts, cutter(mplus), progress, seed)
    settings = setting_of(
        mplus, seed, text=texts.text.source, data=data.name if data else "shipped"
    )
    write_json(json, result | {"settings": settings})
    human(json).print(quick_table(result))


def _texts(mplus: MPlus, data: Path | None, text: list[Path] | None) -> QuickTexts:
    from mplus_ray.model.evaluation.data.questions import SHIPPED, read_questions
    from mplus_ray.model.evaluation.quick import QuickTexts

    passages = read_questions(data or SHIPPED)
    others = None if data and not text else running_text(mplus, text, BETWEEN)
    return QuickTexts(running_text(mplus, text, HELD_OUT), passages, others)
