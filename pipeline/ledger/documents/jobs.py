"""Work that was accepted and goes on in the background: batches of documents, and forgetting.

Nothing of a job's progress is stored: it is read off the documents and the receipts.
"""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, Subquery, case, func, union_all

from mplus_ray.model.errors import InvalidInputError, JobNotFoundError
from mplus_ray.pipeline.ledger.documents.forget_requests import Receipt, batches, to_receipt
from mplus_ray.pipeline.ledger.schema import documents, forgets, heads, job_documents, jobs
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.ledger.webhooks.finished_jobs import tell_if_finished
from mplus_ray.pipeline.parsing.document_id import id_of_name, storable

JobKind = Literal["ingest", "forget"]
JobState = Literal["waiting", "running", "done", "failed"]
_ROWS = 1000  # that are inserted at once
_KEPT_SECONDS = 7 * 24 * 3600.0  # seconds after which a finished job is let go


@dataclass(frozen=True)
class RefusedDocument:
    """A source of a batch that did not become a document, and why.

    Attributes:
        source: as the client named it.
        reason: for the user.
    """

    source: str
    reason: str


@dataclass(frozen=True)
class Job:
    """A job as it stands.

    Attributes:
        state: waiting, running (part of it is memorized, or the memory is rebuilt already), done,
            or failed, if no document of it was accepted.
        created: seconds since the epoch.
        documents: that were accepted, or that are to be forgotten.
        memorized: of these, how many are answerable, or will never be because they are to be
            forgotten; of a forget request, of how many nothing is left.
        failed: sources that were not accepted.
        receipt: of a forget request.
        id: by which the client asks for it.
        kind: ingest or forget.
    """

    id: str
    kind: JobKind
    state: JobState
    created: float
    documents: int
    memorized: int
    failed: tuple[RefusedDocument, ...] = ()
    receipt: Receipt | None = None


class Jobs:
    """The jobs of one tenant. A forget request is a job by itself, under its receipt's id."""

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope

    def create(self, accepted: Iterable[str], failed: Iterable[RefusedDocument] = ()) -> Job:
        """Note a batch; batches that were finished a week ago are let go.

        Args:
            accepted: internal ids of its documents (`Accepted.document`), new or known.
            failed: sources that did not become documents.
        """
        scope, ids = self._scope, sorted(set(accepted))
        named = [[id_of_name(one.source), storable(one.reason)] for one in failed]
        job = uuid.uuid4().hex
        row = {"id": job, "documents": len(ids), "failed": named, "created": scope.clock()}
        with scope.writing() as connection:
            self._let_go(connection)
            scope.insert(connection, jobs, [row])
            for begin in range(0, len(ids), _ROWS):
                part = ids[begin : begin + _ROWS]
                scope.insert(connection, job_documents, [{"job": job, "document": d} for d in part])
            (made,) = self._batches(connection, [job])
            tell_if_finished(connection, scope, job)
        return made

    def get(self, job_id: str) -> Job:
        """The job of that id.

        Raises:
            JobNotFoundError: there is none, or it was finished long ago.
        """
        with self._scope.reading() as connection:
            ids = [storable(job_id)]
            found = self._batches(connection, ids) or self._forgets(connection, ids)
            found = found or self._forgets_by_filter(connection, ids)
        if not found:
            raise JobNotFoundError(f"there is no job {job_id[:40]!r}")
        return found[0]

    def list(self, limit: int = 50, after: str | None = None) -> builtins.list[Job]:
        """The newest first, without what was finished a week ago.

        Args:
            after: id of the last job of the page before this one.

        Raises:
            InvalidInputError: `after` is gone; begin again.
        """
        with self._scope.reading() as connection:
            every = self._every()
            newest = every.select().order_by(every.c.created.desc(), every.c.id.desc())
            if after is not None:
                named = every.select().where(every.c.id == storable(after))
                at = connection.execute(named).one_or_none()
                if at is None:
                    raise InvalidInputError(
                        f"the job {after[:40]!r}, where the list was to go on, is gone; list from "
                        "the start"
                    )
                same = (every.c.created == at.created) & (every.c.id < at.id)
                newest = newest.where((every.c.created < at.created) | same)
            ids = [row.id for row in connection.execute(newest.limit(limit))]
            found = [
                *self._batches(connection, ids),
                *self._forgets(connection, ids),
                *self._forgets_by_filter(connection, ids),
            ]
        return sorted(found, key=lambda job: ids.index(job.id))

    def _every(self) -> Subquery:
        """(id, created) of all that is worth showing."""
        since = self._scope.clock() - _KEPT_SECONDS
        recent = forgets.c.purged.is_(None) | (forgets.c.purged > since)
        asked = self._scope.select(forgets, forgets.c.id, forgets.c.requested.label("created"))
        batches = self._scope.select(jobs, jobs.c.id, jobs.c.created)
        together = (
            self._scope.select(forgets, forgets.c.batch, func.min(forgets.c.requested))
            .where(recent, forgets.c.batch.is_not(None))
            .group_by(forgets.c.batch)
        )
        alone = asked.where(recent, forgets.c.batch.is_(None))
        return union_all(batches, alone, together).subquery()

    def _batches(self, connection: Connection, ids: Sequence[str]) -> builtins.list[Job]:
        scope, d = self._scope, documents.c
        step = scope.select(heads, heads.c.step).where(heads.c.serving).scalar_subquery()
        done = d.id.is_(None) | d.memorized.is_not(None) | d.forget.is_not(None)
        begun = ~done & (d.first_step < step)
        counts = (
            scope.select(
                job_documents,
                job_documents.c.job,
                func.sum(case((done, 1), else_=0)).label("memorized"),
                func.sum(case((begun, 1), else_=0)).label("begun"),
            )
            .outerjoin(documents, (d.id == job_documents.c.document) & (d.tenant == scope.tenant))
            .where(job_documents.c.job.in_(ids))
            .group_by(job_documents.c.job)
            .subquery()
        )
        query = scope.select(jobs, *jobs.c, counts.c.memorized, counts.c.begun).outerjoin(
            counts, counts.c.job == jobs.c.id
        )
        return [_batch(row) for row in connection.execute(query.where(jobs.c.id.in_(ids)))]

    def _forgets(self, connection: Connection, ids: Sequence[str]) -> builtins.list[Job]:
        query = self._scope.select(forgets).where(forgets.c.id.in_(ids))
        return [_forgetting(to_receipt(row)) for row in connection.execute(query)]

    def _forgets_by_filter(self, connection: Connection, ids: Sequence[str]) -> builtins.list[Job]:
        return [_forgetting(receipt) for receipt in batches(connection, self._scope, ids)]

    def _let_go(self, connection: Connection) -> None:
        """Delete batches of more than a week ago that lack nothing."""
        scope, d = self._scope, documents.c
        lacking = (
            scope.select(job_documents, job_documents.c.job)
            .join(documents, (d.id == job_documents.c.document) & (d.tenant == scope.tenant))
            .where(job_documents.c.job == jobs.c.id, d.memorized.is_(None), d.forget.is_(None))
            .correlate(jobs)
        )
        old = jobs.c.created < scope.clock() - _KEPT_SECONDS
        connection.execute(scope.delete(jobs).where(old, ~lacking.exists()))


def _batch(row: Row[Any]) -> Job:
    memorized, begun = int(row.memorized or 0), int(row.begun or 0)
    state: JobState = "waiting"
    if memorized == row.documents:
        state = "done" if row.documents or not row.failed else "failed"
    elif memorized or begun:
        state = "running"
    failed = tuple(RefusedDocument(source, reason) for source, reason in row.failed)
    return Job(row.id, "ingest", state, row.created, row.documents, memorized, failed)


def _forgetting(receipt: Receipt) -> Job:
    state: JobState = "waiting"
    if receipt.rebuilt is not None:
        state = "running" if receipt.purged is None else "done"
    done = receipt.documents if state == "done" else 0
    return Job(receipt.id, "forget", state, receipt.requested, receipt.documents, done, (), receipt)
