"""`mplus eval qa` and `citations`: real questions on passages that were told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mplus_ray.services.cli.evaluation.inputs import (
    BETWEEN,
    check_plot,
    cutter,
    load_model,
    progress,
    running_text,
    setting_of,
    to_distances,
)
from mplus_ray.services.cli.evaluation.options import (
    DataOption,
    DistancesOption,
    LimitOption,
    PlotOption,
    SeedOption,
    TenantsOption,
    TextOption,
)
from mplus_ray.services.cli.evaluation.tables import arms_out
from mplus_ray.services.cli.options import CheckpointOption, JsonOption

if TYPE_CHECKING:
    from mplus_ray.model import MPlus
    from mplus_ray.model.evaluation.data.passages import Logs, PassagePlan
    from mplus_ray.model.evaluation.data.telling import Advance


def qa(
    data: DataOption = None,
    tokens: DistancesOption = "0,20000",
    text: TextOption = None,
    tenants: TenantsOption = 4,
    limit: LimitOption = 300,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Real questions: exact match, F1 and answer-in-output of M+, of the same model with the
    passage in its prompt, with nothing, and with BM25 passages in its prompt."""
    from mplus_ray.model.evaluation.plots import Curve
    from mplus_ray.model.evaluation.qa import qa as measure

    result = _on_passages("qa", measure, data, tokens, text, tenants, limit, checkpoint, seed, plot)
    curve = Curve("f1", "f1_low", "f1_high", "F1")
    arms_out(result, json, plot, curve, "Questions on passages")


def citations(
    data: DataOption = None,
    tokens: DistancesOption = "0,20000",
    text: TextOption = None,
    tenants: TenantsOption = 4,
    limit: LimitOption = 300,
    checkpoint: CheckpointOption = None,
    seed: SeedOption = 0,
    json: JsonOption = None,
    plot: PlotOption = None,
) -> None:
    """Whether the passage with the answer is the first, or among the first three, that the
    retriever names; beside BM25 over the same passages."""
    from mplus_ray.model.evaluation.citations import citations as measure
    from mplus_ray.model.evaluation.plots import Curve

    result = _on_passages(
        "citations", measure, data, tokens, text, tenants, limit, checkpoint, seed, plot
    )
    arms_out(result, json, plot, Curve("hit@1", "hit@1_low", "hit@1_high", "hit@1"), "Citations")


def _on_passages(
    name: str,
    measure: Callable[[MPlus, Logs, PassagePlan, Advance], dict[str, Any]],
    data: Path | None,
    tokens: str,
    text: list[Path] | None,
    tenants: int,
    limit: int,
    checkpoint: str | None,
    seed: int,
    plot: Path | None,
) -> dict[str, Any]:
    """What `qa` and `citations` have in common."""
    from mplus_ray.model.evaluation.data.passages import PassagePlan, lay_out
    from mplus_ray.model.evaluation.data.questions import SHIPPED, read_questions

    plan = PassagePlan(to_distances(tokens), limit or None, tenants, seed)
    check_plot(plot)
    passages = read_questions(data or SHIPPED)
    mplus = load_model(checkpoint)
    between = None if data and not text else running_text(mplus, text, BETWEEN)
    logs = lay_out(passages, cutter(mplus), plan, between)
    with progress(name, logs.tokens) as advance:
        result = measure(mplus, logs, plan, advance)
    return result | {
        "settings": setting_of(
            mplus,
            seed,
            data=(data or SHIPPED).name,
            between=between.source if between else "the file's other passages",
            limit=limit,
            tenants=tenants,
        )
    }
