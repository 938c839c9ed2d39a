"""`mplus ask`: an answer from a tenant's memory, and the passages it comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mplus_ray.services.cli.filtering import (
    AfterOption,
    BeforeOption,
    SessionOption,
    TagOption,
    WhereOption,
    filter_of,
)
from mplus_ray.services.cli.options import (
    AsOfOption,
    CheckpointOption,
    DataOption,
    JsonOption,
    SnapshotOption,
    TenantOption,
)

if TYPE_CHECKING:
    from mplus_ray.pipeline.reading.ask import Citation


def ask(
    question: Annotated[str, typer.Argument(help="In plain words.", show_default=False)],
    tenant: TenantOption,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest words.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Makes a drawn answer repeatable.")] = 0,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Withhold an answer of less confidence, from 0 (never) to 1; by default as the "
            "tenant is set, else as the checkpoint says.",
            min=0,
            max=1,
            show_default=False,
        ),
    ] = None,
    session: SessionOption = None,
    tag: TagOption = None,
    where: WhereOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    as_of: AsOfOption = None,
    snapshot: SnapshotOption = None,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Answer a question from the memory of a tenant that exists."""
    from mplus_ray.pipeline.reading.abstention import may_abstain
    from mplus_ray.pipeline.reading.ask import ask as answer_question
    from mplus_ray.pipeline.reading.read_plans import read_plan
    from mplus_ray.services.cli.asking import check_words, open_tenant, repairing, say_waiting
    from mplus_ray.services.cli.output import human, printable, show_passage, write_json
    from mplus_ray.services.settings import Settings

    check_words(question)
    wanted = filter_of(session, tag, where, after, before)
    settings, console = Settings.read(data, checkpoint), human(json)
    with open_tenant(settings, tenant, as_of, snapshot) as (system, log, step):
        # What was printed cannot be taken back, so what may be withheld is printed when it is done.
        held = may_abstain(log.tenant, system.model.confidence is not None, threshold)
        held = held or read_plan(log, log.heads.serving(), step, wanted).holds_nothing

        def show(piece: str) -> None:
            if not held:
                console.print(printable(piece), end="", markup=False)

        reply = repairing(
            system,
            log,
            lambda: answer_question(
                log,
                system.reader,
                question,
                on_text=show,
                as_of=step,
                threshold=threshold,
                wanted=wanted,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
            ),
        )
        outcome = reply.outcome
        console.print(printable(outcome.text) if held else "", markup=False)
    say_waiting(reply.waiting, tenant)
    answer, citations = outcome.told.answer, reply.citations
    for number, citation in enumerate(citations, 1):
        show_passage(console, number, citation.passage, f"{citation.score:.3g}")
    result = {
        "answer": outcome.text,
        "citations": [_as_json(citation) for citation in citations],
        "confidence": outcome.told.confidence,
        "abstained": outcome.abstained,
        "finish_reason": answer.finish_reason,
        "usage": asdict(answer.usage),
        "step": reply.step,
        "waiting": reply.waiting,
    }
    write_json(json, result)


def _as_json(citation: Citation) -> dict[str, Any]:
    from mplus_ray.services.passages import passage_fields

    return {**passage_fields(citation.passage), "score": citation.score}
