"""`/v1/chat/completions` and `/v1/models`: what OpenAI's clients speak."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from mplus_ray.model.errors import MPlusError
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.services.api.ask.openai_talk import Said, Talk, begin
from mplus_ray.services.api.auth import CallerOf, DepsOf, guarded
from mplus_ray.services.api.openapi import openai_problems
from mplus_ray.services.api.problems.errors import UnknownModelError
from mplus_ray.services.api.problems.responses import describe, openai_body
from mplus_ray.services.api.schemas.openai import (
    CalledFunction,
    CalledPiece,
    CalledTool,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ChatUsage,
    Choice,
    ChunkChoice,
    Delta,
    Model,
    Models,
    Recalled,
    ReplyMessage,
    ToolPiece,
)
from mplus_ray.services.api.streaming import EventStream, event

router = guarded(KeyScope.QUERY, tag="openai")

_CREATED = int(time.time())  # of the model, for clients that show it


@dataclass(frozen=True)
class _Chunks:
    """What a stream is made of."""

    talk: Talk
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")

    def piece(self, delta: Delta, said: Said | None = None) -> bytes:
        """More of the reply; with all of it, the last piece."""
        choice = ChunkChoice(delta=delta, finish_reason=_finish(said) if said else None)
        return self._event([choice], recalled=said.recalled if said else None)

    def usage(self, said: Said) -> bytes:
        return self._event([], usage=said.usage)

    def _event(
        self,
        choices: list[ChunkChoice],
        usage: ChatUsage | None = None,
        recalled: Recalled | None = None,
    ) -> bytes:
        sent = ChatChunk(
            id=self.id,
            created=self.talk.created,
            model=self.talk.model,
            choices=choices,
            usage=usage,
            mplus=recalled,
        )
        return event(_sent(sent))


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion,
    responses={
        200: {
            "description": "The reply; with `stream` as events of chunks, `[DONE]` at the end.",
            "content": {"text/event-stream": {}},
        },
        **openai_problems(404, 409, 429, 504, 507),
    },
)
async def chat(body: ChatRequest, request: Request, caller: CallerOf, deps: DepsOf) -> Response:
    """Ask in OpenAI's protocol. Where answers may be withheld, a stream begins when the
    confidence is known: this protocol cannot take words back.
    """
    talk = await begin(body, request, caller, deps)
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return EventStream(_events(_Chunks(talk), await talk.pieces(request), usage))
    said = await talk.whole(request)
    return JSONResponse(_whole(_completion(talk, said)))


@router.get("/v1/models", responses=openai_problems())
def list_models(deps: DepsOf) -> Models:
    """The model that answers here."""
    return Models(data=[Model(id=deps.model_name, created=_CREATED)])


@router.get("/v1/models/{model_id:path}", responses=openai_problems(404))
def show_model(model_id: str, deps: DepsOf) -> Model:
    """A model by its name."""
    if model_id != deps.model_name:
        raise UnknownModelError(f"there is no model {model_id[:80]!r}; this is {deps.model_name!r}")
    return Model(id=deps.model_name, created=_CREATED)


async def _events(
    chunks: _Chunks, pieces: AsyncGenerator[str | Said, None], usage: bool
) -> AsyncGenerator[bytes, None]:
    yield chunks.piece(Delta(role="assistant", content=""))
    try:
        async with aclosing(pieces):
            async for each in pieces:
                if isinstance(each, str):
                    yield chunks.piece(Delta(content=each))
                    continue
                for delta in _deltas(each):
                    yield chunks.piece(delta)
                yield chunks.piece(Delta(), each)
                if usage:
                    yield chunks.usage(each)
    except MPlusError as error:
        yield event(openai_body(describe(error)).model_dump())
    else:
        yield event("[DONE]")


def _completion(talk: Talk, said: Said) -> ChatCompletion:
    return ChatCompletion(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        created=talk.created,
        model=talk.model,
        choices=[Choice(message=_message(said), finish_reason=_finish(said))],
        usage=said.usage,
        mplus=said.recalled,
    )


def _message(said: Said) -> ReplyMessage:
    if said.refused:
        return ReplyMessage(content=None, refusal=said.text)
    if not said.tool:
        return ReplyMessage(content=said.text, refusal=None)
    function = CalledFunction(name=said.tool, arguments=said.text)
    return ReplyMessage(
        content=None, refusal=None, tool_calls=[CalledTool(id=_call_id(), function=function)]
    )


def _deltas(said: Said) -> list[Delta]:
    """What a reply that is no words adds to a stream: a refusal, an object, or a call."""
    if said.refused:
        return [Delta(refusal=said.text)]
    if not said.filled:
        return []
    if not said.tool:
        return [Delta(content=said.text)]
    named = CalledPiece(name=said.tool, arguments="")
    first = ToolPiece(id=_call_id(), type="function", function=named)
    more = ToolPiece(function=CalledPiece(arguments=said.text))
    return [Delta(tool_calls=[first]), Delta(tool_calls=[more])]


def _finish(said: Said) -> Literal["stop", "length", "tool_calls"]:
    return "tool_calls" if said.tool and said.finish == "stop" else said.finish


def _call_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def _whole(completion: ChatCompletion) -> dict[str, Any]:
    """With `tool_calls` only where there are some, as clients expect it."""
    full = completion.model_dump()
    for choice in full["choices"]:
        if choice["message"]["tool_calls"] is None:
            del choice["message"]["tool_calls"]
    return full


def _sent(chunk: ChatChunk) -> dict[str, object]:
    """What clients expect in every chunk, and of the rest what there is."""
    full = chunk.model_dump()
    for sent, choice in zip(chunk.choices, full["choices"], strict=True):
        choice["delta"] = sent.delta.model_dump(exclude_none=True)
    return {name: value for name, value in full.items() if value is not None}
