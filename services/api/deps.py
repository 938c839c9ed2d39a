"""What the API is made of, handed in by the program that starts it: it reads no environment."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client import CollectorRegistry

from mplus_ray.actors.messages import AskRequest, AskResult, SearchRequest, SearchResult, TextDelta
from mplus_ray.model.errors import ForbiddenError
from mplus_ray.model.memory.membership import Membership
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.writing.engine import Stores
from mplus_ray.services.cross_origin import CrossOrigin
from mplus_ray.services.webhooks.deliverer import DeliverySettings

if TYPE_CHECKING:
    from mplus_ray.model.object_store.object_store import ObjectStore

_MB = 1 << 20


class ReaderClient(Protocol):
    """The readers, wherever they are."""

    def ask(self, asked: AskRequest) -> AsyncIterator[TextDelta | AskResult]:
        """Pieces of the answer, then what it came to; closing the iterator cancels it.

        Raises:
            MPlusError: from the iterator; OverloadedError if every queue is full.
        """

    async def search(self, asked: SearchRequest) -> SearchResult:
        """What a search finds; cancelling it gives it up.

        Raises:
            MPlusError: OverloadedError if every queue is full.
        """

    async def stats(self) -> Sequence[Any]:
        """One entry for each reader that is ready."""

    async def close(self, tenant: str) -> None:
        """Let go of a tenant's memory, everywhere."""


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and what a tenant may do in a minute.

    A tenant's own settings in the ledger take the place of the three `..._per_minute` and
    `concurrent_questions`.

    Attributes:
        body_bytes: of a request with anything but documents.
        json_bytes: of documents as JSON, which are in memory at once.
        upload_bytes: of multipart and newline-delimited uploads, which are not.
        text_characters: of one document, also of what a file unpacks to.
        documents: in one JSON request, and files in one upload; `lines`: taken in from a stream.
        question_characters, question_tokens: of a question, or of all turns of a conversation.
        turns: of a conversation.
        max_tokens: of an answer.
        answer_seconds: from the question to the last token, waiting included.
        catch_up_seconds: of these, how long `min_step` or a memory that was dropped may take.
        wait_seconds: the longest that `wait` may block.
        parsers, parse_seconds, parse_bytes: processes that parse uploads, how long one may take
            for a file or for the next record of one, and the memory it may use.
        lines: documents of one request.
        documents_per_minute, tokens_per_minute: that a tenant may hand in.
        concurrent_questions: that a tenant may have answered at once.
        parse_seconds_per_minute: of parsers' time that a tenant may have.
        forks: that may go back to one tenant.
        webhooks: that a tenant may have whose settings say nothing else.
        open_questions, open_documents, open_tools, open_archives, open_lookups: requests of a kind
            that are under way at once; a tenant may have a quarter of each.
        body_seconds: how long a client may be silent in the middle of a body.
        body_rate: bytes a second that a body must bring on average, after its first
            `body_seconds`.
    """

    body_bytes: int = _MB
    json_bytes: int = 32 * _MB
    upload_bytes: int = 1024 * _MB
    text_characters: int = 20_000_000
    documents: int = 1000
    lines: int = 100_000
    question_characters: int = 32_000
    question_tokens: int = 8_192
    turns: int = 200
    max_tokens: int = 2_048
    answer_seconds: float = 120.0
    catch_up_seconds: float = 60.0
    wait_seconds: float = 300.0
    documents_per_minute: int = 6_000
    tokens_per_minute: int = 5_000_000
    concurrent_questions: int = 32
    parsers: int = 2
    parse_seconds: float = 60.0
    parse_bytes: int = 4096 * _MB
    parse_seconds_per_minute: int = 60
    forks: int = 16
    webhooks: int = 10
    open_questions: int = 512
    open_documents: int = 192
    open_tools: int = 64
    open_archives: int = 8
    open_lookups: int = 160
    body_seconds: float = 20.0
    body_rate: int = 1024


@dataclass(frozen=True)
class Deps:
    """Everything the API works with.

    Attributes:
        files: of the row store; None: no export of memories and no deletion of tenants.
        tokenizer: how the loaded model cuts documents.
        fingerprint: of the loaded weights; tenants that are made here belong to them.
        genesis: where every tenant's memory begins, with the model's shape in its `config`.
        step_bytes: what a step's rows take, by precision.
        confident: whether the checkpoint has a fitted confidence, so that answers may be
            withheld; then the OpenAI protocol gets no word before the confidence is known.
        registry: of Prometheus; the API's own figures and the ledger's are added to it.
        repair: makes a tenant's damaged files again; None: an operator has to.
        spool: folder for uploads and exports on their way; None: the system's temporary one.
        clock: seconds that only grow, for the limits.
        ledger: tenants, documents and keys.
        model_name: as OpenAI's clients call it.
        readers: who answer.
        limits: of requests and of tenants.
        cross_origin: which web pages of other origins may call.
        deliveries: how webhooks are told.
    """

    ledger: Ledger
    files: ObjectStore | None
    tokenizer: Tokenizer
    fingerprint: str
    model_name: str
    readers: ReaderClient
    genesis: Membership
    step_bytes: Mapping[str, int]
    confident: bool = False
    limits: Limits = field(default_factory=Limits)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    repair: Callable[[TenantLog], Awaitable[None]] | None = None
    spool: Path | None = None
    clock: Callable[[], float] = time.monotonic
    cross_origin: CrossOrigin = field(default_factory=CrossOrigin)
    deliveries: DeliverySettings = field(default_factory=DeliverySettings)

    @property
    def stores(self) -> Stores:
        """
        Raises:
            ForbiddenError: this service does not reach the row store.
        """
        if self.files is None:
            raise ForbiddenError("this service does not reach the files of memories")
        return Stores(self.ledger, self.files)
