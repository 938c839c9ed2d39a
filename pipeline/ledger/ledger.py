"""The ledger: every tenant and its log of documents. It is the truth; memory is made from it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Unpack

from sqlalchemy import Row, select, update
from sqlalchemy.exc import IntegrityError

from mplus_ray.model.errors import BusyError, InvalidInputError, QuotaError, TenantNotFoundError
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.pipeline.ledger.api_keys import Credentials, Key
from mplus_ray.pipeline.ledger.backlog import Backlog, Waiting, read_waiting, sum_up
from mplus_ray.pipeline.ledger.database import Database
from mplus_ray.pipeline.ledger.deferred_writes import DeferredWrites
from mplus_ray.pipeline.ledger.delivery_queue import DeliveryQueue
from mplus_ray.pipeline.ledger.heads.fork import copy_past
from mplus_ray.pipeline.ledger.heads.head import add_head, new_head
from mplus_ray.pipeline.ledger.marked_tenants import MarkedTenants, insert_tenant
from mplus_ray.pipeline.ledger.schema import documents, leases, shards, states, tenants
from mplus_ray.pipeline.ledger.tenant import (
    RETENTIONS,
    Tenant,
    TenantLimits,
    TenantSummary,
    check_new_tenant,
    default_precision,
    default_seed,
    new_tenant,
    to_tenant,
)
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.ledger.tenant_queries import (
    active,
    count_forks,
    named,
    select_files,
    select_holders,
    select_summaries,
    select_tallies,
    to_summary,
)
from mplus_ray.pipeline.ledger.tenant_scope import now

_AT_ONCE = 500  # file names in one query


class Ledger:
    """Tenants by name; what is inside a tenant is reached through its `TenantLog` only.

    Attributes:
        credentials: the keys of all tenants, and the operator's.
        notes: takes small notes for which nobody waits.
        deliveries: what webhooks are to be told.
        marked: tenants that nobody finds, because they are being made or taken away.
    """

    def __init__(self, url: str, clock: Callable[[], float] = now) -> None:
        self._database = Database(url)
        self._clock = clock
        self.notes = DeferredWrites()
        self.credentials = Credentials(self._database, self.notes, clock)
        self.deliveries = DeliveryQueue(self._database, clock)
        self.marked = MarkedTenants(self._database, clock)

    def tenant(self, name: str) -> TenantLog:
        """The log of an existing tenant.

        Raises:
            TenantNotFoundError: there is no tenant of that name.
        """
        with self._database.reading() as connection:
            row = connection.execute(named(name)).one_or_none()
        if row is None or row.status != "active":
            raise TenantNotFoundError(
                f"there is no tenant {name!r}; `mplus tenants list` shows those that exist, "
                "`mplus ingest --tenant NAME PATH` makes a new one"
            )
        return self._log(to_tenant(row))

    def caller(self, text: str) -> tuple[Key, TenantLog | None]:
        """The key of that text, and its tenant's log; None is the operator's.

        Raises:
            UnauthorizedError: see `Credentials.verify`.
        """
        key, tenant = self.credentials.verify(text)
        return key, None if tenant is None else self._log(tenant)

    def log_of(self, tenant_id: str) -> TenantLog:
        """The log of the tenant of that id.

        Raises:
            TenantNotFoundError: there is none, or it was deleted.
        """
        with self._database.reading() as connection:
            row = connection.execute(active().where(tenants.c.id == tenant_id)).one_or_none()
        if row is None:
            raise TenantNotFoundError("the tenant was deleted")
        return self._log(to_tenant(row))

    def create_tenant(
        self,
        name: str,
        fingerprint: str,
        seed: int | None = None,
        *,
        precision: str | None = None,
        retention: str | None = None,
        bytes_per_step: int = 0,
        geometry: dict[str, Any] | None = None,
        **limits: Unpack[TenantLimits],
    ) -> TenantLog:
        """The log of the tenant of that name, made now with an empty head if there was none.

        Args:
            seed, precision, retention: for life; None is the default for a new tenant (a hash of
                its name, what `geometry` says, checkpoint) and whatever an existing one has. The
                rest is for a new tenant only; `TenantLog.set_limits` changes limits. See `Tenant`.

        Raises:
            InvalidInputError: a value is impossible, or the tenant exists with another one.
            FingerprintMismatchError: the tenant exists with memory of another checkpoint.
            BusyError: a tenant of that name is being deleted.
        """
        tenant = new_tenant(
            name=name,
            seed=default_seed(name) if seed is None else seed,
            fingerprint=fingerprint,
            precision=precision or default_precision(geometry or {}),
            retention=retention or RETENTIONS[0],
            bytes_per_step=bytes_per_step,
            geometry=geometry or {},
            now=self._clock(),
            **limits,
        )
        check_new_tenant(tenant)
        with self._database.writing() as connection:
            row = connection.execute(named(name)).one_or_none()
            if row is None:
                # Another process may be making the same tenant; then this one finds it.
                with suppress(IntegrityError), connection.begin_nested():
                    insert_tenant(connection, tenant)
                    head = new_head(fingerprint, tenant.created)
                    add_head(connection, self._log(tenant).scope, head)
                row = connection.execute(named(name)).one()
        if row.status != "active":
            raise BusyError(f"tenant {name!r} is being deleted; try again when it is gone")
        found = to_tenant(row)
        found.check_fingerprint(fingerprint)
        found.check_settings(seed=seed, precision=precision, retention=retention)
        return self._log(found)

    def fork_tenant(
        self,
        source: TenantLog,
        name: str,
        step: int | None = None,
        history: str | None = None,
        last: Shard | None = None,
        head: str | None = None,
        most: int | None = None,
    ) -> TenantLog:
        """A new tenant that is what `source` was after `step` steps (by default, is now).

        Its log is a copy, also of a document that the step cuts, with fewer chunks. The memory's
        files are shared. Where the history at `step` is not known the head begins at the last
        state before it, and the writer memorizes the few steps from there on again.

        Args:
            history: hash chain at `step`, in hex, if the caller knows it.
            last: a copy of the steps below `step` of a shard that goes on beyond it. Without it
                the fork names that shard, and keeps what the source may forget in it later.
            head: id of the head that `step` is of, for a caller without the source's lease.
            most: forks that may go back to the same tenant.

        Raises:
            InvalidInputError: the name is impossible or taken, the step is not memorized, or a
                document before it is being forgotten.
            SwappedError: the source has another head than `head` by now, or other shards.
            QuotaError: there are as many forks as there may be.
        """
        now, family = self._clock(), source.tenant.family
        tenant = replace(
            source.tenant, id=uuid.uuid4().hex, name=name, created=now, used=now, origin=family
        )
        check_new_tenant(tenant)
        log = self._log(tenant)
        source.forgets.expire()
        # Held to the end, so that no file of the source becomes garbage before it is named.
        with source.scope.writing() as connection:
            if most is not None and (there := count_forks(connection, family)) >= most:
                raise QuotaError(
                    f"there are {there} forks of this memory, and there may be {most}; have the "
                    "operator delete one first"
                )
            try:
                with connection.begin_nested():
                    insert_tenant(connection, tenant)
            except IntegrityError as error:
                raise InvalidInputError(
                    f"there is a tenant {name!r} already; fork into another name"
                ) from error
            copy_past(connection, source.scope, log.scope, step, history, last, head)
        return self.tenant(name)

    def tenants(self) -> list[TenantSummary]:
        """All tenants by name, with the size of their logs and memories."""
        with self._database.reading() as connection:
            return [to_summary(row) for row in connection.execute(select_summaries())]

    def tallies(self) -> dict[str, Row[Any]]:
        """By tenant id: `failed` sources, the `documents_left` and `tokens_left` that the serving
        head lacks, and whether it was dropped although the log can make it again (`cold`)."""
        with self._database.reading() as connection:
            return {row.id: row for row in connection.execute(select_tallies())}

    def holders(self) -> list[Row[Any]]:
        """(name, owner, epoch, expires) of every lease that was not given back, overdue or not."""
        with self._database.reading() as connection:
            return list(connection.execute(select_holders()))

    def named_files(self) -> list[Row[Any]]:
        """(tenant id, file, nbytes) of the files that heads name; a fork names shared ones too."""
        with self._database.reading() as connection:
            return list(connection.execute(select_files()))

    def waiting(self) -> list[Waiting]:
        """Tenants whose memory lacks something, those whose turn is next first."""
        with self._database.reading() as connection:
            return read_waiting(connection, lambda row: self._log(to_tenant(row)))

    def backlog(self) -> Backlog:
        """All that waits, summed up."""
        waiting = self.waiting()
        with self._database.reading() as connection:
            return sum_up(connection, waiting, self._clock())

    def release_leases(self, process: str) -> int:
        """Give back what a process held that is gone; returns how many tenants that frees.

        If it is not gone after all, its next commit is refused.

        Args:
            process: what its holders begin with, see
                `pipeline.ledger.heads.lease_owner.process_owner`.
        """
        held = leases.c.owner.startswith(process, autoescape=True)
        with self._database.writing() as connection:
            freed = connection.execute(update(leases).where(held).values(owner="", expires=0.0))
        return freed.rowcount

    def forget_expired(self) -> int:
        """Have the documents forgotten whose time is over, of all tenants; returns how many."""
        due = (documents.c.expires_at <= self._clock()) & documents.c.forget.is_(None)
        query = active().where(tenants.c.id.in_(select(documents.c.tenant).where(due)))
        with self._database.reading() as connection:
            found = [self._log(to_tenant(row)) for row in connection.execute(query)]
        return sum(log.forgets.expire() for log in found)

    def idle_tenants(self) -> list[TenantLog]:
        """Tenants without use for longer than their `cold_after`."""
        query = active().where(tenants.c.used + tenants.c.cold_after <= self._clock())
        with self._database.reading() as connection:
            return [self._log(to_tenant(row)) for row in connection.execute(query)]

    def delete_tenant(self, name: str) -> Tenant:
        """Mark a tenant as gone: nobody finds it from now on, and no writer can commit.

        Its rows and files are still there; `marked.begin_removal`, delete its files, scrub,
        then `marked.remove`. The name is free only after that.

        Raises:
            TenantNotFoundError: there is no tenant of that name.
        """
        log = self.tenant(name)
        with log.scope.writing() as connection:
            log.scope.set(connection, status="deleting")
        return log.tenant

    def tenant_ids(self) -> set[str]:
        """Of all tenants, also of those that are marked."""
        with self._database.reading() as connection:
            return set(connection.execute(select(tenants.c.id)).scalars())

    def referenced_files(self, files: Iterable[str]) -> set[str]:
        """Which of these files any head of any tenant names; the others are garbage."""
        wanted = sorted(set(files))
        found: set[str] = set()
        with self._database.reading() as connection:
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                for table in (shards, states):
                    query = select(table.c.file).where(table.c.file.in_(some))
                    found.update(connection.execute(query).scalars())
        return found

    def scrub(self) -> None:
        """Make deleted content unrecoverable; see `Database.scrub`."""
        self._database.scrub()

    def close(self) -> None:
        self.notes.close()
        self._database.close()

    def _log(self, tenant: Tenant) -> TenantLog:
        return TenantLog(self._database, tenant, self._clock)
