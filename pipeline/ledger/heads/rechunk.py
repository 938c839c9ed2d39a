"""The log cut for other weights: what a head reads that is built with another model.

Another model may have other tokens and other chunk lengths. Its chunks wait beside the ones that
serve, step by step under its head, and take their place with the swap.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, func

from mplus_ray.model.errors import BehindError
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.chunking.headers import Headings
from mplus_ray.pipeline.ledger.heads.leases import Lease, check_and_renew
from mplus_ray.pipeline.ledger.heads.renumbering import step_map
from mplus_ray.pipeline.ledger.schema import chunks, cuts, documents, snapshots
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

Cut = Callable[[str, Headings], Sequence[Span]]

_AT_ONCE = 256  # chunks read in one query
_READ = (documents.c.id, documents.c.text, documents.c.title, documents.c.metadata)


def rechunk(
    scope: TenantScope, lease: Lease, head: str, excluded: Collection[str], cut: Cut
) -> int:
    """Cut every document that this head has no chunks of; returns how many there were.

    Args:
        excluded: internal ids of documents that the head leaves out.

    Raises:
        StaleLeaseError: somebody else took the tenant over.
    """
    count = 0
    while (document := _next_uncut(scope, head, excluded)) is not None:
        spans = cut(document.text, _headings(document))
        with scope.writing() as connection:
            check_and_renew(connection, scope, lease)
            first = _end(connection, scope, head)
            rows = [
                {"head": head, "step": step, "document": document.id, **asdict(span)}
                for step, span in enumerate(spans, first)
            ]
            scope.insert(connection, cuts, rows)
        count += 1
    return count


def rechunked(
    scope: TenantScope, head: str, from_step: int
) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """(step, text, what it stands under) of the head's own chunks from `from_step` on."""
    step, document, headings = from_step, None, Headings("")
    while True:
        wanted = (cuts.c.head == head) & (cuts.c.step >= step)
        query = scope.select(cuts).where(wanted).order_by(cuts.c.step).limit(_AT_ONCE)
        with scope.reading() as connection:
            found = connection.execute(query).all()
        if not found:
            return
        for row in found:
            if document is None or document.id != row.document:
                document = _text(scope, row.document)
                headings = _headings(document)
            text = document.text[row.start : row.end]
            yield row.step, text, headings.at(document.text, row.start)
        step = found[-1].step + 1


def rechunked_length(scope: TenantScope, head: str) -> int:
    """Steps of the head's own chunks."""
    with scope.reading() as connection:
        return _end(connection, scope, head)


def adopt(
    connection: Connection, scope: TenantScope, head: str, step: int, left_out: set[str]
) -> None:
    """Number the log as the head does, whose chunks replace the ones that served.

    Raises:
        BehindError: the head has not memorized all of the log.
    """
    ours = connection.execute(
        scope.select(cuts).where(cuts.c.head == head).order_by(cuts.c.step)
    ).all()
    have = {row.document for row in ours}
    every = set(connection.execute(scope.select(documents, documents.c.id)).scalars())
    if step != len(ours) or every - have - left_out:
        raise BehindError(
            "documents came that the new memory has not seen; memorize them before the swap"
        )
    moved = [
        (name, _moved(connection, scope, at, ours)) for name, at in _moments(connection, scope)
    ]
    for name, at in moved:
        connection.execute(scope.update(snapshots).where(snapshots.c.name == name).values(step=at))
    connection.execute(scope.delete(chunks))
    connection.execute(scope.delete(cuts).where(cuts.c.head == head))
    kept = ("step", "document", "start", "end", "tokens")
    scope.insert(connection, chunks, [{name: getattr(row, name) for name in kept} for row in ours])
    c = documents.c
    # Moved documents wait below zero, because first steps are unique at every moment.
    for document, rows in groupby(ours, key=lambda row: row.document):
        mine = list(rows)
        connection.execute(
            scope.update(documents)
            .where(c.id == document)
            .values(
                first_step=-1 - mine[0].step,
                chunk_count=len(mine),
                tokens=sum(row.tokens for row in mine),
            )
        )
    connection.execute(
        scope.update(documents).where(c.first_step < 0).values(first_step=-1 - c.first_step)
    )


def _moments(connection: Connection, scope: TenantScope) -> list[tuple[str, int]]:
    return [(row.name, row.step) for row in connection.execute(scope.select(snapshots))]


def _moved(connection: Connection, scope: TenantScope, step: int, ours: Sequence[Row[Any]]) -> int:
    """Where the old `step` stands among the new chunks: before the first that is not older."""
    order = {row.document: at for at, row in reversed(list(enumerate(ours)))}
    query = scope.select(chunks).where(chunks.c.step >= step).order_by(chunks.c.step)
    for old in connection.execute(query):
        if old.document in order:
            for row in ours[order[old.document] :]:
                if row.document != old.document or row.start >= old.start:
                    return int(row.step)
            return len(ours)
    return len(ours)


def _next_uncut(scope: TenantScope, head: str, excluded: Collection[str]) -> Row[Any] | None:
    """The first document after the last one that the head has chunks of."""
    done = scope.select(cuts, func.max(documents.c.first_step)).where(
        cuts.c.head == head, cuts.c.document == documents.c.id
    )
    c = documents.c
    with scope.reading() as connection:
        last = connection.execute(done).scalar_one()
        step_map(connection, scope, excluded)  # they are still the log's
        query = scope.select(documents, *_READ).where(c.id.not_in(excluded))
        if last is not None:
            query = query.where(c.first_step > last)
        return connection.execute(query.order_by(c.first_step).limit(1)).one_or_none()


def _end(connection: Connection, scope: TenantScope, head: str) -> int:
    last = connection.execute(
        scope.select(cuts, func.max(cuts.c.step)).where(cuts.c.head == head)
    ).scalar_one()
    return 0 if last is None else int(last) + 1


def _text(scope: TenantScope, document: str) -> Row[Any]:
    with scope.reading() as connection:
        return connection.execute(
            scope.select(documents, *_READ).where(documents.c.id == document)
        ).one()


def _headings(document: Row[Any]) -> Headings:
    return Headings(document.title, document.metadata.get("sections", []))
