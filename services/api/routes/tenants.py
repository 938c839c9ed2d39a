"""`/v1/tenants`: what the operator manages."""

from __future__ import annotations

import asyncio

from fastapi import Request

from mplus_ray.model.errors import ConflictError, TenantNotFoundError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.ledger.tenant import LIMITS, TenantSummary, default_precision
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.tenant_lifecycle import delete
from mplus_ray.pipeline.reports.tenant_stats import read_tenant_stats
from mplus_ray.services.api.ask.service import Answers
from mplus_ray.services.api.auth import DepsOf, guarded
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.routes.tenant_keys import log_of
from mplus_ray.services.api.schemas.base import iso
from mplus_ray.services.api.schemas.keys import NewTenant, Tenant, Tenants, TenantSettings

router = guarded(KeyScope.OPERATOR, tag="tenants")


@router.get("/v1/tenants", responses=problems())
def list_tenants(deps: DepsOf) -> Tenants:
    """All tenants with their sizes, by name."""
    return Tenants(tenants=[_shown(summary) for summary in deps.ledger.tenants()])


@router.post("/v1/tenants", status_code=201, responses=problems(409))
def create_tenant(body: NewTenant, deps: DepsOf) -> Tenant:
    """A new tenant, whose memory the loaded model will make."""
    try:
        deps.ledger.tenant(body.name)
    except TenantNotFoundError:
        pass
    else:
        raise ConflictError(f"there is a tenant {body.name!r} already; PATCH changes its settings")
    limits = body.model_dump(include=set(LIMITS))
    geometry = deps.genesis.config.to_dict()
    deps.ledger.create_tenant(
        body.name,
        deps.fingerprint,
        body.seed,
        precision=body.precision,
        retention=body.retention,
        bytes_per_step=deps.step_bytes[body.precision or default_precision(geometry)],
        geometry=geometry,
        **limits,
    )
    return shown_tenant(log_of(deps, body.name))


@router.get("/v1/tenants/{name:path}", responses=problems(404))
def show_tenant(name: str, deps: DepsOf) -> Tenant:
    """One tenant."""
    return shown_tenant(log_of(deps, name))


@router.patch("/v1/tenants/{name:path}", responses=problems(404))
def change_tenant(name: str, body: TenantSettings, deps: DepsOf) -> Tenant:
    """Change what is given; null lifts a limit. What the tenant has stays."""
    log_of(deps, name).set_limits(**body.model_dump(exclude_unset=True))
    return shown_tenant(log_of(deps, name))


@router.delete("/v1/tenants/{name:path}", status_code=204, responses=problems(404))
async def delete_tenant(name: str, request: Request, deps: DepsOf) -> None:
    """Take a tenant away with everything it had: at once, and for good."""
    answers: Answers = request.app.state.answers
    log = await asyncio.to_thread(log_of, deps, name)
    await asyncio.to_thread(delete, deps.stores, name)
    await answers.forget(log.tenant)


def shown_tenant(log: TenantLog) -> Tenant:
    """A tenant as it is shown."""
    stats = read_tenant_stats(log)
    summary = TenantSummary(
        log.tenant,
        documents=stats.documents,
        chunks=stats.steps + stats.waiting,
        tokens=stats.tokens,
        step=stats.steps,
        nbytes=stats.shards.nbytes,
    )
    return _shown(summary)


def _shown(summary: TenantSummary) -> Tenant:
    tenant = summary.tenant
    return Tenant(
        name=tenant.name,
        created=iso(tenant.created),
        documents=summary.documents,
        chunks=summary.chunks,
        tokens=summary.tokens,
        step=summary.step,
        bytes=summary.nbytes,
        seed=tenant.seed,
        precision=tenant.precision,
        retention=tenant.retention,
        fingerprint=tenant.fingerprint,
        settings=TenantSettings(**{name: getattr(tenant, name) for name in LIMITS}),
    )
