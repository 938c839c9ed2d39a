"""`/v1/tenants/import`: a tenant from the archive of another, for the operator."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import HTTPException, Query, Request

from mplus_ray.model.errors import (
    ConflictError,
    FingerprintMismatchError,
    InvalidInputError,
    TenantNotFoundError,
)
from mplus_ray.pipeline.archive.format import Archive
from mplus_ray.pipeline.archive.importer import import_tenant
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.services.api.auth import DepsOf, guarded
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.ingest.uploads import spooled
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.routes.tenants import shown_tenant
from mplus_ray.services.api.schemas.base import Name
from mplus_ray.services.api.schemas.keys import Tenant

router = guarded(KeyScope.OPERATOR, tag="tenants")

_KINDS = ("application/x-tar", "application/octet-stream")
_BODY: dict[str, Any] = {
    "required": True,
    "content": {_KINDS[0]: {"schema": {"type": "string", "format": "binary"}}},
}


@router.post(
    "/v1/tenants/import",
    status_code=201,
    responses=problems(409, 415),
    openapi_extra={"requestBody": _BODY},
)
async def import_archive(
    request: Request,
    deps: DepsOf,
    name: Annotated[
        Name | None, Query(description="Of the new tenant; by default the one that it had.")
    ] = None,
) -> Tenant:
    """A new tenant with the documents, settings and snapshots of an archive. Its memory is made
    from the documents by the writers, the same as it was; rows in the archive are left there.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _KINDS:
        raise HTTPException(415, f"an archive is sent as {' or '.join(_KINDS)}, as it is")
    async with spooled(deps.spool, ".tar") as path:
        with path.open("wb") as file:
            async for piece in request.stream():
                await asyncio.to_thread(file.write, piece)
        return await asyncio.to_thread(_imported, deps, path, name)


def _imported(deps: Deps, path: Path, name: str | None) -> Tenant:
    with Archive(path, "the archive") as archive:
        wanted = name or archive.manifest.tenant.name
        if "/" in wanted:
            raise InvalidInputError(
                f"{wanted[:200]!r} has a slash, as only forks have; give another `name`"
            )
        made_by = archive.manifest.fingerprint
        if made_by != deps.fingerprint:
            raise FingerprintMismatchError(
                f"the archive is of the checkpoint {made_by[:16]}…, and {deps.fingerprint[:16]}… "
                "is loaded; use `mplus import --documents-only` and `mplus rebuild`"
            )
        try:
            deps.ledger.tenant(wanted)
        except TenantNotFoundError:
            log = import_tenant(deps.stores, archive, wanted)
            log.request_warmup()  # otherwise nobody memorizes it before it is asked
        else:
            raise ConflictError(f"there is a tenant {wanted!r} already; give another `name`")
    return shown_tenant(log)
