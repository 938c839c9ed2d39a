"""`/v1/query`: a question, and an answer with the passages that it draws on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from mplus_ray.actors.messages import TextDelta, Turn
from mplus_ray.model.errors import MPlusError
from mplus_ray.model.structured.form import Form
from mplus_ray.model.structured.schema import Schema, SchemaError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.reading.ask import Citation as LogCitation
from mplus_ray.pipeline.reading.forms import FilledForm, NamedForm
from mplus_ray.services.api.ask.service import Answers, AskQuery, Reply
from mplus_ray.services.api.auth import TenantOf, guarded
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.problems.errors import InvalidSchemaError
from mplus_ray.services.api.problems.responses import describe, to_problem
from mplus_ray.services.api.schemas.query import (
    Answer,
    Citation,
    FieldConfidence,
    Query,
    Question,
    Usage,
)
from mplus_ray.services.api.streaming import EventStream, event, peeked, while_connected
from mplus_ray.services.passages import passage_fields

router = guarded(KeyScope.QUERY, tag="query")

_STREAM = (
    "With `stream`: `event: token` with `{text}` for each piece, then `event: answer` with the "
    "whole object, or `event: error` with a problem. Where the answer abstains, or its memory was "
    "replaced while it was read, the text of the last event stands instead of the pieces."
)


@router.post(
    "/v1/query",
    response_model=Answer,
    responses={
        200: {"description": f"An answer. {_STREAM}", "content": {"text/event-stream": {}}},
        **problems(409, 429, 504, 507),
    },
)
async def ask(query: Query, request: Request, log: TenantOf) -> Response:
    """Ask the key's tenant. The citations are what the retriever found close: attribution, not
    proof.
    """
    answers: Answers = request.app.state.answers
    question = to_question(query)
    answers.check(question.turns, query.max_tokens)
    question = replace(question, forms=await asyncio.to_thread(_forms, query))
    if not query.stream:
        reply = await while_connected(request, answers.reply(log, question))
        request.state.noted = {"step": reply.step}
        return JSONResponse(to_answer(reply).model_dump())
    pieces = await while_connected(request, peeked(answers.stream(log, question)))
    return EventStream(_events(pieces, request))


def to_question(query: Question) -> AskQuery:
    """What a request asks, as the service takes it."""
    return AskQuery(
        turns=(Turn("user", query.question),),
        sampling={
            "max_tokens": query.max_tokens,
            "temperature": query.temperature,
            "top_p": query.top_p,
            "top_k": query.top_k,
            "seed": query.seed,
            "stop": query.stops,
        },
        min_step=query.min_step,
        as_of=query.as_of,
        snapshot=query.snapshot,
        citations=query.wanted_citations,
        threshold=query.threshold,
        wanted=query.wanted,
    )


def _forms(query: Query) -> tuple[NamedForm, ...]:
    if query.form is None:
        return ()
    try:
        return (NamedForm("", Form(Schema(query.form), query.question)),)
    except SchemaError as error:
        raise InvalidSchemaError("schema", f"it cannot be followed: {error}") from error


def to_answer(reply: Reply) -> Answer:
    """A reply as it is sent."""
    answer = reply.told.answer
    return Answer(
        answer=reply.text,
        citations=[to_citation(citation) for citation in reply.citations],
        confidence=reply.told.confidence,
        abstained=reply.abstained,
        finish_reason=answer.finish_reason,
        usage=Usage(
            prompt_tokens=answer.usage.prompt_tokens,
            completion_tokens=answer.usage.completion_tokens,
            memory_rows=answer.usage.memory_rows,
        ),
        step=reply.step,
        waiting=reply.waiting,
        value=reply.filled.value if reply.filled else None,
        fields=to_fields(reply.filled),
    )


def to_fields(filled: FilledForm | None) -> list[FieldConfidence]:
    """How sure each field of a form is; none, if there was no form."""
    return [
        FieldConfidence(
            path=".".join(map(str, each.path)), confidence=each.confidence, withheld=each.withheld
        )
        for each in (filled.fields if filled else ())
    ]


def to_citation(citation: LogCitation) -> Citation:
    return Citation(
        **passage_fields(citation.passage), score=citation.score, relevance=citation.relevance
    )


async def _events(
    pieces: AsyncGenerator[TextDelta | Reply, None], request: Request
) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(pieces):
            async for each in pieces:
                if isinstance(each, TextDelta):
                    yield event({"text": each.text}, "token")
                else:
                    request.state.noted = {"step": each.step}
                    yield event(to_answer(each).model_dump(), "answer")
    except MPlusError as error:
        said = to_problem(describe(error), request.url.path, request.state.request_id)
        yield event(said.model_dump(exclude_none=True), "error")
