"""`/v1/responses`: an input, and a response from memory."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from mplus_ray.model.errors import MPlusError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.services.api.ask.openai_parameters import own_extra, shared_fields
from mplus_ray.services.api.ask.openai_talk import Said, Talk, begin
from mplus_ray.services.api.auth import CallerOf, DepsOf, guarded
from mplus_ray.services.api.openapi import openai_problems
from mplus_ray.services.api.problems.errors import ParameterError
from mplus_ray.services.api.problems.responses import describe, openai_body
from mplus_ray.services.api.schemas.openai import ChatRequest, Lenient, Message
from mplus_ray.services.api.schemas.openai_responses import (
    Incomplete,
    InputMessage,
    OutputMessage,
    OutputText,
    ResponseObject,
    ResponseRequest,
    ResponseUsage,
    Status,
)
from mplus_ray.services.api.streaming import EventStream, event

router = guarded(KeyScope.QUERY, tag="openai")


@router.post(
    "/v1/responses",
    response_model=ResponseObject,
    responses={
        200: {
            "description": "The response; with `stream` as events, `response.completed` or "
            "`response.incomplete` at the end.",
            "content": {"text/event-stream": {}},
        },
        **openai_problems(404, 409, 429, 504, 507),
    },
)
async def respond(
    body: ResponseRequest, request: Request, caller: CallerOf, deps: DepsOf
) -> Response:
    """Ask in OpenAI's newer protocol, with text; answered as in `/v1/chat/completions`. Responses
    are not kept, so each request brings its conversation; `store` memorizes the turn.
    """
    talk = begin(_to_chat(body), request, caller, deps)
    made = _Made(body, talk)
    if body.stream:
        return EventStream(_events(made, await talk.pieces(request)))
    return JSONResponse(made.response(await talk.whole(request)))


def _to_chat(body: ResponseRequest) -> ChatRequest:
    """A conversation of OpenAI's older protocol.

    Raises:
        ParameterError: nothing is asked, or a parameter is another protocol's.
    """
    extra = own_extra(body, ChatRequest)
    messages = [Message(role="system", content=body.instructions)] if body.instructions else []
    said = body.input
    if isinstance(said, str):
        said = [InputMessage(role="user", content=said)]
    if not said or said[-1].role != "user":
        raise ParameterError("input", "has to end with what the user asks")
    for place, item in enumerate(said):
        parts = [] if isinstance(item.content, str) else item.content
        text = item.content if isinstance(item.content, str) else "".join(p.text for p in parts)
        messages.append(Message(role=item.role, content=text))
        extra |= _unknown(f"input.{place}", item)
        for number, part in enumerate(parts):
            extra |= _unknown(f"input.{place}.content.{number}", part)
    for name, value in ((body.text.model_extra if body.text else None) or {}).items():
        extra[name if name == "verbosity" else f"text.{name}"] = value
    shared = shared_fields(body, ChatRequest)
    most = body.max_output_tokens
    return ChatRequest(**extra, **shared, max_completion_tokens=most, messages=messages)


def _unknown(where: str, item: Lenient) -> dict[str, Any]:
    """What of an item is not read, by its place; what clients send back of an answer is empty."""
    extra = item.model_extra or {}
    return {f"{where}.{k}": v for k, v in extra.items() if v and k not in ("id", "status")}


@dataclass(frozen=True)
class _Made:
    """A response, as its parts are told one after another."""

    asked: ResponseRequest
    talk: Talk
    id: str = field(default_factory=lambda: f"resp_{uuid.uuid4().hex}")
    message_id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")

    def response(self, said: Said | None = None) -> dict[str, Any]:
        """As it is now: on its way, or complete."""
        asked, status = self.asked, self.status(said)
        made = ResponseObject(
            id=self.id,
            created_at=self.talk.created,
            status=status,
            model=self.talk.model,
            output=[] if said is None else [self.message(said)],
            incomplete_details=Incomplete() if status == "incomplete" else None,
            instructions=asked.instructions,
            max_output_tokens=asked.max_output_tokens,
            metadata=getattr(asked, "metadata", None) or {},
            store=self.talk.store,
            temperature=asked.temperature,
            top_p=asked.top_p,
            usage=None if said is None else _usage(said),
            mplus=None if said is None else said.recalled,
        )
        return made.model_dump()

    def message(self, said: Said | None = None) -> OutputMessage:
        content = [] if said is None else [OutputText(text=said.text)]
        return OutputMessage(id=self.message_id, status=self.status(said), content=content)

    @staticmethod
    def status(said: Said | None) -> Status:
        if said is None:
            return "in_progress"
        return "incomplete" if said.finish == "length" else "completed"


async def _events(
    made: _Made, pieces: AsyncGenerator[str | Said, None]
) -> AsyncGenerator[bytes, None]:
    number = -1

    def told(kind: str, **fields: Any) -> bytes:
        nonlocal number
        number += 1
        return event({"type": kind, "sequence_number": number, **fields}, kind)

    item = {"output_index": 0}
    part = {**item, "item_id": made.message_id, "content_index": 0}
    yield told("response.created", response=made.response())
    yield told("response.in_progress", response=made.response())
    yield told("response.output_item.added", **item, item=made.message().model_dump())
    yield told("response.content_part.added", **part, part=OutputText(text="").model_dump())
    try:
        async with aclosing(pieces):
            async for each in pieces:
                if isinstance(each, str):
                    yield told("response.output_text.delta", **part, delta=each, logprobs=[])
                    continue
                whole = OutputText(text=each.text).model_dump()
                yield told("response.output_text.done", **part, text=each.text, logprobs=[])
                yield told("response.content_part.done", **part, part=whole)
                message = made.message(each).model_dump()
                yield told("response.output_item.done", **item, item=message)
                last = "response.incomplete" if each.finish == "length" else "response.completed"
                yield told(last, response=made.response(each))
    except MPlusError as error:
        body = openai_body(describe(error)).error
        yield told("error", code=body.code, message=body.message, param=body.param)


def _usage(said: Said) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=said.usage.prompt_tokens,
        output_tokens=said.usage.completion_tokens,
        total_tokens=said.usage.total_tokens,
    )
