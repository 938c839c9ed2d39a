"""`/v1/completions`: a prompt, and its completion from memory."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing

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
from mplus_ray.services.api.schemas.openai import ChatRequest, ChatUsage, Message
from mplus_ray.services.api.schemas.openai_completions import (
    Completion,
    CompletionChoice,
    CompletionRequest,
)
from mplus_ray.services.api.streaming import EventStream, event

router = guarded(KeyScope.QUERY, tag="openai")


@router.post(
    "/v1/completions",
    response_model=Completion,
    responses={
        200: {
            "description": "The completion; with `stream` as events, `[DONE]` at the end.",
            "content": {"text/event-stream": {}},
        },
        **openai_problems(404, 409, 429, 504, 507),
    },
)
async def complete(
    body: CompletionRequest, request: Request, caller: CallerOf, deps: DepsOf
) -> Response:
    """Ask in OpenAI's older protocol: the prompt is the question, answered as in
    `/v1/chat/completions`.
    """
    talk = await begin(_to_chat(body), request, caller, deps)
    name = f"cmpl-{uuid.uuid4().hex}"
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return EventStream(_events(talk, name, await talk.pieces(request), usage))
    said = await talk.whole(request)
    choice = CompletionChoice(text=said.text, finish_reason=said.finish)
    whole = _completion(talk, name, [choice], said.usage)
    return JSONResponse(whole.model_copy(update={"mplus": said.recalled}).model_dump())


def _to_chat(body: CompletionRequest) -> ChatRequest:
    """A conversation of one turn.

    Raises:
        ParameterError: there are several prompts, or none, or a parameter is another protocol's.
    """
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if len(prompts) != 1:
        raise ParameterError("prompt", f"there are {len(prompts)}; send one at a time")
    asked = Message(role="user", content=prompts[0])
    extra = own_extra(body, ChatRequest)
    return ChatRequest(**extra, **shared_fields(body, ChatRequest), messages=[asked])


async def _events(
    talk: Talk, name: str, pieces: AsyncGenerator[str | Said, None], usage: bool
) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(pieces):
            async for each in pieces:
                text, finish = (each, None) if isinstance(each, str) else ("", each.finish)
                choice = CompletionChoice(text=text, finish_reason=finish)
                sent = _completion(talk, name, [choice])
                if isinstance(each, Said):
                    sent = sent.model_copy(update={"mplus": each.recalled})
                yield event(sent.model_dump(exclude_none=True) | _choices(sent))
                if isinstance(each, Said) and usage:
                    last = _completion(talk, name, [], each.usage)
                    yield event(last.model_dump(exclude_none=True))
    except MPlusError as error:
        yield event(openai_body(describe(error)).model_dump())
    else:
        yield event("[DONE]")


def _choices(sent: Completion) -> dict[str, object]:
    """Clients expect a reason in every choice, also one that is null."""
    return {"choices": [choice.model_dump() for choice in sent.choices]}


def _completion(
    talk: Talk, name: str, choices: list[CompletionChoice], usage: ChatUsage | None = None
) -> Completion:
    return Completion(id=name, created=talk.created, model=talk.model, choices=choices, usage=usage)
