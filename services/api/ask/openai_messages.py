"""OpenAI's chat messages as turns, and turns that are memorized."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from mplus_ray.actors.messages import Role, Turn
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.filters.filter import Filter, conditions_of
from mplus_ray.services.api.ask.openai_parameters import unread
from mplus_ray.services.api.ask.service import AskQuery
from mplus_ray.services.api.ingest.uploads import Arrived, as_arrived
from mplus_ray.services.api.problems.errors import ParameterError, UnknownModelError
from mplus_ray.services.api.schemas.documents import NewDocument
from mplus_ray.services.api.schemas.openai import ChatRequest, Message

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_SPEAKERS = {"user": "User", "assistant": "Assistant"}
_MAX_TOKENS = 256
_MOST_WARNINGS = 50
# What clients send back of a reply of ours, which asks for nothing.
_ECHOED = ("refusal", "annotations", "id", "type", "include_obfuscation")
_LEAST_TOP_P = 1e-6  # 0 means the likeliest only


def to_question(chat: ChatRequest, model_name: str) -> AskQuery:
    """What a chat request asks.

    Raises:
        UnknownModelError: it names another model.
        InvalidInputError: it wants what a memory cannot do.
    """
    if chat.model != model_name:
        raise UnknownModelError(f"there is no model {chat.model[:80]!r}; this is {model_name!r}")
    if chat.n not in (None, 1):
        raise ParameterError("n", "may be 1 only: a memory gives one answer")
    stops = (chat.stop,) if isinstance(chat.stop, str) else tuple(chat.stop or ())
    if len(stops) > 4:
        raise ParameterError("stop", "may name 4 strings at most")
    citations = 5 * chat.citations if isinstance(chat.citations, bool) else chat.citations
    if not 0 <= citations <= 20:
        raise ParameterError("citations", "may be 0 … 20")
    if sum(each is not None for each in (chat.min_step, chat.as_of, chat.snapshot)) > 1:
        raise InvalidInputError("as_of, snapshot and min_step exclude one another")
    return AskQuery(
        turns=to_turns(chat.messages),
        sampling={
            "max_tokens": chat.max_completion_tokens or chat.max_tokens or _MAX_TOKENS,
            "temperature": chat.temperature or 0.0,
            "top_p": 1.0 if chat.top_p is None else max(chat.top_p, _LEAST_TOP_P),
            "top_k": chat.top_k or 0,
            "seed": (chat.seed or 0) % (1 << 63),
            "stop": stops,
        },
        min_step=chat.min_step,
        as_of=chat.as_of,
        snapshot=chat.snapshot,
        citations=citations,
        threshold=chat.threshold,
        irrevocable=True,
        wanted=_wanted(chat),
    )


def _wanted(chat: ChatRequest) -> Filter | None:
    """The documents that a chat request means, by its metadata and its filter together."""
    wanted = chat.filter.wanted if chat.filter else None
    if not chat.metadata:
        return wanted
    named = wanted or Filter()
    others = {name: value for name, value in chat.metadata.items() if name != "session"}
    sessions = named.sessions
    if (session := chat.metadata.get("session")) is not None:
        if sessions and session not in sessions:
            raise InvalidInputError("metadata and filter name two sessions; give one of them")
        sessions = (session,)
    return replace(named, sessions=sessions, metadata=named.metadata + conditions_of(others))


def to_turns(messages: Sequence[Message]) -> tuple[Turn, ...]:
    """Messages as turns; the last one has to be the user's, but for what tools said since."""
    turns = []
    for place, message in enumerate(messages):
        if message.role == "tool" or (message.role == "assistant" and message.tool_calls):
            continue  # memory answers, not what tools say
        role = _ROLES.get(message.role)
        if role is None:
            raise ParameterError(
                f"messages.{place}.role",
                f"{message.role} is not supported; the roles of tools are assistant, with "
                "`tool_calls`, and tool",
            )
        turns.append(Turn(role, _text(message, place)))
    if not turns or turns[-1].role != "user":
        raise ParameterError(
            "messages", "the last message has to be the user's: it is what is asked"
        )
    return tuple(turns)


def new_turns(turns: Sequence[Turn]) -> list[Turn]:
    """The user's turns since the assistant spoke last: the others were stored with its reply."""
    spoken = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
    since = turns[spoken[-1] + 1 :] if spoken else turns
    return [turn for turn in since if turn.role == "user"]


async def transcript(
    turns: Sequence[Turn], reply: str | None, wanted: Filter | None = None
) -> AsyncGenerator[Arrived, None]:
    """New turns as a document; without the reply, if there was none that says anything.

    Args:
        wanted: what the conversation draws on. The document is one of it: it has the session and
            the tags, and the values that metadata has to have.
    """
    wanted = wanted or Filter()
    equal = {
        one.name: one.values[0]
        for one in wanted.metadata
        if one.operator == "in" and len(one.values) == 1 and "." not in one.name
    }
    said = [*turns, *([Turn("assistant", reply)] if reply else [])]
    text = "\n".join(f"{_SPEAKERS[turn.role]}: {turn.content}" for turn in said)
    key = f"chat-{uuid.uuid4().hex}"
    session = wanted.sessions[0] if len(wanted.sessions) == 1 else None
    metadata = {"kind": "chat", **equal}
    yield as_arrived(
        NewDocument(
            id=key,
            text=text,
            title=None,
            metadata=metadata,
            session=session,
            tags=list(wanted.tags) or None,
        )
    )


def warnings_of(chat: ChatRequest) -> list[str]:
    """What of a chat request changes nothing, in words.

    Raises:
        ParameterError: something that cannot be left unread.
    """
    found = unread(chat.model_extra or {}, type(chat).model_fields)
    options = chat.stream_options
    others = [("stream_options", options.model_extra)] if options else []
    for place, message in enumerate(chat.messages):
        where = f"messages.{place}"
        if message.role == "tool":
            found.append(f"{where}, what a tool said, was not read: memory answers")
        others.append((where, message.model_extra))
        if isinstance(message.content, list):
            parts = enumerate(message.content)
            others += [(f"{where}.content.{number}", part.model_extra) for number, part in parts]
    for where, extra in others:
        for name, value in (extra or {}).items():
            if value and name == "function_call":
                raise ParameterError(f"{where}.{name}", "calls are `tool_calls`")
            if value and name not in _ECHOED:
                found.append(f"{where}.{name[:100]} was not read")
    return found[:_MOST_WARNINGS]


def last_question(messages: Sequence[Message]) -> str:
    """What the user said last; "" if that is no text."""
    said = [each.content for each in messages if each.role == "user"]
    if not said or said[-1] is None:
        return ""
    last = said[-1]
    return last if isinstance(last, str) else "".join(part.text for part in last)


def _text(message: Message, place: int) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    parts = content or []
    other = next((part.type for part in parts if part.type != "text"), None)
    if other is not None or not parts:
        raise ParameterError(
            f"messages.{place}.content",
            f"only text can be read, and this has {other or 'no content'}",
        )
    return "".join(part.text for part in parts)
