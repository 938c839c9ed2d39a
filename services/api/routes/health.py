"""Whether the service lives, whether it can answer, and its figures for Prometheus."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from mplus_ray.model.errors import MPlusError, OverloadedError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.reports.metrics import exposition
from mplus_ray.services.api.auth import DepsOf, guarded
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.schemas.base import Response as Said

public = APIRouter(tags=["health"])
operators = guarded(KeyScope.OPERATOR, tag="health")

_SECONDS = 5.0  # to hear from the ledger and from a reader


class Health(Said):
    """It is well."""

    status: Literal["ok"] = "ok"


@public.get("/healthz", responses=problems())
async def alive() -> Health:
    """The process answers."""
    return Health()


@public.get("/readyz", responses=problems())
async def ready(deps: DepsOf) -> Health:
    """The ledger can be read and a reader is there."""
    try:
        async with asyncio.timeout(_SECONDS):
            await asyncio.to_thread(deps.ledger.credentials.any)
            readers = await deps.readers.stats()
    except (TimeoutError, MPlusError):
        raise OverloadedError("the ledger or the readers do not answer; try again", 2.0) from None
    if not readers:
        raise OverloadedError("no reader is ready yet; try again", 2.0)
    return Health()


@operators.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **problems(),
    },
)
def metrics(request: Request, deps: DepsOf) -> Response:
    """What this process and the ledger say of themselves; of no tenant by itself."""
    return Response(exposition(deps.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)
