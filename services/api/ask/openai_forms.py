"""The forms that OpenAI's protocols ask for: formats of a reply, and arguments of tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.structured.form import MOST_FIELDS, Form
from mplus_ray.model.structured.schema import Schema
from mplus_ray.pipeline.reading.forms import NamedForm
from mplus_ray.services.api.problems.errors import InvalidSchemaError, ParameterError
from mplus_ray.services.api.schemas.openai import ChatRequest, Message, Tool, ToolChoice

# What a reply is that is to be JSON of no schema.
ANY_OBJECT = {
    "type": "object",
    "properties": {"answer": {"type": ["string", "null"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
_MOST_TOOLS = 128
_MOST_LOOKS = 64  # for a schema in a message
_NOT_CALLED = (
    "tools were not called: memory answers, and has no judgement of when to call one; "
    "tool_choice `required`, or the name of one, has its arguments filled from memory"
)


@dataclass(frozen=True)
class Wanted:
    """What a reply has to be.

    Attributes:
        forms: one of these; none, if it is words.
        warnings: of what changes nothing.
    """

    forms: tuple[NamedForm, ...] = ()
    warnings: tuple[str, ...] = ()


def wanted_of(chat: ChatRequest, question: str) -> Wanted:
    """What a chat request wants its reply to be; some milliseconds for a large schema.

    Args:
        question: what the user asks.

    Raises:
        InvalidSchemaError: a schema cannot be followed.
        ParameterError: tools or a format are not as the protocol has them.
    """
    tools = _tools(chat)
    named = _chosen(chat, tools)
    if named:
        if chat.stop:
            raise ParameterError("stop", "would cut the arguments of a call; leave it out")
        fresh = _not_called_yet(named, chat.messages)
        forms = [
            NamedForm(name, _form(parameters, question, f"tools.{place}.function.parameters"))
            for place, name, parameters in fresh
        ]
        if sum(each.form.count for each in forms) > MOST_FIELDS:
            raise ParameterError(
                "tools",
                f"they have more than {MOST_FIELDS} fields to be asked for in all; name one tool "
                "in tool_choice",
            )
        return Wanted(tuple(forms))
    ignored = (_NOT_CALLED,) if tools and chat.tool_choice in (None, "auto") else ()
    return Wanted(_formatted(chat, question), ignored)


def _formatted(chat: ChatRequest, question: str) -> tuple[NamedForm, ...]:
    wanted = chat.response_format
    if wanted is None or wanted.type == "text":
        return ()
    if wanted.type == "json_schema":
        if wanted.json_schema is None:
            raise ParameterError("response_format.json_schema", "is needed with this type")
        where = "response_format.json_schema.schema"
        return (NamedForm("", _form(wanted.json_schema.wanted, question, where)),)
    schema = next(_schemas_in(chat.messages), ANY_OBJECT)
    return (NamedForm("", _form(schema, question, "response_format")),)


def _form(schema: Any, question: str, where: str) -> Form:
    try:
        return Form(Schema(schema), question)
    except InvalidInputError as error:
        raise InvalidSchemaError(where, f"this schema cannot be followed: {error}") from error


_Named = tuple[int, str, dict[str, Any]]
_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}


def _tools(chat: ChatRequest) -> list[_Named]:
    """Place, name and schema of each."""
    tools = chat.tools or []
    if len(tools) > _MOST_TOOLS:
        raise ParameterError("tools", f"may be {_MOST_TOOLS} at most")
    found = [_function(tool, place) for place, tool in enumerate(tools)]
    names = [name for _, name, _ in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ParameterError("tools", f"two of them are called {twice}")
    return found


def _function(tool: Tool, place: int) -> _Named:
    if tool.type != "function" or tool.function is None:
        raise ParameterError(
            f"tools.{place}.type",
            f"{tool.type[:50]} is not here; a tool is a function, with a `function`. Memory is "
            "searched without one",
        )
    return place, tool.function.name, tool.function.parameters or _NO_ARGUMENTS


def _chosen(chat: ChatRequest, tools: Sequence[_Named]) -> list[_Named]:
    """Those of which one has to be called; none, if none has to be."""
    choice = chat.tool_choice
    if choice is None or choice in ("auto", "none"):
        return []
    if not tools:
        raise ParameterError("tool_choice", "there are no tools to choose from; send `tools`")
    if choice == "required":
        return list(tools)
    if isinstance(choice, str):
        raise ParameterError("tool_choice", "may be none, auto, required, or name a function")
    mode, names = _named(choice)
    unknown = next((name for name in names if name not in {name for _, name, _ in tools}), None)
    if unknown is not None or not names:
        raise ParameterError("tool_choice", f"there is no tool {str(unknown)[:80]} among `tools`")
    return [tool for tool in tools if tool[1] in names] if mode == "required" else []


def _named(choice: ToolChoice) -> tuple[str, list[str]]:
    if choice.type == "function" and choice.function is not None:
        return "required", [choice.function.name]
    if choice.type == "allowed_tools" and choice.allowed_tools is not None:
        allowed = choice.allowed_tools
        return allowed.mode, [_name_of(tool) for tool in allowed.tools]
    raise ParameterError("tool_choice.type", "may be function or allowed_tools, with what it names")


def _name_of(tool: dict[str, Any]) -> str:
    """In either protocol's way; "" where none is."""
    function = tool.get("function")
    name = (function if isinstance(function, dict) else tool).get("name")
    return name if isinstance(name, str) else ""


def _not_called_yet(tools: Sequence[_Named], messages: Sequence[Message]) -> list[_Named]:
    """Without what was called since the user spoke last, if others are left: memory would fill the
    same again."""
    spoken = max((at for at, each in enumerate(messages) if each.role == "user"), default=0)
    calls = [call for each in messages[spoken:] for call in each.tool_calls or []]
    called = {call.function.name for call in calls}
    return [tool for tool in tools if tool[1] not in called] or list(tools)


def _schemas_in(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """JSON Schemas of objects in what was said, which is where clients put them that ask for JSON
    of no schema."""
    read, looks = json.JSONDecoder(), 0
    for message in messages:
        parts = [message.content] if isinstance(message.content, str) else message.content or []
        if message.role == "assistant":
            continue
        for text in (part if isinstance(part, str) else part.text for part in parts):
            at = text.find("{")
            while at >= 0 and looks < _MOST_LOOKS:
                looks += 1
                try:
                    found, end = read.raw_decode(text, at)
                except (ValueError, RecursionError):
                    found, end = None, at + 1
                if isinstance(found, dict) and isinstance(found.get("properties"), dict):
                    yield {"type": "object", **found}
                at = text.find("{", end)
