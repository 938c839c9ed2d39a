"""A writer that looks for work: it claims tenants, brings them up to their logs, and lets go.

Fairness: tenants are served in the order in which their oldest document was acknowledged or in
which they were served last, and who has had `QUANTUM` steps while others wait goes to the back.
So a newcomer, with n tenants at work or before it and `slots` of them in each pass, is claimed
after at most (ceil((n + 1) / slots) - 1) * QUANTUM passes and a look at the ledger, however much
the others have waiting; with at most `SHORT` chunks, where none but those at work are before it,
after `SHORT` passes. More writers make it sooner.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace

from mplus_ray.model.errors import BusyError, MPlusError, StaleLeaseError, TenantNotFoundError
from mplus_ray.pipeline.ledger.backlog import Waiting
from mplus_ray.pipeline.ledger.heads.lease_owner import is_gone, new_owner
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.compaction import compact, drop_forgotten
from mplus_ray.pipeline.maintenance.rebuild import carry_out_forgets
from mplus_ray.pipeline.workers.claims import claim_together
from mplus_ray.pipeline.writing.engine import LEASE_SECONDS, Engine
from mplus_ray.pipeline.writing.observer import Observer, Unobserved
from mplus_ray.pipeline.writing.write_job import Ended, WriteJob
from mplus_ray.pipeline.writing.write_pipeline import MAX_BATCH, WritePipeline

_log = logging.getLogger(__name__)

QUANTUM = 64  # steps of a tenant while others wait; to change hands costs about 10 ms
SHORT = 8  # chunks that are a chat turn rather than a bulk load, and steps to let one go first
_LOOK_SECONDS = 0.1  # between looks at the ledger, at least,
_LOOK_SHARE = 0.05  # and no more of the time than this share, however many tenants there are
_RENEW_SECONDS = LEASE_SECONDS / 4
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds a tenant is left alone after a failure


_COMPACT_AFTER = 8  # shards that a tenant got
_COUNTED = 4096  # tenants whose shards are counted; who has not been here for longer begins anew


@dataclass
class _Held:
    """A tenant that is claimed, and when its lease was renewed last."""

    job: WriteJob
    renewed: float = field(default_factory=time.monotonic)


@dataclass
class _Pause:
    """A tenant is left alone after a failure, each time for longer."""

    until: float
    seconds: float


class Worker:
    """Memorizes for all tenants whose memory the engine's weights made.

    The thread that runs it does the forward passes; others tokenize, commit, and see to
    forgetting and compaction, which hold up no tenant but their own.

    Args:
        slots: tenants held at a time, and chunks in one forward pass.
        observer: told of every pass, commit and failure.
    """

    def __init__(
        self, engine: Engine, slots: int = MAX_BATCH, observer: Observer | None = None
    ) -> None:
        self._engine = engine
        self._slots = slots
        self._observer = observer or Unobserved()
        self._owner = new_owner()
        self._held: dict[str, _Held] = {}
        self._pauses: dict[str, _Pause] = {}
        # Shards that a tenant got since it was compacted; who came last stands last.
        self._grown: dict[str, tuple[TenantLog, int]] = {}
        self._chores: dict[str, tuple[TenantLog, Future[None]]] = {}
        self._failures: list[MPlusError] = []
        self._look_again = 0.0  # when; as of `time.monotonic`
        self._more = False  # tenants wait that the last look had no slot for

    def run(self, stop: threading.Event) -> int:
        """Go on until told to stop; what is begun is committed then. Returns the steps made.

        A tenant that fails is left alone for a while; a ledger that is away is waited for.
        """
        return self._work(stop.is_set, stop.wait)

    def drain(self, stop: threading.Event | None = None) -> int:
        """Memorize all that waits and forget what was asked for; returns the steps made.

        What another writer holds is waited for.

        Raises:
            MPlusError: the first failure; what was committed stands.
        """
        self._failures, stop = [], stop or threading.Event()
        steps = self._work(
            lambda: stop.is_set() or bool(self._failures), stop.wait, self._nothing_waits
        )
        if self._failures:
            raise self._failures[0]
        return steps

    def _work(
        self,
        stopped: Callable[[], bool],
        wait: Callable[[float], object],
        done: Callable[[], bool] = lambda: False,
    ) -> int:
        engine, steps = self._engine, 0
        with (
            ThreadPoolExecutor(1, "chores") as chores,
            WritePipeline(
                engine.writer,
                engine.tokenizer,
                room=self._slots,
                observer=self._observer,
                release=True,
            ) as pipeline,
        ):
            try:
                while not stopped():
                    if self._is_time(pipeline):
                        began = time.monotonic()
                        self._look(pipeline, chores)
                        now = time.monotonic()
                        pause = max(_LOOK_SECONDS, (now - began) / _LOOK_SHARE)
                        self._look_again = now + pause
                    if pipeline:
                        steps += self._let_go(pipeline.step())
                        self._renew()
                    elif done():
                        break
                    else:
                        wait(_LOOK_SECONDS)
            finally:
                steps += self._let_go(pipeline.finish())
        self._collect_chores()
        return steps

    def _is_time(self, pipeline: WritePipeline) -> bool:
        """Whether to look at the ledger: now and then, and when a slot is free for who waits."""
        free = self._more and pipeline.active < self._slots
        return free or time.monotonic() >= self._look_again

    def _nothing_waits(self) -> bool:
        self._collect_chores()
        try:
            return not self._chores and not self._waiting()
        except MPlusError as error:
            self._failures.append(error)
            return True

    def _waiting(self) -> list[Waiting]:
        """What this writer's weights can do, in the order of turns."""
        fingerprint = self._engine.fingerprint
        self._engine.ledger.forget_expired()
        waiting = self._engine.ledger.waiting()
        return [one for one in waiting if one.log.tenant.fingerprint == fingerprint]

    def _look(self, pipeline: WritePipeline, chores: ThreadPoolExecutor) -> None:
        """Claim tenants for the free slots, and take slots from those that had their share."""
        self._collect_chores()
        try:
            waiting = self._waiting()
        except MPlusError as error:  # what is held goes on as long as it can
            _log.warning("the backlog cannot be read: %s", error)
            self._failures = [*self._failures, error][:1]
            return
        free = [one for one in waiting if self._is_free(one)]
        lacking = [one for one in free if one.chunks]
        self._free_slots(pipeline, lacking)
        slots = self._slots - pipeline.active
        self._claim(pipeline, lacking[:slots])
        self._more = len(lacking) > slots
        for one in free:
            if not one.chunks:
                self._begin_chore(chores, one.log)
        for tenant, (log, count) in list(self._grown.items()):
            idle = tenant not in self._held and tenant not in self._chores
            if count >= _COMPACT_AFTER and idle:
                self._begin_chore(chores, log)

    def _free_slots(self, pipeline: WritePipeline, lacking: Sequence[Waiting]) -> None:
        """Dismiss as many as others need, of those that had their share, the longest first."""
        visits = sorted(((pipeline.visit(tenant), tenant) for tenant in self._held), reverse=True)
        crowd = lacking[self._slots - pipeline.active :]
        # A tenant that is dismissed gives way to the next in turn; its share depends on that one's.
        for (visit, tenant), one in zip(visits, crowd, strict=False):
            if visit < (SHORT if one.chunks <= SHORT else QUANTUM):
                return
            pipeline.dismiss(tenant)

    def _is_free(self, one: Waiting) -> bool:
        """Whether it may be claimed, as far as is known; claiming it finds out."""
        tenant = one.log.tenant.id
        pause = self._pauses.get(tenant)
        if tenant in self._held or tenant in self._chores:
            return False
        if pause is not None and pause.until > time.monotonic():
            return False
        held = one.owner not in ("", self._owner) and one.expires > one.log.scope.clock()
        return not held or is_gone(one.owner)

    def _claim(self, pipeline: WritePipeline, chosen: Sequence[Waiting]) -> None:
        """Take these over; some may be in other hands by now."""
        waiting = {one.log.tenant.id: one for one in chosen}
        # Their former owner let the lease run out, or is known to be gone, or there was none.
        gone = {one.owner for one in chosen if one.owner and is_gone(one.owner)}
        try:
            jobs = claim_together([one.log for one in chosen], self._owner, LEASE_SECONDS, gone)
        except MPlusError as error:
            _log.warning("no tenant can be claimed: %s", error)
            self._failures = [*self._failures, error][:1]
            return
        for job in jobs:
            tenant = job.plan.tenant
            try:
                pipeline.add(job)
            except MPlusError as error:
                self._release(job.log, job.lease)
                self._fail(job.log, error)
                continue
            self._held[tenant] = _Held(job)
            since = waiting[tenant].since
            self._observer.opened(tenant, max(0.0, job.log.scope.clock() - since))

    def _let_go(self, ended: Sequence[Ended]) -> int:
        """Give back what left the pipeline; returns its steps."""
        for one in ended:
            log, tenant = one.job.log, one.job.plan.tenant
            del self._held[tenant]
            if not one.released:
                self._release(log, one.job.lease)
            if isinstance(one.error, StaleLeaseError):
                self._observer.lost(tenant)
            elif one.error is not None:
                self._fail(log, one.error)
            else:
                self._pauses.pop(tenant, None)
                self._observer.closed(tenant)
            if one.steps:
                _, shards = self._grown.pop(tenant, (log, 0))
                self._grown[tenant] = log, shards + 1 + one.steps // QUANTUM
                if len(self._grown) > _COUNTED:
                    del self._grown[next(iter(self._grown))]
        return sum(one.steps for one in ended)

    def _renew(self) -> None:
        """Keep leases that no commit renews, because a pass or the storage takes long."""
        now = time.monotonic()
        for held in self._held.values():
            if now - held.renewed >= _RENEW_SECONDS:
                held.renewed = now
                with suppress(MPlusError):  # a lost lease shows at the next commit
                    held.job.log.heads.renew(held.job.lease)

    def _release(self, log: TenantLog, lease: Lease) -> None:
        try:
            log.heads.release(lease)
        except MPlusError as error:  # it runs out by itself, and this writer may claim it again
            _log.info("the lease of tenant %s was not given back: %s", log.tenant.id, error)

    def _fail(self, log: TenantLog, error: MPlusError) -> None:
        """Leave a tenant alone for a while, unless it is gone."""
        tenant = log.tenant.id
        if isinstance(error, TenantNotFoundError):
            self._pauses.pop(tenant, None)
            self._observer.closed(tenant)
            return
        last = self._pauses.get(tenant)
        seconds = min(_LONGEST_PAUSE, last.seconds * 2 if last else _FIRST_PAUSE)
        self._pauses[tenant] = _Pause(time.monotonic() + seconds, seconds)
        self._failures = [*self._failures, error][:1]
        self._observer.failed(tenant, error, seconds)

    def _begin_chore(self, chores: ThreadPoolExecutor, log: TenantLog) -> None:
        def work() -> None:
            engine = replace(self._engine, patience=0.0)
            carry_out_forgets(engine, log)
            if compact(engine, log):
                drop_forgotten(engine, log)

        self._grown.pop(log.tenant.id, None)
        self._chores[log.tenant.id] = (log, chores.submit(work))

    def _collect_chores(self) -> None:
        for tenant, (log, chore) in list(self._chores.items()):
            if not chore.done():
                continue
            del self._chores[tenant]
            error = chore.exception()
            if isinstance(error, BusyError):
                continue  # another writer's, or readers of the ledger; the next look finds it
            if isinstance(error, MPlusError):
                self._fail(log, error)
            elif error is not None:
                raise error
