"""Conversations, in OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

import httpx

from ..flow import Flow, operation
from ..models import ChatCompletion, Models
from ..requests import call, given, request
from ..streams import ChatEvents, streamed
from .core import Core, Filter, Moment, chosen, moment

Messages = str | Sequence[Mapping[str, Any]]
_PATH = "/v1/chat/completions"


class Chatted(TypedDict, total=False):
    """What may be said beside the messages.

    Attributes:
        model: by default the one that answers there, which is asked for first.
        store: memorize this turn and the reply.
        metadata: draw only on documents with these values; with `store` the turn gets them too.
        temperature, top_p, top_k, seed: how words are drawn; by default the likeliest are taken.
        max_tokens, max_completion_tokens: of the longest reply.
        stop: ends the reply.
        n: how many replies; one.
        response_format: the form of the reply, such as `{"type": "json_schema", …}`.
        tools, tool_choice, parallel_tool_calls: functions, and which one is to be called.
        stream_options: such as `{"include_usage": True}`.
        citations: how many; true is 5, false is none.
        threshold: withhold a reply of less confidence; 0 withholds none.
        filter: draw on these documents only.
        min_step: wait for a memory of at least so many steps.
        as_of: reply from the memory as it was after so many steps, or at that time.
        snapshot: likewise, by the name of a snapshot.
    """

    model: str
    store: bool | None
    metadata: Mapping[str, str] | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    seed: int | None
    max_tokens: int | None
    max_completion_tokens: int | None
    stop: str | Sequence[str] | None
    n: int | None
    response_format: Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    stream_options: Mapping[str, Any] | None
    citations: bool | int
    threshold: float | None
    filter: Filter | None
    min_step: int | None
    as_of: Moment | None
    snapshot: str | None


class Chats(Core):
    """`/v1/chat/completions` and `/v1/models`."""

    @operation
    def chat(self, messages: Messages, **chatted: Unpack[Chatted]) -> Flow[ChatCompletion]:
        """A reply to a conversation; one text is a user's only message. Keywords are those of
        `Chatted`.

        Raises:
            ApiError: it was refused.
        """
        body = yield from _body(self, messages, chatted)
        again = not chatted.get("store")  # or a turn could be memorized twice
        reply = yield from call(
            self.patience, ChatCompletion, "POST", _PATH, again=again, json=body
        )
        return reply

    def _stream_chat(self, messages: Messages, **chatted: Unpack[Chatted]) -> Flow[httpx.Response]:
        """A reply piece by piece; `result` is the chunk that ends it, with citations and the rest
        in `mplus`. Keywords are those of `Chatted`.
        """
        body = yield from _body(self, messages, chatted)
        options = {"json": {**body, "stream": True}}
        again = not chatted.get("store")
        reply = yield from request(
            self.patience, "POST", _PATH, lambda: options, again=again, stream=True
        )
        return reply

    stream_chat = streamed(ChatEvents, _stream_chat)

    @operation
    def models(self) -> Flow[Models]:
        """The models that answer there: one."""
        found = yield from call(self.patience, Models, "GET", "/v1/models")
        return found


def _body(core: Core, messages: Messages, chatted: Mapping[str, Any]) -> Flow[dict[str, Any]]:
    turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    model = chatted.get("model")
    if model is None:
        model = (yield from call(core.patience, Models, "GET", "/v1/models")).data[0].id
    special = {"filter": chosen(chatted.get("filter")), "as_of": moment(chatted.get("as_of"))}
    return given(**{**chatted, **special, "model": model, "messages": [dict(one) for one in turns]})
