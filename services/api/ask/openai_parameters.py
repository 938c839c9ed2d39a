"""Parameters of OpenAI's protocol that are no field of ours: none is left unread in silence.

At its default a parameter asks for what is done anyway. Otherwise it is refused, if the reply would
not be what was asked for, or named in a warning of the reply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from mplus_ray.services.api.problems.errors import ParameterError

_TOOLS = "functions are given as `tools`, and chosen with `tool_choice`"
_TEXT = "only text is read and written here; leave it out"
_LOGPROBS = "log probabilities are not given; leave it out. `mplus.confidence` of a reply says how \
sure it is"
_NOT_KEPT = "nothing is kept between requests; send the conversation with each one"

# What asks for nothing, besides null.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "background": (False,),
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "include": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "max_tool_calls": (),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "service_tier": ("auto", "default"),
    "suffix": ("",),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}
_REFUSED = {
    "audio": _TEXT,
    "background": "replies come with the request; leave it out, or stream",
    "best_of": "one answer is made; leave it out",
    "conversation": _NOT_KEPT,
    "echo": "the prompt is not repeated; leave it out",
    "function_call": _TOOLS,
    "functions": _TOOLS,
    "logit_bias": "words cannot be made likelier or less likely; leave it out",
    "logprobs": _LOGPROBS,
    "modalities": _TEXT,
    "prediction": "nothing is predicted; leave it out",
    "previous_response_id": _NOT_KEPT,
    "prompt": "there are no prompt templates; send the conversation in `input`",
    "suffix": "text cannot be put between two texts; leave it out",
    "top_logprobs": _LOGPROBS,
    "web_search_options": "the web is not searched, memory is; leave it out",
}
_UNREAD = {
    "frequency_penalty": "it changes nothing",
    "include": "nothing more is included",
    "max_tool_calls": "one call is made at a time",
    "presence_penalty": "it changes nothing",
    "prompt_cache_key": "nothing is cached by it",
    "prompt_cache_retention": "nothing is cached by it",
    "reasoning": "the model does not reason aloud",
    "reasoning_effort": "the model does not reason aloud",
    "safety_identifier": "it is not kept",
    "service_tier": "there is one tier",
    "truncation": "a conversation that is too long is refused",
    "user": "the key says whose memory it is",
    "verbosity": "the length of a reply is that of memory's answer",
}


def own_extra(body: BaseModel, other: type[BaseModel]) -> dict[str, Any]:
    """What came besides a request's fields.

    Args:
        other: the protocol that it is read as, with fields that this one has not.

    Raises:
        ParameterError: one of those came.
    """
    extra = dict(body.model_extra or {})
    for name in extra:
        if name in other.model_fields:
            there = ", ".join(type(body).model_fields)
            raise ParameterError(name, f"it is not of this protocol, which has {there}")
    return extra


def shared_fields(body: BaseModel, other: type[BaseModel]) -> dict[str, Any]:
    """What a request says in fields that another protocol has too."""
    return {
        name: getattr(body, name) for name in other.model_fields if name in body.model_fields_set
    }


def unread(extra: Mapping[str, Any], fields: Iterable[str]) -> list[str]:
    """Warnings of the parameters that change nothing.

    Args:
        extra: what came besides the fields.
        fields: the names of ours.

    Raises:
        ParameterError: one cannot be left unread, or looks like a misspelt one.
    """
    warnings = []
    for name, value in extra.items():
        if value is None or value in _DEFAULTS.get(name, ()):
            continue
        if name in _REFUSED:
            raise ParameterError(name, _REFUSED[name])
        if name not in _UNREAD and (near := _near(name, fields)):
            raise ParameterError(
                name[:100], f"there is no such parameter; is {near} meant? Else leave it out"
            )
        warnings.append(f"{name[:100]} was not read: {_UNREAD.get(name, 'it is not known here')}")
    return warnings


def _near(name: str, fields: Iterable[str]) -> str | None:
    known = {*fields, *_DEFAULTS, *_REFUSED, *_UNREAD}
    found = get_close_matches(name.lower().replace("-", "_")[:100], sorted(known), 1, 0.8)
    return found[0] if found else None
