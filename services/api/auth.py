"""Who asks: the key says it, and nothing else does.

The key is checked before anything of a body is read, so nobody without one can make us work.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from mplus_ray.model.errors import ForbiddenError
from mplus_ray.pipeline.ledger.api_keys import Key, KeyScope
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.limits.concurrency import Place, Places

_SCHEME = HTTPBearer(
    scheme_name="key",
    bearerFormat="mplus_…",
    description="A key of a tenant, or of the operator; it decides whose memory this is about.",
    auto_error=False,
)


@dataclass(frozen=True)
class Caller:
    """The sender of a request.

    Attributes:
        log: of the key's tenant; None for the operator.
        key: that opened.
    """

    key: Key
    log: TenantLog | None

    @property
    def tenant(self) -> TenantLog:
        """
        Raises:
            ForbiddenError: it is the operator, who has no memory.
        """
        if self.log is None:
            raise ForbiddenError(
                "this needs a tenant's key, and this one is an operator's; `POST "
                "/v1/tenants/{name}/keys` makes one"
            )
        return self.log


async def identify(deps: Deps, authorization: str | None) -> Caller:
    """The caller that an `Authorization` header names.

    Raises:
        UnauthorizedError: there is no good key in it.
    """
    scheme, _, text = (authorization or "").partition(" ")
    wanted = text.strip() if scheme.lower() == "bearer" else ""

    return Caller(*await to_thread.run_sync(deps.ledger.caller, wanted))


def admit(caller: Caller, scopes: tuple[KeyScope, ...]) -> None:
    """Refuse a key that has none of these scopes.

    Raises:
        ForbiddenError: what it would need.
    """
    if scopes and not caller.key.scopes.intersection(scopes):
        needed = " or ".join(sorted(scopes))
        raise ForbiddenError(
            f"this needs a key with the scope {needed}, and this one has "
            f"{', '.join(sorted(caller.key.scopes))}; have another one created"
        )


def claim_place(places: Places, place: Place, caller: Caller) -> None:
    """Count a request as its sender's, for as long as it lasts.

    Raises:
        RateLimitedError: the sender has as many under way as it may.
    """
    places.claim(place, caller.log.tenant.family if caller.log else caller.key.id)


def guarded(*scopes: KeyScope, tag: str) -> APIRouter:
    """A router whose routes take keys with one of these scopes."""

    class Guarded(APIRoute):
        """Checks the key before the body is read."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def checked(request: Request) -> Response:
                deps: Deps = request.app.state.deps
                caller = await identify(deps, request.headers.get("authorization"))
                request.state.caller = caller
                admit(caller, scopes)
                claim_place(request.app.state.places, request.state.place, caller)
                return await handle(request)

            return checked

    return APIRouter(
        route_class=Guarded,
        tags=[tag],
        dependencies=[Security(_SCHEME, scopes=[str(scope) for scope in scopes])],
    )


# Coroutines, though they wait for nothing: FastAPI runs everything else in a thread of its own.
async def caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def tenant_of(request: Request) -> TenantLog:
    return (await caller_of(request)).tenant


async def deps_of(request: Request) -> Deps:
    deps: Deps = request.app.state.deps
    return deps


CallerOf = Annotated[Caller, Depends(caller_of)]
TenantOf = Annotated[TenantLog, Depends(tenant_of)]
DepsOf = Annotated[Deps, Depends(deps_of)]
