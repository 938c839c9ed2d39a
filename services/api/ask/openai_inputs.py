"""Requests of OpenAI's newer protocol as such of the older one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mplus_ray.services.api.ask.openai_parameters import own_extra, shared_fields
from mplus_ray.services.api.problems.errors import ParameterError
from mplus_ray.services.api.schemas.openai import (
    ChatRequest,
    FunctionCall,
    Lenient,
    Message,
    ToolCall,
)
from mplus_ray.services.api.schemas.openai_responses import (
    FunctionChoice,
    FunctionTool,
    InputCall,
    InputCallOutput,
    InputMessage,
    ResponseRequest,
    TextForm,
)

_SAID_ANYWAY = ("id", "status")  # by clients that send back what they were told
_NAMES = (
    (re.compile(r"^response_format\.json_schema\b"), "text.format"),
    (re.compile(r"^response_format\b"), "text.format"),
    (re.compile(r"^(tools\.\d+)\.function\b"), r"\1"),
    (re.compile(r"^messages(\.\d+)?"), "input"),
)


@contextmanager
def as_responses_name_it() -> Iterator[None]:
    """A parameter that cannot be taken is called by this protocol's name for it."""
    try:
        yield
    except ParameterError as error:
        name = error.param
        for pattern, ours in _NAMES:
            name = pattern.sub(ours, name)
        raise type(error)(name, error.why) from error


def to_chat(body: ResponseRequest) -> ChatRequest:
    """A conversation of OpenAI's older protocol.

    Raises:
        ParameterError: nothing is asked, or a parameter is another protocol's.
    """
    extra = own_extra(body, ChatRequest)
    messages = [Message(role="system", content=body.instructions)] if body.instructions else []
    said = body.input
    if isinstance(said, str):
        said = [InputMessage(role="user", content=said)]
    _check_end(said)
    for place, item in enumerate(said):
        messages.append(_message(item))
        extra |= _unknown(f"input.{place}", item)
        parts = item.content if isinstance(item, InputMessage) else ""
        for number, part in enumerate(() if isinstance(parts, str) else parts):
            extra |= _unknown(f"input.{place}.content.{number}", part)
    for name, value in ((body.text.model_extra if body.text else None) or {}).items():
        extra[name if name == "verbosity" else f"text.{name}"] = value
    form = _form(body.text.format) if body.text and body.text.format else None
    tools = None if body.tools is None else [_tool(each) for each in body.tools]
    choice = body.tool_choice
    written = {
        **shared_fields(body, ChatRequest),
        "response_format": form,
        "tools": tools,
        "tool_choice": _choice(choice) if isinstance(choice, FunctionChoice) else choice,
        "max_completion_tokens": body.max_output_tokens,
    }
    return ChatRequest(**extra, **written, messages=messages)


def _check_end(said: Sequence[Any]) -> None:
    spoken = [item for item in said if isinstance(item, InputMessage)]
    if not spoken or spoken[-1].role != "user":
        raise ParameterError("input", "has to end with what the user asks, but for calls of tools")


def _message(item: InputMessage | InputCall | InputCallOutput) -> Message:
    if isinstance(item, InputCall):
        function = FunctionCall(name=item.name, arguments=item.arguments)
        return Message(role="assistant", tool_calls=[ToolCall(id=item.call_id, function=function)])
    if isinstance(item, InputCallOutput):
        return Message(role="tool", tool_call_id=item.call_id)
    content = item.content
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    return Message(role=item.role, content=text)


def _form(form: TextForm) -> dict[str, Any]:
    if form.type != "json_schema":
        return {"type": form.type}
    if form.wanted is None or not form.name:
        raise ParameterError("text.format", "of type json_schema has a `name` and a `schema`")
    return {"type": form.type, "json_schema": {"name": form.name, "schema": form.wanted}}


def _tool(tool: FunctionTool) -> dict[str, Any]:
    if tool.type != "function":
        return {"type": tool.type}
    if not tool.name:
        raise ParameterError("tools", "a function has a name")
    return {"type": "function", "function": {"name": tool.name, "parameters": tool.parameters}}


def _choice(choice: FunctionChoice) -> dict[str, Any]:
    if choice.type == "allowed_tools":
        return {
            "type": choice.type,
            "allowed_tools": {"mode": choice.mode or "auto", "tools": choice.tools or []},
        }
    named = {"function": {"name": choice.name}} if choice.name else {}
    return {"type": choice.type, **named}


def _unknown(where: str, item: Lenient) -> dict[str, Any]:
    """What of an item is not read, by its place; what clients send back of an answer is empty."""
    extra = item.model_extra or {}
    return {f"{where}.{k}": v for k, v in extra.items() if v and k not in _SAID_ANYWAY}
