"""The part of OpenAI's protocol that a memory can honour."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mplus_ray.services.api.schemas.base import Response, example
from mplus_ray.services.api.schemas.filters import DocumentFilter
from mplus_ray.services.api.schemas.query import Citation, FieldConfidence, Stop

_NAME = "^[a-zA-Z0-9_-]{1,64}$"


class Lenient(BaseModel):
    """Clients of that protocol send more than we know; `ask.openai_parameters` judges it."""

    model_config = ConfigDict(extra="allow", frozen=True)


class TextPart(Lenient):
    """A part of a message; other types than text are refused."""

    type: str
    text: str = ""


class FunctionCall(Lenient):
    """What was called, with its arguments as JSON."""

    name: str
    arguments: str = ""


class ToolCall(Lenient):
    """A call of a tool; other types than functions are refused."""

    id: str
    type: str = "function"
    function: FunctionCall


class Message(Lenient):
    """One turn of a conversation. Of a tool's turns no word is read."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class JsonSchemaFormat(Lenient):
    """A JSON Schema, by a name."""

    name: str = Field(pattern=_NAME)
    description: str | None = None
    wanted: dict[str, Any] = Field(alias="schema")
    strict: bool | None = Field(None, description="Either way the reply is of the schema.")


class ResponseFormat(Lenient):
    """The form of the reply."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class Function(Lenient):
    """A function that may be called, with the JSON Schema of its arguments."""

    name: str = Field(pattern=_NAME)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Lenient):
    """A tool; other types than functions are refused."""

    type: str
    function: Function | None = None


class FunctionName(Lenient):
    """Which function."""

    name: str


class AllowedTools(Lenient):
    """Some of the tools."""

    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class ToolChoice(Lenient):
    """Which tool is to be called, or some that may be."""

    type: str
    function: FunctionName | None = None
    allowed_tools: AllowedTools | None = None


class StreamOptions(Lenient):
    """What a stream ends with."""

    include_usage: bool = False


class OpenAIRequest(Lenient):
    """What every protocol of OpenAI's has in common here. `min_step`, `as_of`, `snapshot`,
    `citations`, `threshold` and `top_k` are as in `/v1/query`; openai's client sends them as
    `extra_body`.
    """

    model: str
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=0, le=1_000_000)
    seed: int | None = Field(None, ge=-(1 << 63), lt=1 << 63)
    stop: Stop | list[Stop] | None = Field(None)
    n: int | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    store: bool | None = Field(
        False, description="Memorize this turn and the reply; needs a key with scope `ingest`."
    )
    min_step: int | None = Field(None, ge=0, lt=1 << 62)
    as_of: int | str | None = None
    snapshot: str | None = None
    citations: bool | int = 5
    threshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    metadata: dict[str, str] | None = Field(
        None,
        description="Draw only on documents with these values in their metadata; `session` is that "
        "of the document. `filter` says more.",
    )
    filter: DocumentFilter | None = Field(
        None, description="Draw on these documents only; as in `/v1/query`."
    )


class CalledFunction(Response):
    """What is to be called, with its arguments as JSON."""

    name: str
    arguments: str


class CalledTool(Response):
    """A call that the client is to make."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ReplyMessage(Response):
    """What the assistant says, or calls."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = Field(
        None, description="Why there is no object of the form that was to be filled."
    )
    tool_calls: list[CalledTool] | None = None


class Choice(Response):
    """The one reply."""

    index: int = 0
    message: ReplyMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatUsage(Response):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Recalled(Response):
    """What OpenAI's protocol has no place for; as in `/v1/query`."""

    citations: list[Citation]
    confidence: float | None
    abstained: bool
    turn: Literal["memory", "source", "assistant", "talk"] = Field(
        description="What the turn wanted: an answer from memory, where the answer before came "
        "from, to know what answers here, or nothing. Only of the first is the text memory's."
    )
    memory_rows: int
    step: int
    waiting: int
    fields: list[FieldConfidence] = Field(
        [], description="Of a form that was filled: what memory was asked, field by field."
    )
    stored: str | None = Field(None, description="The id of the document of a stored turn.")
    warnings: list[str] = Field(
        [], description="Parameters of the request that changed nothing, and why."
    )


class ChatCompletion(Response):
    """A reply."""

    model_config = example(
        {
            "id": "chatcmpl-4c9f6b0f5a4e4f5d",
            "object": "chat.completion",
            "created": 1772366400,
            "model": "mplus-tiny",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Dorvas", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
            "mplus": {
                "citations": [],
                "confidence": 0.93,
                "abstained": False,
                "turn": "memory",
                "memory_rows": 128,
                "step": 1,
                "waiting": 0,
                "stored": None,
            },
        }
    )

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage
    mplus: Recalled


class CalledPiece(Response):
    """More of a call's arguments."""

    name: str | None = None
    arguments: str


class ToolPiece(Response):
    """More of a call."""

    index: int = 0
    id: str | None = None
    type: Literal["function"] | None = None
    function: CalledPiece


class Delta(Response):
    """More of the reply."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolPiece] | None = None


class ChunkChoice(Response):
    """The one reply, on its way."""

    index: int = 0
    delta: Delta
    logprobs: None = None
    finish_reason: Literal["stop", "length", "tool_calls"] | None = None


class ChatChunk(Response):
    """One event of a streamed reply; the last one with a choice has `mplus`."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    mplus: Recalled | None = None


class Model(Response):
    """A model that answers here."""

    model_config = example(
        {"id": "mplus-tiny", "object": "model", "created": 1772366400, "owned_by": "mplus"}
    )

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "mplus"


class Models(Response):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class ChatRequest(OpenAIRequest):
    """`POST /v1/chat/completions`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "mplus-tiny",
                    "messages": [{"role": "user", "content": "Where does Maren Tolva live?"}],
                    "store": False,
                }
            ]
        }
    )

    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = Field(
        None, description="One call is made at a time, so either is kept to."
    )
