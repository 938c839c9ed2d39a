"""`/v1/status`: who works, what waits, and where the bytes are; for the operator."""

from __future__ import annotations

import asyncio
from typing import Any

from mplus_ray.model.errors import MPlusError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.ledger.backlog import Backlog as LedgerBacklog
from mplus_ray.pipeline.reports.status import Holder, TenantStatus, read_status
from mplus_ray.services.api.auth import DepsOf, guarded
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.schemas.status import (
    Backlog,
    Lease,
    Reader,
    ServiceStatus,
    TenantState,
    Waiting,
    Writer,
)

router = guarded(KeyScope.OPERATOR, tag="tenants")

_SECONDS = 5.0  # to hear from the readers


@router.get("/v1/status", responses=problems())
async def show_status(deps: DepsOf) -> ServiceStatus:
    """Writers at work, readers, what waits for each tenant, and bytes."""
    found = await asyncio.to_thread(read_status, deps.ledger)
    return ServiceStatus(
        model=deps.model_name,
        backlog=Backlog(tenants=found.backlog.tenants, **_waiting(found.backlog)),
        writers=[_writer(holder) for holder in found.writers],
        readers=await _readers(deps),
        tenants=[_tenant(one) for one in found.tenants],
        store_files=found.store.files,
        store_bytes=found.store.nbytes,
    )


async def _readers(deps: Deps) -> list[Reader] | None:
    try:
        async with asyncio.timeout(_SECONDS):
            stats = await deps.readers.stats()
    except (TimeoutError, MPlusError):
        return None
    return [Reader(**{name: getattr(one, name) for name in Reader.model_fields}) for one in stats]


def _waiting(backlog: LedgerBacklog) -> dict[str, Any]:
    return {
        "documents": backlog.documents,
        "chunks": backlog.chunks,
        "tokens": backlog.tokens,
        "forgets": backlog.forgets,
        "oldest_seconds": backlog.oldest,
    }


def _writer(holder: Holder) -> Writer:
    leases = [
        Lease(tenant=held.tenant, epoch=held.epoch, expires_in=held.expires_in)
        for held in holder.tenants
    ]
    return Writer(owner=holder.owner, gone=holder.gone, tenants=leases)


def _tenant(one: TenantStatus) -> TenantState:
    return TenantState(
        tenant=one.tenant,
        waiting=Waiting(**_waiting(one.waiting)),
        failures=one.failures,
        cold=one.cold,
        store_bytes=one.store_bytes,
    )
