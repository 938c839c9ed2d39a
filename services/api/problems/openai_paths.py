"""Which paths OpenAI's clients ask for, and what to use instead of those that there are not."""

from __future__ import annotations

# First parts of our own routes under /v1/, whose errors are problem details (RFC 9457).
OWN = frozenset("documents jobs keys memory query search status tenants webhooks".split())

_ROOT = "/v1/"
_ADVICE = {
    "embeddings": "`POST /v1/search` finds passages for a text, without vectors in between",
    "files": "`POST /v1/documents` takes documents in, also as files (multipart/form-data)",
    "uploads": "`POST /v1/documents` takes documents in, also as files (multipart/form-data)",
    "vector_stores": "a key's memory is its store: `POST /v1/documents` fills it, `POST "
    "/v1/search` searches it",
    "assistants": "`POST /v1/chat/completions` and `POST /v1/responses` answer from memory",
    "threads": "send the conversation with `POST /v1/chat/completions`; `store` memorizes it",
    "conversations": "send the conversation in `input` of `POST /v1/responses`; `store` memorizes "
    "it",
    "responses": "only `POST /v1/responses` is there: responses are not kept, and `store` "
    "memorizes the turn instead",
    "chat": "only `POST /v1/chat/completions` is there: completions are not kept, and `store` "
    "memorizes the turn instead",
    "batches": "`POST /v1/query/batch` answers many questions at once",
    "moderations": "nothing here judges texts",
    "images": "this model reads and writes text only",
    "audio": "this model reads and writes text only",
    "videos": "this model reads and writes text only",
    "realtime": "stream with `POST /v1/responses` or `POST /v1/chat/completions`",
    "fine_tuning": "the model is not trained here: `POST /v1/documents` teaches its memory",
    "edits": "`POST /v1/chat/completions` answers from memory",
}
_OTHERS = "/openapi.json lists what there is"


def speaks_openai(path: str) -> bool:
    """Whether errors at this path have OpenAI's shape: everything under /v1/ that is not one of
    our own routes, so that also what does not exist is told to OpenAI's clients in their words."""
    return path.startswith(_ROOT) and _first(path) not in OWN


def advice(path: str) -> str:
    """What to use instead of a route of OpenAI's that is not here."""
    return _ADVICE.get(_first(path), _OTHERS)


def _first(path: str) -> str:
    return path.removeprefix(_ROOT).partition("/")[0]
