"""`/v1/search`: the passages that an answer would draw on, without an answer."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.reading.search import SearchReply
from mplus_ray.services.api.ask.search_service import Searches, SearchQuery
from mplus_ray.services.api.auth import TenantOf, guarded
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.schemas.search import Hit, Search, SearchResults, Why
from mplus_ray.services.api.streaming import while_connected
from mplus_ray.services.passages import passage_fields

router = guarded(KeyScope.QUERY, tag="query")


@router.post("/v1/search", response_model=SearchResults, responses={**problems(409, 429, 504, 507)})
async def search(body: Search, request: Request, log: TenantOf) -> Response:
    """Find passages in the memory of the key's tenant; nothing is generated. They are found by
    the same vote by which an answer to the query would read them.
    """
    searches: Searches = request.app.state.searches
    query = SearchQuery(
        text=body.query,
        limit=body.limit,
        min_score=body.min_score,
        min_step=body.min_step,
        as_of=body.as_of,
        snapshot=body.snapshot,
        wanted=body.filter.wanted if body.filter else None,
    )
    reply = await while_connected(request, searches.search(log, query))
    request.state.noted = {"step": reply.step}
    return JSONResponse(to_results(reply).model_dump())


def to_results(reply: SearchReply) -> SearchResults:
    """A reply as it is sent."""
    hits = [
        Hit(
            **passage_fields(hit.passage),
            score=hit.score,
            why=Why(vote=hit.vote, words=list(hit.words)),
        )
        for hit in reply.hits
    ]
    return SearchResults.model_validate(
        {"results": hits, "votes": reply.votes, "step": reply.step, "waiting": reply.waiting}
    )
