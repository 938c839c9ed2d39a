"""One request of OpenAI's protocols on its way, whichever of them it came by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal

from fastapi import Request

from mplus_ray.actors.messages import TextDelta
from mplus_ray.model.generation.turn_kind import TurnKind
from mplus_ray.model.structured.form import MOST_ITEMS
from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.reading.abstention import may_abstain, says_nothing
from mplus_ray.pipeline.reading.forms import FilledForm
from mplus_ray.services.api.ask.conversation import converse, whole_reply
from mplus_ray.services.api.ask.openai_forms import wanted_of
from mplus_ray.services.api.ask.openai_messages import (
    last_question,
    new_turns,
    to_question,
    transcript,
    warnings_of,
)
from mplus_ray.services.api.ask.service import Answers, AskQuery, Reply
from mplus_ray.services.api.auth import Caller
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.ingest.service import IngestService
from mplus_ray.services.api.routes.query import to_citation, to_fields
from mplus_ray.services.api.schemas.openai import (
    ChatRequest,
    ChatUsage,
    Recalled,
)
from mplus_ray.services.api.streaming import peeked, while_connected


@dataclass(frozen=True)
class Said:
    """A complete reply.

    Attributes:
        text: what it says, or the arguments of a call.
        tool: what is called; "" if nothing is.
        refused: the text is why there is no object of the form that was to be filled.
        filled: it is an object, the arguments of a call, or a refusal.
        finish: whether it came to its end, or to the most tokens that it might have.
        usage: tokens read and written.
        recalled: what OpenAI's protocols have no place for.
    """

    text: str
    finish: Literal["stop", "length"]
    usage: ChatUsage
    recalled: Recalled
    tool: str = ""
    refused: bool = False
    filled: bool = False


@dataclass(frozen=True)
class Talk:
    """What is asked, checked; nothing has been done yet.

    Attributes:
        log: of the tenant.
        model: as the client calls it.
        question: what is asked.
        answers: who answers.
        intake: who memorizes.
        store: whether the turn is memorized.
        held_back: whether no word may be said before the confidence is known.
        warnings: of parameters that change nothing.
        created: in seconds since the epoch.
    """

    log: TenantLog
    model: str
    question: AskQuery
    answers: Answers
    intake: IngestService
    store: bool
    held_back: bool
    warnings: list[str]
    created: int = field(default_factory=lambda: int(time.time()))

    async def whole(self, request: Request) -> Said:
        """The reply alone, which is cheaper than its pieces.

        Raises:
            MPlusError: there is none.
            ClientGoneError: nobody waits for it.
        """
        asking = whole_reply(self.answers, self.log, self.question)
        return await self._said(await while_connected(request, asking))

    async def pieces(self, request: Request) -> AsyncGenerator[str | Said, None]:
        """A stream of pieces of the text, then the reply; the first is there already.

        Raises:
            MPlusError: there is no reply; also from the stream.
            ClientGoneError: nobody waits for it.
        """
        asking = peeked(converse(self.answers, self.log, self.question))
        return self._pieces(await while_connected(request, asking))

    async def _pieces(
        self, source: AsyncGenerator[TextDelta | Reply, None]
    ) -> AsyncGenerator[str | Said, None]:
        spoken = False
        async with aclosing(source):
            async for each in source:
                if isinstance(each, Reply):
                    # All of it, if its pieces came from a reader that said nothing before the end.
                    if each.text and not spoken and not self.question.forms:
                        yield each.text
                    yield await self._said(each)
                elif not self.held_back:
                    spoken = True
                    yield each.text

    async def _said(self, reply: Reply) -> Said:
        usage, filled = reply.told.answer.usage, reply.filled
        refused = filled is not None and filled.refused
        ended = filled.finish if filled is not None else reply.told.answer.finish_reason
        return Said(
            text=reply.text,
            tool="" if filled is None or refused else filled.name,
            refused=refused,
            filled=filled is not None,
            finish="length" if ended == "length" else "stop",
            usage=ChatUsage(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                total_tokens=usage.prompt_tokens + usage.completion_tokens,
            ),
            recalled=Recalled(
                citations=[to_citation(citation) for citation in reply.citations],
                confidence=reply.told.confidence,
                abstained=reply.abstained,
                turn=reply.kind.value,
                memory_rows=usage.memory_rows,
                step=reply.step,
                waiting=reply.waiting,
                stored=await self._stored(reply),
                fields=to_fields(filled),
                warnings=[*self.warnings, *_unlisted(filled)],
            ),
        )

    async def _stored(self, reply: Reply) -> str | None:
        """Memorize the new turns; returns their document's id."""
        if not self.store:
            return None
        turns = new_turns(self.question.turns)
        # Neither what was withheld nor what says nothing is something to remember.
        answered = reply.kind is TurnKind.MEMORY and not reply.abstained
        called = reply.filled is not None and reply.filled.name
        said = reply.text if answered and not called and not says_nothing(reply.told) else None
        taken = await self.intake.take_in(self.log, transcript(turns, said, self.question.wanted))
        return taken.id


def _unlisted(filled: FilledForm | None) -> list[str]:
    """Lists of which a part is left out."""
    paths = [] if filled is None else filled.cut
    return [
        f"{'.'.join(map(str, path)) or 'the list'} goes on: no more than {MOST_ITEMS} objects of a "
        "list are filled"
        for path in paths
    ]


async def begin(chat: ChatRequest, request: Request, caller: Caller, deps: Deps) -> Talk:
    """Check a request.

    Raises:
        UnknownModelError: it names another model.
        InvalidInputError: it wants what a memory cannot do, or is too long.
        ForbiddenError: the key may not memorize, and the turn is to be.
        RateLimitedError: the turn would not be let in now.
    """
    answers: Answers = request.app.state.answers
    intake: IngestService = request.app.state.intake
    log = caller.tenant
    question = to_question(chat, deps.model_name)
    answers.check(question.turns, question.sampling["max_tokens"])
    wanted = await asyncio.to_thread(wanted_of, chat, last_question(chat.messages))
    question = replace(question, forms=wanted.forms)
    warnings = [*warnings_of(chat), *wanted.warnings]
    if chat.store:
        caller.key.require(KeyScope.INGEST)
        intake.check(log, question.turns[-1].content)
    return Talk(
        log=log,
        model=deps.model_name,
        question=question,
        answers=answers,
        intake=intake,
        store=bool(chat.store),
        held_back=may_abstain(log.tenant, deps.confident, question.threshold),
        warnings=warnings,
    )
