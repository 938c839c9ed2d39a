"""OpenAI's older protocol, of a prompt and its completion."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from mplus_ray.services.api.schemas.base import Response, example
from mplus_ray.services.api.schemas.openai import ChatUsage, OpenAIRequest, Recalled


class CompletionRequest(OpenAIRequest):
    """`POST /v1/completions`: the prompt is the question."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "mplus-tiny", "prompt": "Where does Maren Tolva live?"}]
        }
    )

    prompt: str | list[str] = Field(description="A text, or a list of one.")
    max_tokens: int | None = Field(None, ge=1)


class CompletionChoice(Response):
    """The one completion, or a piece of it."""

    text: str
    index: int = 0
    logprobs: None = None
    finish_reason: Literal["stop", "length"] | None


class Completion(Response):
    """A completion, and each event of a stream of one; the last has `mplus`."""

    model_config = example(
        {
            "id": "cmpl-4c9f6b0f5a4e4f5d",
            "object": "text_completion",
            "created": 1772366400,
            "model": "mplus-tiny",
            "choices": [{"text": "Dorvas", "index": 0, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
        }
    )

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: ChatUsage | None = None
    mplus: Recalled | None = None
