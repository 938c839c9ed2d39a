"""The app: routes, what stands round them, and what they share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from prometheus_client import disable_created_metrics
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from mplus_ray.pipeline.reports.memory_map import Memberships
from mplus_ray.pipeline.reports.metrics import LedgerMetrics
from mplus_ray.services.api import console, openapi
from mplus_ray.services.api.ask.batch import QuestionBatches
from mplus_ray.services.api.ask.search_service import Searches
from mplus_ray.services.api.ask.service import Answers
from mplus_ray.services.api.compressed_body import CompressedBody
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.ingest.parser_pool import Parsers
from mplus_ray.services.api.ingest.service import IngestService
from mplus_ray.services.api.limits.body_limit import BodyLimit, most_bytes
from mplus_ray.services.api.limits.concurrency import Concurrency, Places
from mplus_ray.services.api.limits.rate_limits import Meter
from mplus_ray.services.api.mcp_server.endpoint import PATHS, McpEndpoint
from mplus_ray.services.api.mcp_server.tools import Tools
from mplus_ray.services.api.metrics import ApiMetrics
from mplus_ray.services.api.middleware import RequestMiddleware
from mplus_ray.services.api.problems import responses
from mplus_ray.services.api.routes import (
    archives,
    chat,
    completions,
    documents,
    health,
    jobs,
    keys,
    memory,
    openai_responses,
    query,
    query_batch,
    search,
    status,
    tenant_keys,
    tenants,
    webhooks,
)
from mplus_ray.services.webhooks.deliverer import Deliverer

_ROUTERS = (
    health.public,
    health.operators,
    documents.readers,
    documents.writers,
    jobs.router,
    query.router,
    query_batch.router,
    search.router,
    chat.router,
    completions.router,
    openai_responses.router,
    memory.readers,
    memory.writers,
    memory.admins,
    keys.router,
    status.router,
    archives.router,
    tenant_keys.router,  # before names of tenants, which may be any
    tenants.router,
    webhooks.router,
)


_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
_EXPOSED = ("x-request-id", "retry-after", "location", "idempotency-replayed")  # to a page


def build(deps: Deps) -> FastAPI:
    """The API over what is handed in; it needs its lifespan, as servers run it.

    It adds its figures and the ledger's to `deps.registry`.
    """
    disable_created_metrics()  # a second series beside each counter, which nothing reads
    figures = ApiMetrics(deps.registry)
    deps.registry.register(LedgerMetrics(deps.ledger))
    meter = Meter(deps.limits, figures, deps.clock)
    answers, intake = Answers(deps, meter, figures), IngestService(deps, meter)
    places = Places(deps.limits, figures)
    searches = Searches(deps, meter, answers)
    tools = Tools(deps.limits, answers, searches, intake)
    deliverer = Deliverer(deps.ledger, deps.deliveries, deps.registry)
    agents = McpEndpoint(deps, tools, places)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.parsers = Parsers(deps.limits, meter)
        telling = asyncio.create_task(deliverer.run())
        async with agents.manager().run():
            try:
                yield
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
                await answers.stop()
                await app.state.parsers.close()

    app = FastAPI(
        title="mplus-ray",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.deps = deps
    app.state.meter = meter
    app.state.places = places
    app.state.answers = answers
    app.state.batches = QuestionBatches(deps.limits, answers, meter, places)
    app.state.searches = searches
    app.state.intake = intake
    app.state.memberships = Memberships(deps.genesis)
    for router in _ROUTERS:
        app.include_router(router)
    app.router.routes.extend(Route(path, endpoint=agents) for path in PATHS)
    app.include_router(console.router)  # last: its routes take any name
    responses.install(app)
    openapi.install(app)
    app.add_middleware(CompressedBody, most=partial(most_bytes, deps.limits))
    app.add_middleware(BodyLimit, limits=deps.limits)
    app.add_middleware(Concurrency, places=places)
    app.add_middleware(RequestMiddleware, figures=figures)
    if deps.cross_origin.origins:  # outermost, so that errors can be read as well
        app.add_middleware(
            CORSMiddleware,
            allow_origins=deps.cross_origin.origins,
            allow_credentials=deps.cross_origin.credentials,
            allow_methods=_METHODS,
            allow_headers=["*"],  # clients bring headers of their own, such as x-stainless-lang
            expose_headers=_EXPOSED,
        )
    return app
