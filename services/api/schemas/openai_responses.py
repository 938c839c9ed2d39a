"""OpenAI's newer protocol: a response to an input."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from mplus_ray.services.api.schemas.base import Response, example
from mplus_ray.services.api.schemas.openai import Lenient, OpenAIRequest, Recalled

Status = Literal["in_progress", "completed", "incomplete"]


class InputPart(Lenient):
    """A part of a message; other types than texts are refused."""

    type: Literal["input_text", "output_text", "text"]
    text: str


class InputCall(Lenient):
    """A call that was made before. No word of it is read."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str = ""


class InputCallOutput(Lenient):
    """What came of a call. No word of it is read."""

    type: Literal["function_call_output"]
    call_id: str
    output: Any = None


class InputMessage(Lenient):
    """One turn of a conversation; other items than messages and calls are refused."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[InputPart]


class TextForm(Lenient):
    """The form of the text; with `json_schema`, `name` and `schema`."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    wanted: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None
    description: str | None = None


class FunctionTool(Lenient):
    """A function that may be called; other tools are refused."""

    type: str
    name: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class FunctionChoice(Lenient):
    """Which function is to be called, or some that may be."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[dict[str, Any]] | None = None


class TextOptions(Lenient):
    """How the text is to be."""

    format: TextForm | None = None


class ResponseRequest(OpenAIRequest):
    """`POST /v1/responses`, of text. `store` memorizes the turn and is off by default; a response
    itself is not kept."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "mplus-tiny", "input": "Where does Maren Tolva live?"}]
        }
    )

    input: str | list[InputMessage | InputCall | InputCallOutput]
    instructions: str | None = Field(None, description="As the system would say it.")
    max_output_tokens: int | None = Field(None, ge=1)
    text: TextOptions | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: str | FunctionChoice | None = None
    parallel_tool_calls: bool | None = None


class OutputText(Response):
    """What the assistant says."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any] = []
    logprobs: list[Any] = []


class OutputRefusal(Response):
    """Why there is no object of the form that was to be filled."""

    type: Literal["refusal"] = "refusal"
    refusal: str


class OutputCall(Response):
    """A call that the client is to make, with its arguments as JSON."""

    type: Literal["function_call"] = "function_call"
    id: str
    call_id: str
    name: str
    arguments: str
    status: Status


class OutputMessage(Response):
    """The one message of a response."""

    type: Literal["message"] = "message"
    id: str
    status: Status
    role: Literal["assistant"] = "assistant"
    content: list[OutputText | OutputRefusal]


class Incomplete(Response):
    """Why a response ended early."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class CachedTokens(Response):
    """Tokens that were read before."""

    cached_tokens: int = 0


class ReasoningTokens(Response):
    """Tokens that were written and are not shown."""

    reasoning_tokens: int = 0


class ResponseUsage(Response):
    """Tokens read and written."""

    input_tokens: int
    input_tokens_details: CachedTokens = CachedTokens()
    output_tokens: int
    output_tokens_details: ReasoningTokens = ReasoningTokens()
    total_tokens: int


class ResponseObject(Response):
    """A response, on its way or complete."""

    model_config = example(
        {
            "id": "resp_4c9f6b0f5a4e4f5d",
            "object": "response",
            "created_at": 1772366400,
            "status": "completed",
            "model": "mplus-tiny",
            "output": [
                {
                    "type": "message",
                    "id": "msg_4c9f6b0f5a4e4f5d",
                    "status": "completed",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Dorvas", "annotations": []}],
                }
            ],
        }
    )

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Status
    model: str
    output: list[OutputMessage | OutputCall]
    error: None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, str] = {}
    parallel_tool_calls: bool = False
    previous_response_id: None = None
    store: bool
    temperature: float | None = None
    top_p: float | None = None
    text: dict[str, Any] = {"format": {"type": "text"}}
    tool_choice: Any = "auto"
    tools: list[Any] = []
    truncation: Literal["disabled"] = "disabled"
    usage: ResponseUsage | None = None
    mplus: Recalled | None = None
