"""`mplus ask`: an answer from a tenant's memory, and the passages it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mplus_ray.model.errors import InvalidInputError
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

_WITH_BATCH = frozenset({"batch", "tenant", "data", "checkpoint"})


def ask(
    context: typer.Context,
    tenant: TenantOption,
    question: Annotated[
        str | None, typer.Argument(help="In plain words.", show_default=False)
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Answer many questions together instead: a line of JSON for each, with "
            '"question", perhaps "id", and what else POST /v1/query takes; a line of JSON for each '
            "answer, as it is ready.",
            show_default=False,
        ),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Answer with an object of this JSON Schema, filled field by field.",
            show_default=False,
        ),
    ] = None,
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
    """Answer a question from the memory of a tenant that exists, or all questions of a file."""
    from mplus_ray.pipeline.reading.abstention import may_abstain
    from mplus_ray.pipeline.reading.ask import ask as answer_question
    from mplus_ray.pipeline.reading.read_plans import read_plan
    from mplus_ray.services.cli.ask_batch import ask_batch, reply_as_json
    from mplus_ray.services.cli.asking import (
        check_words,
        form_of,
        open_tenant,
        repairing,
        say_waiting,
    )
    from mplus_ray.services.cli.output import human, printable, show_passage, stderr, write_json
    from mplus_ray.services.settings import Settings

    settings = Settings.read(data, checkpoint)
    if batch is not None:
        _check_batch(context)
        if failed := ask_batch(settings, tenant, batch):
            stderr().print(f"{failed} questions were not answered; `error` says why of each")
            raise typer.Exit(1)
        return
    if question is None:
        raise InvalidInputError("ask a question, or name a file of questions with --batch")
    check_words(question)
    form = form_of(schema, question) if schema else None
    wanted = filter_of(session, tag, where, after, before)
    console = human(json)
    with open_tenant(settings, tenant, as_of, snapshot) as (system, log, step):
        # What was printed cannot be taken back, so what may be withheld is printed when it is done.
        held = may_abstain(log.tenant, system.model.confidence is not None, threshold)
        held = held or form is not None
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
                form=form,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
            ),
        )
        outcome = reply.outcome
        console.print(printable(outcome.text) if held else "", markup=False)
    say_waiting(reply.waiting, tenant)
    for number, citation in enumerate(reply.citations, 1):
        show_passage(console, number, citation.passage, _sure(citation))
    write_json(json, reply_as_json(reply))


def _check_batch(context: typer.Context) -> None:
    """Refuse what a line of the file would have to say of its own question."""
    for name in context.params.keys() - _WITH_BATCH:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InvalidInputError(
                f"{name} cannot stand beside --batch; each line of the file says it for itself"
            )


def _sure(citation: Citation) -> str:
    if citation.relevance is None:
        return f"{citation.score:.3g}"
    return f"{100 * citation.relevance:.0f} %"
