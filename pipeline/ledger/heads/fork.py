"""A tenant from another one's past: the log is copied, the files are shared."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row

from mplus_ray.model.errors import InvalidInputError, SwappedError
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.pipeline.ledger.documents.near_duplicates import Sketch, remember
from mplus_ray.pipeline.ledger.filters.index import details_of, index_document
from mplus_ray.pipeline.ledger.heads.head import (
    Serving,
    add_files,
    add_head,
    forgotten,
    new_head,
    read_head,
)
from mplus_ray.pipeline.ledger.schema import chunks, documents
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope


def copy_past(
    connection: Connection,
    source: TenantScope,
    target: TenantScope,
    step: int | None,
    history: str | None,
    last: Shard | None,
    head: str | None = None,
) -> None:
    """Copy the log below `step` and name the files of its memory; see `Ledger.fork_tenant`.

    The caller's transaction holds the source: what it names cannot become garbage meanwhile.
    """
    serving = read_head(connection, source, serving=True)
    assert serving is not None, "a tenant has a serving head from its creation on"
    wanted = serving.head.step if step is None else step
    if head is not None and (serving.head.id != head or shards_across(serving.shards, wanted)):
        raise SwappedError("the memory was rebuilt or compacted meanwhile; fork it again")
    if not 0 <= wanted <= serving.head.step:
        raise InvalidInputError(
            f"step {wanted} is not in 0 … {serving.head.step}, what the tenant has memorized"
        )
    if forgotten(connection, source, documents.c.first_step < wanted).ranges:
        raise InvalidInputError(
            "a document before that step is being forgotten, and a fork would keep it; fork when "
            "its receipt says that it is rebuilt"
        )
    _copy_log(connection, source, target, wanted)
    _copy_head(connection, target, serving, wanted, history, last)


def _copy_head(
    connection: Connection,
    target: TenantScope,
    serving: Serving,
    step: int,
    history: str | None,
    last: Shard | None,
) -> None:
    if not serving.whole:  # rows that were gone by now may have been there at that step
        step, history = 0, ""
    known = serving.head.history if step == serving.head.step else history
    if known is None:
        # Between two states nobody knows the history: the writer goes on from the one before.
        state = serving.state_at(step)
        step, known = (state.step, state.history) if state else (0, "")
    head = new_head(serving.head.fingerprint, target.clock(), step=step, history=known)
    add_head(connection, target, head)
    kept = [state for state in serving.states if state.step <= step]
    add_files(
        connection, target, head.id, _own_end(shards_before(serving.shards, step), last), kept
    )


def shards_before(pieces: Sequence[Shard], step: int) -> list[Shard]:
    """Shards up to `step`; the last is named with fewer steps where it goes on beyond."""
    return [
        replace(shard, steps=min(shard.end, step) - shard.first_step)
        for shard in pieces
        if shard.first_step < step
    ]


def shards_across(pieces: Sequence[Shard], step: int) -> list[Shard]:
    """The shard that goes on beyond `step`, if there is one."""
    return [shard for shard in pieces if shard.first_step < step < shard.end]


def _own_end(pieces: list[Shard], last: Shard | None) -> list[Shard]:
    """Shards with a file of the fork's own for the steps of the one that the fork cuts."""
    if last is None or not pieces or pieces[-1].end != last.end:
        return pieces
    return [*pieces[:-1], last]


def _copy_log(connection: Connection, source: TenantScope, target: TenantScope, step: int) -> None:
    query = source.select(documents, documents.c.id).where(documents.c.first_step < step)
    # One by one: texts may be large.
    for old in connection.execute(query).scalars().all():
        row = connection.execute(source.select(documents).where(documents.c.id == old)).one()
        own = source.select_found(chunks, chunks.c.document == old)
        spans = connection.execute(own.where(chunks.c.step < step)).all()
        new = uuid.uuid4().hex
        target.insert(connection, documents, [_document(row, new, spans)])
        remember(connection, target, new, Sketch.of(row.text))
        index_document(connection, target, new, row.metadata, details_of(row))
        target.insert(connection, chunks, [{**s._mapping, "document": new} for s in spans])


def _document(row: Row[Any], new: str, spans: Sequence[Row[Any]]) -> dict[str, Any]:
    """The copy of a document; one that the step cuts has fewer chunks, and its whole text."""
    cut_to = {"chunk_count": len(spans), "tokens": sum(span.tokens for span in spans)}
    return {**row._mapping, "id": new, **cut_to}
