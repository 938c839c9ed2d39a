"""The demo: documents to the log, the log to memory through a Ray actor, questions to answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mplus_ray.actors.ray_actors import ModelCard, RemoteReader, RemoteWriter, StoreUrl
from mplus_ray.deploy.demo.questions import TENANTS, DemoQuestion, DemoTenant
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, take_in
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.ray_cluster import Resources
from mplus_ray.pipeline.reading.ask import Citation, ask
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.pipeline.sources import open_sources
from mplus_ray.pipeline.workers.catch_up import catch_up
from mplus_ray.pipeline.writing.engine import Engine
from mplus_ray.pipeline.writing.write_pipeline import OnStep

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_MAX_TOKENS = 16

Progress = Callable[[dict[TenantLog, int]], "AbstractContextManager[OnStep]"]


@dataclass(frozen=True)
class Reply:
    """One question's outcome."""

    tenant: DemoTenant
    question: DemoQuestion
    answer: str
    seconds: float
    citations: list[Citation]

    @property
    def right(self) -> bool:
        return _mentions(self.answer, self.question.expected)

    @property
    def found(self) -> bool:
        """Whether a passage shown holds the expected answer."""
        return any(_mentions(c.passage.text, self.question.expected) for c in self.citations)

    @property
    def leaked(self) -> bool:
        """Whether a passage came from outside the tenant's own folder."""
        folder = self.tenant.folder.resolve()
        return any(folder not in Path(c.passage.source).parents for c in self.citations)


def memorize_documents(
    checkpoint: str,
    data: Path,
    resources: Resources,
    ledger: Ledger,
    on_model: Callable[[ModelCard], None],
    progress: Progress,
) -> dict[str, TenantLog]:
    """Both tenants' documents, two chunks to a forward pass; returns the logs by tenant."""
    store = _store(data)
    writer = RemoteWriter(checkpoint, store, resources.cpus, min(resources.gpus, 1))
    try:
        on_model(writer.card)
        logs = {tenant.name: _accept(tenant, writer, ledger) for tenant in TENANTS}
        with progress({log: log.length() for log in logs.values()}) as on_step:
            card = writer.card
            engine = Engine(ledger, store.open(), writer, card.tokenizer, card.fingerprint)
            catch_up(engine, list(logs.values()), on_step)
    finally:
        writer.stop()
    return logs


def _accept(tenant: DemoTenant, writer: RemoteWriter, ledger: Ledger) -> TenantLog:
    card = writer.card
    log = ledger.create_tenant(tenant.name, card.fingerprint)
    desk = DocumentChunker(log, card.tokenizer)
    take_in(open_sources([str(tenant.folder)]), lambda: desk)
    return log


def ask_questions(
    checkpoint: str,
    data: Path,
    resources: Resources,
    logs: dict[str, TenantLog],
    on_reply: Callable[[Reply], None],
) -> list[Reply]:
    """Every tenant's questions, through a reader actor that holds both memories."""
    reader = RemoteReader(checkpoint, _store(data), resources.cpus, min(resources.gpus, 1))
    replies = []
    try:
        for log in logs.values():
            reader.open(read_plan(log, log.heads.serving()))
        for tenant in TENANTS:
            for question in tenant.questions:
                replies.append(_ask(reader, logs[tenant.name], tenant, question))
                on_reply(replies[-1])
    finally:
        reader.stop()
    return replies


def _ask(reader: RemoteReader, log: TenantLog, tenant: DemoTenant, question: DemoQuestion) -> Reply:
    began = time.monotonic()
    reply = ask(log, reader, question.text, max_tokens=_MAX_TOKENS, stop=("\n",))
    seconds = time.monotonic() - began
    return Reply(tenant, question, reply.answer.text, seconds, reply.citations)


def _store(data: Path) -> StoreUrl:
    return StoreUrl(str(data.absolute() / "rows"), data.absolute() / "cache")


def _mentions(text: str, expected: str | None) -> bool:
    return expected is not None and expected.casefold() in text.casefold()
