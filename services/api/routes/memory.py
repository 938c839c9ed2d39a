"""`/v1/memory`: what a tenant's memory holds, its named moments, forks and archives."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import IO, Annotated

from fastapi import Query, Request, Response

from mplus_ray.model.memory.membership import Membership
from mplus_ray.pipeline.archive.exporter import export_tenant
from mplus_ray.pipeline.ledger.api_keys import TENANT_SCOPES, KeyScope
from mplus_ray.pipeline.ledger.heads.snapshots import Snapshot as NamedStep
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance import tenant_lifecycle
from mplus_ray.pipeline.reports.memory_map import Memberships, draw_map, tiers
from mplus_ray.pipeline.reports.tenant_stats import read_tenant_stats
from mplus_ray.pipeline.writing.engine import Stores
from mplus_ray.services.api.auth import CallerOf, DepsOf, TenantOf, guarded
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.limits.rate_limits import Meter
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.problems.errors import SnapshotNotFoundError
from mplus_ray.services.api.routes.keys import to_key
from mplus_ray.services.api.schemas.base import iso
from mplus_ray.services.api.schemas.filters import FilterText, read_filter
from mplus_ray.services.api.schemas.keys import AttributeQuota
from mplus_ray.services.api.schemas.memory import (
    Fork,
    Memory,
    MemoryMap,
    MemoryUsage,
    NewFork,
    NewSnapshot,
    Quotas,
    Snapshot,
    Snapshots,
    TenantLimits,
    Tiers,
)
from mplus_ray.services.api.streaming import Streamed

readers = guarded(KeyScope.QUERY, KeyScope.INGEST, KeyScope.ADMIN, tag="memory")
writers = guarded(KeyScope.INGEST, KeyScope.ADMIN, tag="memory")
admins = guarded(KeyScope.ADMIN, tag="memory")

_PATIENCE = 15.0  # seconds to wait for a writer of the same tenant
_PIECE = 1 << 20


@readers.get("/v1/memory", responses=problems(409))
def show_memory(request: Request, caller: CallerOf, deps: DepsOf) -> Memory:
    """How much of a memory is on which tier."""
    log, config = caller.tenant, deps.genesis.config
    tenant = log.tenant
    stats = read_tenant_stats(log)
    rates = _meter(request).rates(tenant)
    rows = _tiers(_membership(request, log, stats.steps))
    each = tenant.bytes_per_step // max(1, config.num_hidden_layers * config.num_tokens)
    return Memory(
        tenant=tenant.name,
        scopes=sorted(caller.key.scopes),
        model=deps.model_name,
        step=stats.steps,
        waiting=stats.waiting,
        documents=stats.documents,
        tokens=stats.tokens,
        layers=config.num_hidden_layers,
        pool_rows=config.pool_rows,
        rows_per_step=config.num_tokens,
        rows=rows,
        bytes=Tiers(
            pool=rows.pool * each,
            long_term=rows.long_term * each,
            forgotten=rows.forgotten * each,
        ),
        stored_bytes=stats.shards.nbytes,
        quotas=Quotas(
            max_documents=tenant.max_documents,
            max_bytes=tenant.max_bytes,
            cold_after=tenant.cold_after,
            attribute_quotas=_quotas(tenant),
        ),
        limits=TenantLimits(
            documents_per_minute=rates.documents,
            tokens_per_minute=rates.tokens,
            concurrent_questions=rates.questions,
            threshold=tenant.threshold,
            ttl=tenant.ttl,
        ),
        precision=tenant.precision,
        retention=tenant.retention,
    )


@readers.get("/v1/memory/map", responses=problems(409))
def show_map(
    request: Request,
    log: TenantOf,
    steps: Annotated[int, Query(ge=1, le=2000, description="Buckets at most.")] = 256,
) -> MemoryMap:
    """A picture over steps × layers of which rows are in the pool, long-term, or gone."""
    stats = read_tenant_stats(log)
    drawn = draw_map(_membership(request, log, stats.steps), steps)
    return MemoryMap(
        step=drawn.step,
        waiting=stats.waiting,
        layers=len(drawn.pool),
        rows_per_step=drawn.rows_per_step,
        bucket=drawn.bucket,
        buckets=len(drawn.pool[0]),
        pool=drawn.pool,
        long_term=drawn.long_term,
        gone=drawn.gone,
    )


@readers.get("/v1/memory/usage", responses=problems())
def show_usage(log: TenantOf, chosen: FilterText = None) -> MemoryUsage:
    """How much of the quotas a session, a tag, or any filter's documents take up."""
    usage, tokens = log.usage(read_filter(chosen))
    nbytes = usage.nbytes(log.tenant.bytes_per_step)
    return MemoryUsage(documents=usage.documents, steps=usage.steps, tokens=tokens, bytes=nbytes)


@readers.get("/v1/memory/snapshots", responses=problems())
def list_snapshots(log: TenantOf) -> Snapshots:
    """All named moments, by step."""
    return Snapshots(snapshots=[_snapshot(one) for one in log.snapshots.list()])


@writers.post("/v1/memory/snapshot", status_code=201, responses=problems())
def take_snapshot(body: NewSnapshot, log: TenantOf) -> Snapshot:
    """Name the memory as it is, or as it was. It costs nothing: any step can be asked."""
    return _snapshot(log.snapshots.take(body.name, body.step))


@writers.delete("/v1/memory/snapshots/{name:path}", status_code=204, responses=problems(404))
def delete_snapshot(name: str, log: TenantOf) -> None:
    """Remove a name; no memory is lost with it."""
    if all(one.name != name for one in log.snapshots.list()):
        raise SnapshotNotFoundError(f"there is no snapshot {name[:200]!r}; list them")
    log.snapshots.delete(name)


@admins.post("/v1/memory/fork", status_code=201, responses=problems(409))
def fork(body: NewFork, caller: CallerOf, deps: DepsOf) -> Fork:
    """A second tenant from this memory, as it is or as it was, with a key of its own.

    It shares the files and pays for what it adds; what one of them forgets, the other keeps. What
    it may do in a minute and at once it shares with the memory that it goes back to.
    """
    log = caller.tenant
    name = f"{log.tenant.name}/{body.name}"  # so that no answer says which other names there are
    stores = _stores(deps)
    log.tenant.check_fingerprint(deps.fingerprint)
    limits = deps.limits
    made = tenant_lifecycle.fork(
        stores, log, name, lambda: body.step, lambda: deps.tokenizer, limits.forks
    )
    key, secret = deps.ledger.credentials.create(
        made, TENANT_SCOPES, f"fork of {log.tenant.name}"[:100]
    )
    step = made.heads.serving().head.step
    return Fork(tenant=name, step=step, key=to_key(key), secret=secret)


@admins.get(
    "/v1/memory/export",
    response_class=Response,
    responses={
        200: {
            "description": "A tar, as `mplus import` takes it.",
            "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
        },
        **problems(),
    },
)
async def export(
    log: TenantOf,
    deps: DepsOf,
    memory: Annotated[
        bool, Query(description="Also the rows, so that nothing is memorized again.")
    ] = False,
) -> Response:
    """Everything this tenant has, as one file: documents, settings, snapshots."""
    archive = await asyncio.to_thread(_archive, log, deps, memory)
    headers = {"content-disposition": 'attachment; filename="memory.tar"'}
    return Streamed(_pieces(archive), media_type="application/x-tar", headers=headers)


def _archive(log: TenantLog, deps: Deps, memory: bool) -> IO[bytes]:
    """An open file that has no name any more, so that nothing is left of it whatever happens."""
    with tempfile.TemporaryDirectory(prefix="mplus-", dir=deps.spool) as folder:
        target = Path(folder) / "memory.tar"
        export_tenant(_stores(deps), log, target, memory)
        return target.open("rb")


async def _pieces(file: IO[bytes]) -> AsyncGenerator[bytes, None]:
    with file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece


def _stores(deps: Deps) -> Stores:
    return replace(deps.stores, patience=_PATIENCE)


def _membership(request: Request, log: TenantLog, step: int) -> Membership:
    memberships: Memberships = request.app.state.memberships
    return memberships.at(log.tenant, step)


def _meter(request: Request) -> Meter:
    meter: Meter = request.app.state.meter
    return meter


def _tiers(membership: Membership) -> Tiers:
    layers = tiers(membership)
    return Tiers(
        pool=sum(layer.pool for layer in layers),
        long_term=sum(layer.long_term for layer in layers),
        forgotten=sum(layer.forgotten for layer in layers),
    )


def _snapshot(named: NamedStep) -> Snapshot:
    return Snapshot(name=named.name, step=named.step, created=iso(named.created))


def _quotas(tenant: Tenant) -> dict[str, AttributeQuota] | None:
    quotas = tenant.attribute_quotas
    if quotas is None:
        return None
    return {name: AttributeQuota(**quota) for name, quota in quotas.items()}
