"""`/v1/chat/completions` and `/v1/models`: what OpenAI's clients speak."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from mplus_ray.actors.messages import TextDelta
from mplus_ray.model.errors import MPlusError
from mplus_ray.model.generation.turn_kind import TurnKind
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.reading.abstention import may_abstain, says_nothing
from mplus_ray.services.api.ask.conversation import converse, whole_reply
from mplus_ray.services.api.ask.openai_messages import new_turns, to_question, transcript
from mplus_ray.services.api.ask.service import Answers, AskQuery, Reply
from mplus_ray.services.api.auth import CallerOf, DepsOf, guarded
from mplus_ray.services.api.ingest.service import IngestService
from mplus_ray.services.api.openapi import openai_problems
from mplus_ray.services.api.problems.errors import UnknownModelError
from mplus_ray.services.api.problems.responses import describe, openai_body
from mplus_ray.services.api.routes.query import to_citation
from mplus_ray.services.api.schemas.openai import (
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
)
from mplus_ray.services.api.streaming import EventStream, event, peeked, while_connected

router = guarded(KeyScope.QUERY, tag="openai")

_CREATED = int(time.time())  # of the model, for clients that show it


@dataclass(frozen=True)
class _Talk:
    """One chat request on its way."""

    log: TenantLog
    model: str
    question: AskQuery
    intake: IngestService
    store: bool
    include_usage: bool
    held_back: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    async def stored(self, reply: Reply) -> str | None:
        """Memorize the new turns; returns their document's id."""
        if not self.store:
            return None
        turns = new_turns(self.question.turns)
        # Neither what was withheld nor what says nothing is something to remember.
        answered = reply.kind is TurnKind.MEMORY and not reply.abstained
        said = reply.text if answered and not says_nothing(reply.told) else None
        taken = await self.intake.take_in(self.log, transcript(turns, said))
        return taken.id

    def chunk(
        self,
        delta: Delta,
        finish: Literal["stop", "length"] | None = None,
        recalled: Recalled | None = None,
    ) -> bytes:
        choice = ChunkChoice(delta=delta, finish_reason=finish)
        sent = ChatChunk(
            id=self.id, created=self.created, model=self.model, choices=[choice], mplus=recalled
        )
        return event(_sent(sent))

    def usage_chunk(self, reply: Reply) -> bytes:
        usage = _usage(reply)
        sent = ChatChunk(
            id=self.id, created=self.created, model=self.model, choices=[], usage=usage
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
    answers: Answers = request.app.state.answers
    intake: IngestService = request.app.state.intake
    log = caller.tenant
    question = to_question(body, deps.model_name)
    answers.check(question.turns, question.sampling["max_tokens"])
    if body.store:
        caller.key.require(KeyScope.INGEST)
        intake.check(log, question.turns[-1].content)
    talk = _Talk(
        log=log,
        model=deps.model_name,
        question=question,
        intake=intake,
        store=bool(body.store),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        held_back=may_abstain(log.tenant, deps.confident, question.threshold),
    )
    if body.stream:
        pieces = await while_connected(request, peeked(converse(answers, log, question)))
        return EventStream(_chunks(talk, pieces))
    reply = await while_connected(request, whole_reply(answers, log, question))
    return JSONResponse(_completion(talk, reply, await talk.stored(reply)).model_dump())


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


async def _chunks(
    talk: _Talk, pieces: AsyncGenerator[TextDelta | Reply, None]
) -> AsyncGenerator[bytes, None]:
    said = ""
    yield talk.chunk(Delta(role="assistant", content=""))
    try:
        async with aclosing(pieces):
            async for each in pieces:
                if isinstance(each, Reply):
                    rest = each.text if talk.held_back else _rest(said, each)
                    if rest:
                        yield talk.chunk(Delta(content=rest))
                    recalled = _recalled(each, await talk.stored(each))
                    yield talk.chunk(Delta(), _finish(each), recalled)
                    if talk.include_usage:
                        yield talk.usage_chunk(each)
                elif not talk.held_back:
                    said += each.text
                    yield talk.chunk(Delta(content=each.text))
    except MPlusError as error:
        yield event(openai_body(describe(error)).model_dump())
    else:
        yield event("[DONE]")


def _rest(said: str, reply: Reply) -> str:
    """What was not streamed of a reply: all of it, if its pieces came from a reader that had
    nothing to say before the end."""
    return "" if said else reply.text


def _completion(talk: _Talk, reply: Reply, stored: str | None) -> ChatCompletion:
    return ChatCompletion(
        id=talk.id,
        created=talk.created,
        model=talk.model,
        choices=[Choice(message=ReplyMessage(content=reply.text), finish_reason=_finish(reply))],
        usage=_usage(reply),
        mplus=_recalled(reply, stored),
    )


def _finish(reply: Reply) -> Literal["stop", "length"]:
    return "length" if reply.told.answer.finish_reason == "length" else "stop"


def _usage(reply: Reply) -> ChatUsage:
    usage = reply.told.answer.usage
    return ChatUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )


def _recalled(reply: Reply, stored: str | None) -> Recalled:
    return Recalled(
        citations=[to_citation(citation) for citation in reply.citations],
        confidence=reply.told.confidence,
        abstained=reply.abstained,
        turn=reply.kind.value,
        memory_rows=reply.told.answer.usage.memory_rows,
        step=reply.step,
        waiting=reply.waiting,
        stored=stored,
    )


def _sent(chunk: ChatChunk) -> dict[str, object]:
    """What clients expect in every chunk, and of the rest what there is."""
    full = chunk.model_dump()
    for choice in full["choices"]:
        choice["delta"] = {k: v for k, v in choice["delta"].items() if v is not None}
    return {name: value for name, value in full.items() if value is not None}
