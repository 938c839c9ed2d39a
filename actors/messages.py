"""A question as a reader takes it, and what comes back while it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mplus_ray.actors.plans import ReadPlan

if TYPE_CHECKING:
    from mplus_ray.model import Answer
    from mplus_ray.model.generation.answer import Found

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Turn:
    """One message of a conversation.

    Attributes:
        role: who speaks: system, user or assistant.
        content: the words.
    """

    role: Role
    content: str


@dataclass(frozen=True)
class AskRequest:
    """A question, or a conversation that ends in one, to a tenant's memory.

    Attributes:
        plan: the memory that is to be read.
        turns: the last one is the user's question.
        sampling: as `model.generation.sampling.Sampling` takes it.
        citations: so many sources at most, 0 … 20.
        whole: nothing is told before the answer is complete.
    """

    plan: ReadPlan
    turns: tuple[Turn, ...]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    citations: int = 5
    whole: bool = False


@dataclass(frozen=True)
class TextDelta:
    """More of the answer's text.

    Attributes:
        text: what follows on the text sent before.
    """

    text: str


@dataclass(frozen=True)
class AskResult:
    """The answer is complete.

    Attributes:
        answer: its text is all the pieces together.
        confidence: from 0 to 1, that memory has what was asked; None where the checkpoint has no
            fitted confidence, or memory too few blocks for one to stand out.
        threshold: of that confidence, from which on its checkpoint trusts an answer.
        refused: the model itself said, as it was trained to, that memory does not hold it.
    """

    answer: Answer
    confidence: float | None = None
    threshold: float | None = None
    refused: bool = False


@dataclass(frozen=True)
class SearchRequest:
    """A search of a tenant's memory.

    Attributes:
        plan: the memory that is to be read.
        query: in plain words, as a question is asked.
        limit: so many steps at most, 1 … 100.
    """

    plan: ReadPlan
    query: str
    limit: int = 10


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        found: the steps, the best first.
        votes: what voted: the checkpoint's "layers", "words" or both.
    """

    found: tuple[Found, ...]
    votes: str


@dataclass(frozen=True)
class ReaderStats:
    """What a reader is doing and holds, and what it has done since it began.

    Attributes:
        running: questions whose answers are being decoded.
        queued: questions that wait for their memory or for a slot.
        opening: memories that are being opened or brought up to date.
        views, memories: prepared on the device, and open on the host.
        device_used, host_used: bytes, of `device_bytes` and `host_bytes`.
        evictions: of views and open memories, for want of room.
        device_hits, host_hits, misses: questions whose memory was prepared, was open, was neither.
        asked, answered, failed, cancelled: questions.
        prompt_tokens, tokens: read and decoded.
        slots: questions that can be decoded at a time.
        device_bytes, host_bytes: what the memories may take there.
    """

    running: int
    queued: int
    opening: int
    slots: int
    views: int
    memories: int
    device_used: int
    device_bytes: int
    host_used: int
    host_bytes: int
    evictions: int
    device_hits: int
    host_hits: int
    misses: int
    asked: int
    answered: int
    failed: int
    cancelled: int
    prompt_tokens: int
    tokens: int
