"""`/v1/responses`: an input, and a response from memory."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from mplus_ray.model.errors import MPlusError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.services.api.ask.openai_inputs import as_responses_name_it, to_chat
from mplus_ray.services.api.ask.openai_talk import Said, Talk, begin
from mplus_ray.services.api.auth import CallerOf, DepsOf, guarded
from mplus_ray.services.api.openapi import openai_problems
from mplus_ray.services.api.problems.responses import describe, openai_body
from mplus_ray.services.api.schemas.openai_responses import (
    Incomplete,
    OutputCall,
    OutputMessage,
    OutputRefusal,
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
    asked = to_chat(body)
    with as_responses_name_it():
        talk = await begin(asked, request, caller, deps)
    made = _Made(body, talk)
    if body.stream:
        return EventStream(_events(made, await talk.pieces(request)))
    return JSONResponse(made.response(await talk.whole(request)))


@dataclass(frozen=True)
class _Made:
    """A response, as its parts are told one after another."""

    asked: ResponseRequest
    talk: Talk
    id: str = field(default_factory=lambda: f"resp_{uuid.uuid4().hex}")
    message_id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")
    call_id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")

    def response(self, said: Said | None = None) -> dict[str, Any]:
        """As it is now: on its way, or complete."""
        asked, status = self.asked, self.status(said)
        made = ResponseObject(
            id=self.id,
            created_at=self.talk.created,
            status=status,
            model=self.talk.model,
            output=[] if said is None else [self.item(said)],
            incomplete_details=Incomplete() if status == "incomplete" else None,
            instructions=asked.instructions,
            max_output_tokens=asked.max_output_tokens,
            metadata=getattr(asked, "metadata", None) or {},
            store=self.talk.store,
            temperature=asked.temperature,
            text={"format": _echoed(asked.text.format) or {"type": "text"}}
            if asked.text
            else {"format": {"type": "text"}},
            tool_choice=_echoed(asked.tool_choice) or "auto",
            tools=[_echoed(tool) for tool in asked.tools or []],
            top_p=asked.top_p,
            usage=None if said is None else _usage(said),
            mplus=None if said is None else said.recalled,
        )
        return made.model_dump()

    def item(self, said: Said | None = None) -> OutputMessage | OutputCall:
        """What is said, or called; of the former there is a beginning before it is known."""
        status = self.status(said)
        if said is not None and said.tool:
            return OutputCall(
                id=self.call_id.replace("call_", "fc_"),
                call_id=self.call_id,
                name=said.tool,
                arguments=said.text,
                status=status,
            )
        content = [] if said is None else [self.part(said)]
        return OutputMessage(id=self.message_id, status=status, content=content)

    @staticmethod
    def part(said: Said) -> OutputText | OutputRefusal:
        return OutputRefusal(refusal=said.text) if said.refused else OutputText(text=said.text)

    @staticmethod
    def status(said: Said | None) -> Status:
        if said is None:
            return "in_progress"
        return "incomplete" if said.finish == "length" else "completed"


async def _events(
    made: _Made, pieces: AsyncGenerator[str | Said, None]
) -> AsyncGenerator[bytes, None]:
    told = _Told(made)
    yield told.event("response.created", response=made.response())
    yield told.event("response.in_progress", response=made.response())
    if not made.talk.question.forms:  # else it is not known yet what there will be
        for begun in told.begin():
            yield begun
    try:
        async with aclosing(pieces):
            async for each in pieces:
                if isinstance(each, str):
                    yield told.event("response.output_text.delta", delta=each, logprobs=[])
                    continue
                for last in told.end(each):
                    yield last
    except MPlusError as error:
        body = openai_body(describe(error)).error
        yield told.error(code=body.code, message=body.message, param=body.param)


@dataclass
class _Told:
    """The events of a response, numbered."""

    made: _Made
    number: int = -1

    def event(self, kind: str, **fields: Any) -> bytes:
        """One of the whole response, of its one item, or of that one's one part."""
        place: dict[str, Any] = {}
        if not kind.startswith(("response.created", "response.in_", "response.comp")):
            place = {"output_index": 0}
        if kind.startswith(("response.output_text", "response.refusal", "response.content_part")):
            place |= {"item_id": self.made.message_id, "content_index": 0}
        return self._numbered(kind, {**place, **fields})

    def error(self, **fields: Any) -> bytes:
        return self._numbered("error", fields)

    def begin(self, said: Said | None = None) -> list[bytes]:
        """A message begins; what it will be is known already where it is a form."""
        begun = self.made.item().model_dump()
        empty = OutputRefusal(refusal="") if said and said.refused else OutputText(text="")
        return [
            self.event("response.output_item.added", item=begun),
            self.event("response.content_part.added", part=empty.model_dump()),
        ]

    def end(self, said: Said) -> list[bytes]:
        """All that is left to tell when the reply is known."""
        made = self.made
        told = self._called(said) if said.tool else self._spoken(said)
        last = "response.incomplete" if said.finish == "length" else "response.completed"
        item = made.item(said).model_dump()
        return [
            *told,
            self.event("response.output_item.done", item=item),
            self._numbered(last, {"response": made.response(said)}),
        ]

    def _spoken(self, said: Said) -> list[bytes]:
        part = self.made.part(said).model_dump()
        begun = self.begin(said) if said.filled else []
        if said.refused:
            return [
                *begun,
                self.event("response.refusal.delta", delta=said.text),
                self.event("response.refusal.done", refusal=said.text),
                self.event("response.content_part.done", part=part),
            ]
        whole = {"delta": said.text, "logprobs": []}
        return [
            *begun,
            *([self.event("response.output_text.delta", **whole)] if said.filled else []),
            self.event("response.output_text.done", text=said.text, logprobs=[]),
            self.event("response.content_part.done", part=part),
        ]

    def _called(self, said: Said) -> list[bytes]:
        item = self.made.item(said).model_dump()
        which = {"item_id": item["id"]}
        begun = {**item, "arguments": "", "status": "in_progress"}
        kind = "response.function_call_arguments"
        return [
            self.event("response.output_item.added", item=begun),
            self.event(f"{kind}.delta", **which, delta=said.text),
            self.event(f"{kind}.done", **which, name=said.tool, arguments=said.text),
        ]

    def _numbered(self, kind: str, fields: dict[str, Any]) -> bytes:
        self.number += 1
        return event({"type": kind, "sequence_number": self.number, **fields}, kind)


def _echoed(asked: Any) -> Any:
    """What was asked for, as it was sent."""
    if isinstance(asked, BaseModel):
        return asked.model_dump(by_alias=True, exclude_none=True)
    return asked


def _usage(said: Said) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=said.usage.prompt_tokens,
        output_tokens=said.usage.completion_tokens,
        total_tokens=said.usage.total_tokens,
    )
