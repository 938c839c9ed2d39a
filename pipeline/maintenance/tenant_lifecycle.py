"""A tenant's life beside its writing: forks, rest, and the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from mplus_ray.model.errors import SwappedError
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.ledger.heads.fork import shards_across
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.heads.replaced import attempts
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.audit import history_at
from mplus_ray.pipeline.maintenance.compaction import compact
from mplus_ray.pipeline.maintenance.head_files import history_of, purge, shards_up_to
from mplus_ray.pipeline.writing.engine import Stores


def fork(
    stores: Stores,
    log: TenantLog,
    name: str,
    find_step: Callable[[], int | None],
    find_tokenizer: Callable[[], Tokenizer],
    most: int | None = None,
) -> TenantLog:
    """Make a second tenant from a tenant's memory, as it is or as it was.

    It shares the files and pays for what it adds. It waits for the tenant's writer only if a shard
    has to be cut.

    Args:
        find_step: the moment, asked while nobody numbers steps anew; None is now.
        find_tokenizer: of the weights that made the memory, asked if the moment is an earlier one.
        most: forks that may go back to the same tenant.

    Raises:
        InvalidInputError: there is such a tenant, or the memory was never at that step.
        QuotaError: there are as many forks as there may be.
        BusyError: somebody else writes the memory.
    """
    with suppress(SwappedError):
        forked = _fork_beside_writer(stores, log, name, find_step, find_tokenizer, most)
        if forked is not None:
            return forked
    with stores.lease(log) as lease:
        step, history = find_step(), None
        if step is not None and 0 < step < log.heads.serving().head.step:
            history = history_at(log, find_tokenizer(), step)
        return fork_at(stores, log, lease, name, step, history, most)


def _fork_beside_writer(
    stores: Stores,
    log: TenantLog,
    name: str,
    find_step: Callable[[], int | None],
    find_tokenizer: Callable[[], Tokenizer],
    most: int | None,
) -> TenantLog | None:
    """A fork without the tenant's lease, or None if a shard has to be cut.

    Raises:
        SwappedError: the memory was rebuilt or compacted each time.
    """
    for attempt in attempts():
        with attempt:
            serving = log.heads.serving()
            step, history = find_step(), None
            if shards_across(serving.shards, serving.head.step if step is None else step):
                return None
            if step is not None and 0 < step < serving.head.step:
                history = history_at(log, find_tokenizer(), step)
            return stores.ledger.fork_tenant(
                log, name, step, history, head=serving.head.id, most=most
            )
    raise AssertionError("the last attempt returns or raises")


def fork_at(
    engine: Stores,
    log: TenantLog,
    lease: Lease,
    name: str,
    step: int | None = None,
    history: str | None = None,
    most: int | None = None,
) -> TenantLog:
    """Fork a tenant at a step; a shard that the fork cuts is copied as far as it is wanted."""
    serving = log.heads.serving()
    at = serving.head.step if step is None else step
    if history is None and log.tenant.independent_steps and serving.whole:
        history = history_of(engine, serving.shards, at)
    if history is None and at != serving.head.step:
        state = serving.state_at(at)
        at = state.step if state else 0
    beyond = shards_across(serving.shards, at)
    last = shards_up_to(engine, log, lease, serving, at)[-1] if beyond else None
    return engine.ledger.fork_tenant(log, name, step, history, last, most=most)


def drop_rows(engine: Stores, log: TenantLog) -> None:
    """Drop a tenant's rows; its log makes the same memory again when it is wanted."""
    with engine.lease(log) as lease:
        log.heads.drop_build(lease)
        # Before the rows go: who asks from now on sees a whole memory, or waits for one.
        log.cancel_warmup()
        log.heads.reset(lease, log.heads.serving().head.id)
        purge(engine, log, lease)


def sweep(engine: Stores) -> dict[str, int]:
    """Cool what is idle for longer than its tenant's `cold_after`, compact the rest, and finish
    taking away tenants whose deletion was interrupted."""
    idle = engine.ledger.idle_tenants()
    for log in idle:
        if log.heads.serving().head.step:
            drop_rows(engine, log)
    cooled = {log.tenant.id for log in idle}
    rest = [s.tenant.name for s in engine.ledger.tenants() if s.tenant.id not in cooled]
    merged = sum(compact(engine, engine.ledger.tenant(name)) for name in rest)
    unfinished = engine.ledger.marked.list()
    for tenant in unfinished:
        remove(engine, tenant.id)
    _delete_strays(engine)
    return {"cooled": len(idle), "merged": merged, "removed": len(unfinished)}


def _delete_strays(engine: Stores) -> None:
    """Files that a writer was about to commit for a tenant while that was taken away."""
    found = [name for name, _ in engine.files.list()]
    tenants = engine.ledger.tenant_ids()  # asked later: a tenant is there before its files
    strays = {name for name in found if name.partition("/")[0] not in tenants}
    engine.files.delete(strays - engine.ledger.referenced_files(strays))


def delete(engine: Stores, name: str) -> None:
    """Take a tenant away with everything it had; files that a fork shares stay for the fork.

    It is out of reach at once; a crash later on leaves work for `sweep`.
    """
    remove(engine, engine.ledger.delete_tenant(name).id)


def remove(engine: Stores, tenant: str) -> None:
    """A marked tenant's text, files and rows. The rows are last: they name what is to be done.

    A fork's files may lie in its parent's folder, and the parent be gone.
    """
    own = engine.ledger.marked.begin_removal(tenant)
    found = {name for name, _ in engine.files.list(f"{tenant}/")}
    uncommitted = found - engine.ledger.referenced_files(found)
    engine.files.delete(own | uncommitted)
    engine.ledger.scrub()
    engine.ledger.marked.remove(tenant)
