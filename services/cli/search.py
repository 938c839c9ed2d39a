"""`mplus search`: the passages of a tenant's memory that an answer would draw on."""

from __future__ import annotations

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
    from mplus_ray.pipeline.reading.search import Hit


def search(
    query: Annotated[
        str, typer.Argument(help="A question, or words to look for.", show_default=False)
    ],
    tenant: TenantOption,
    limit: Annotated[int, typer.Option(help="So many passages at most.", min=1, max=100)] = 10,
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Leave out passages that score less, from 0 to 1.",
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
    """Find passages in the memory of a tenant that exists; nothing is generated."""
    from mplus_ray.pipeline.reading.search import search as search_memory
    from mplus_ray.services.cli.asking import check_words, open_tenant, repairing, say_waiting
    from mplus_ray.services.cli.output import human, show_passage, write_json
    from mplus_ray.services.settings import Settings

    check_words(query)
    wanted = filter_of(session, tag, where, after, before)
    settings, console = Settings.read(data, checkpoint), human(json)
    with open_tenant(settings, tenant, as_of, snapshot) as (system, log, step):
        reply = repairing(
            system,
            log,
            lambda: search_memory(log, system.reader, query, limit, step, min_score, wanted),
        )
    say_waiting(reply.waiting, tenant)
    for number, hit in enumerate(reply.hits, 1):
        show_passage(console, number, hit.passage, _why(hit))
    if not reply.hits:
        console.print("nothing found")
    result = {
        "results": [as_json(hit) for hit in reply.hits],
        "votes": reply.votes,
        "step": reply.step,
        "waiting": reply.waiting,
    }
    write_json(json, result)


def as_json(hit: Hit) -> dict[str, Any]:
    """A hit as `POST /v1/search` has it."""
    from mplus_ray.services.passages import passage_fields

    why = {"vote": hit.vote, "words": list(hit.words)}
    return {**passage_fields(hit.passage), "score": hit.score, "why": why}


def _why(hit: Hit) -> str:
    score = f"vote {hit.vote:.3g}" if hit.score is None else f"{100 * hit.score:.0f} %"
    return ", ".join([score, *hit.words])
