"""Turns of a conversation and replies to them: memory answers what it is asked, and the service
says the rest in its own words, so that nothing is made up.

What a turn wants is told by its form (`model.generation.turn_kind`). A small language model that
chats freely was tried for the rest and invents (docs/LOG.md).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from mplus_ray.actors.messages import TextDelta, Turn
from mplus_ray.model.generation.turn_kind import (
    FAREWELLS,
    GREETINGS,
    THANKS,
    TurnKind,
    asks,
    kind_of,
    last_answered,
    words_of,
)
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.reading.abstention import REFUSAL
from mplus_ray.pipeline.reading.ask import Citation
from mplus_ray.services.api.ask.sentences import sentence_with, without_wish
from mplus_ray.services.api.ask.service import Answers, AskQuery, Reply

ABOUT = (
    "I answer questions about the documents in this memory, name the passages, and say so when "
    "they do not hold the answer."
)
EMPTY = "Nothing is memorized here yet. Hand in documents, and I answer questions about them."
NOTHING_SAID = "I have not said anything from memory yet."
NOTHING_KNOWN = "Nothing in memory answered that question, so there is no passage to name."
NOT_ASKED = f"I have nothing in memory to say to that. {ABOUT}"


async def converse(
    answers: Answers, log: TenantLog, question: AskQuery
) -> AsyncGenerator[TextDelta | Reply, None]:
    """Pieces of the reply as they come, then the reply; as `Answers.stream`, which it raises like.

    Closing it cancels the reply.
    """
    if question.forms:  # a form is filled from memory, whatever was said
        async with aclosing(answers.stream(log, question)) as pieces:
            async for each in pieces:
                yield each
        return
    messages = [(turn.role, turn.content) for turn in question.turns]
    kind = kind_of(messages)
    if kind is TurnKind.SOURCE:
        yield await _source(answers, log, question, last_answered(messages))
    elif kind is TurnKind.MEMORY:
        async with aclosing(_from_memory(answers, log, question)) as pieces:
            async for each in pieces:
                yield each
    else:
        reply = await answers.unasked(log, question)
        empty = reply.step + reply.waiting == 0
        yield replace(reply, text=_talk(question.turns[-1].content, kind, empty), kind=kind)


async def whole_reply(answers: Answers, log: TenantLog, question: AskQuery) -> Reply:
    """The reply alone, which is cheaper than its pieces."""
    async with aclosing(converse(answers, log, replace(question, whole=True))) as pieces:
        async for each in pieces:
            if isinstance(each, Reply):
                return each
    raise AssertionError("a conversation goes on with a reply or an error")


def _talk(said: str, kind: TurnKind, empty: bool) -> str:
    """A reply to a turn that asks nothing of memory."""
    words = set(words_of(said))
    about = EMPTY if empty else ABOUT
    if kind is TurnKind.TALK and not words.isdisjoint(THANKS):
        return "You are welcome."
    if kind is TurnKind.TALK and not words.isdisjoint(GREETINGS):
        return f"Hello! {about}"
    if kind is TurnKind.TALK and not words.isdisjoint(FAREWELLS):
        return "Goodbye!"
    return about


async def _from_memory(
    answers: Answers, log: TenantLog, question: AskQuery
) -> AsyncGenerator[TextDelta | Reply, None]:
    turns, sentence = without_wish(question.turns)
    asked = replace(question, turns=_without_refusals(turns))
    if sentence:  # which is known when the answer is complete
        asked = replace(asked, whole=True, citations=max(question.citations, 1))
    async with aclosing(answers.stream(log, asked)) as pieces:
        async for each in pieces:
            if isinstance(each, Reply):
                reply = _in_a_sentence(each) if sentence else each
                reply = replace(reply, citations=reply.citations[: question.citations])
                yield _checked(reply, question)
            else:
                yield each


def _without_refusals(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Without what the assistant could not answer, and what it was asked there."""
    kept: list[Turn] = []
    for turn in turns:
        if turn.role == "assistant" and turn.content in (REFUSAL, NOT_ASKED):
            kept = kept[: max((i for i, t in enumerate(kept) if t.role != "user"), default=-1) + 1]
        else:
            kept.append(turn)
    return tuple(kept)


def _in_a_sentence(reply: Reply) -> Reply:
    """The sentence of a passage that has the answer; the bare answer, if none has it."""
    for citation in reply.citations:
        sentence = sentence_with(citation.passage.text, reply.text)
        if sentence is not None and not reply.abstained:
            return replace(reply, text=sentence)
    return reply


def _checked(reply: Reply, question: AskQuery) -> Reply:
    """A refusal draws on no passage; and a statement that memory has no answer to was perhaps no
    question."""
    if not reply.abstained:
        return reply
    text = reply.text if asks(question.turns[-1].content) else NOT_ASKED
    return replace(reply, text=text, citations=[])


async def _source(answers: Answers, log: TenantLog, question: AskQuery, place: int | None) -> Reply:
    """Where the answer before came from: its question is put to memory again, whose passages are
    searched for what the assistant has said."""
    if place is None:
        reply = await answers.unasked(log, question)
        return replace(reply, text=NOTHING_SAID, kind=TurnKind.SOURCE)
    said = next(turn.content for turn in question.turns[place + 1 :] if turn.role == "assistant")
    again = replace(question, turns=question.turns[: place + 1], whole=True)
    again = replace(again, citations=max(question.citations, 1))
    reply = await answers.reply(log, again)
    if reply.abstained or not reply.citations:
        return replace(reply, text=NOTHING_KNOWN, citations=[], kind=TurnKind.SOURCE)
    text, citations = _cited(said, reply.citations)
    wanted = citations[: question.citations]
    return replace(reply, text=text, citations=wanted, kind=TurnKind.SOURCE)


def _cited(said: str, citations: Sequence[Citation]) -> tuple[str, list[Citation]]:
    """What is said about the passages, the one that has the words first."""
    for citation in citations:
        sentence = sentence_with(citation.passage.text, said)
        if sentence is not None:
            others = [other for other in citations if other is not citation]
            return f"{citation.passage.where}: “{sentence}”", [citation, *others]
    nearest = citations[0].passage.where
    return (
        f"No passage has these words. The one nearest to the question is in {nearest}.",
        list(citations),
    )
