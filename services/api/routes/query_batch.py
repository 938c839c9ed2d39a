"""`/v1/query/batch`: many questions in one request."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.services.api.ask.batch import Answered, QuestionBatches
from mplus_ray.services.api.ask.service import Reply
from mplus_ray.services.api.auth import TenantOf, guarded
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.problems.responses import describe, to_problem
from mplus_ray.services.api.routes.query import to_answer, to_question
from mplus_ray.services.api.schemas.query_batch import (
    BatchAnswer,
    BatchAnswers,
    BatchQuery,
    BatchQuestion,
    InvalidQuestion,
)
from mplus_ray.services.api.streaming import Streamed, while_connected

router = guarded(KeyScope.QUERY, tag="query")

_LINES = "application/x-ndjson"
_DESCRIPTION = (
    f"What became of each question. With `Accept: {_LINES}`, one object of `answers` a line, as "
    "soon as it is known, in whatever order that is."
)


class _Lines(Streamed):
    media_type = _LINES


@router.post(
    "/v1/query/batch",
    response_model=BatchAnswers,
    responses={200: {"description": _DESCRIPTION, "content": {_LINES: {}}}, **problems(429)},
)
async def ask_together(query: BatchQuery, request: Request, log: TenantOf) -> Response:
    """Ask the key's tenant many things at once. A question that fails has its own problem, and
    the others are answered.
    """
    answers = _answers(query.entries, request, log)
    if _LINES in request.headers.get("accept", ""):
        return _Lines(_lines(answers))
    found = sorted(await while_connected(request, _all(answers)), key=lambda one: one.index)
    answered = sum(one.response is not None for one in found)
    request.state.noted = {"questions": len(found), "failed": len(found) - answered}
    return JSONResponse(
        {
            "answers": [one.sent for one in found],
            "answered": answered,
            "failed": len(found) - answered,
        }
    )


async def _answers(
    entries: Sequence[BatchQuestion | InvalidQuestion], request: Request, log: TenantLog
) -> AsyncGenerator[BatchAnswer, None]:
    """What became of each, as it is sent; first of those that are none."""
    asked: list[tuple[int, BatchQuestion]] = []
    for index, entry in enumerate(entries):
        if isinstance(entry, BatchQuestion):
            asked.append((index, entry))
        else:
            yield _problem(entry.id, index, _invalid(index, entry), request)
    batches: QuestionBatches = request.app.state.batches
    async with aclosing(batches.stream(log, [to_question(one) for _, one in asked])) as stream:
        async for each in stream:
            index, entry = asked[each.index]
            yield _sent(entry.id, index, each, request)


def _sent(name: str | None, index: int, each: Answered, request: Request) -> BatchAnswer:
    if isinstance(each.outcome, Reply):
        return BatchAnswer(id=name, index=index, status=200, response=to_answer(each.outcome))
    return _problem(name, index, each.outcome, request)


def _problem(name: str | None, index: int, error: Exception, request: Request) -> BatchAnswer:
    trouble = describe(error)
    after = trouble.headers.get("retry-after")
    return BatchAnswer(
        id=name,
        index=index,
        status=trouble.status,
        problem=to_problem(trouble, request.url.path, request.state.request_id),
        retry_after=None if after is None else int(after),
    )


def _invalid(index: int, entry: InvalidQuestion) -> RequestValidationError:
    place = ("body", "questions", index)
    return RequestValidationError(
        [{**error, "loc": (*place, *error["loc"])} for error in entry.errors]
    )


async def _all(answers: AsyncGenerator[BatchAnswer, None]) -> list[BatchAnswer]:
    async with aclosing(answers):
        return [each async for each in answers]


async def _lines(answers: AsyncGenerator[BatchAnswer, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(answers):
        async for each in answers:
            yield json.dumps(each.sent, ensure_ascii=False).encode() + b"\n"
