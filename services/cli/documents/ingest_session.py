"""One ingest: documents are taken in, and memorized or held back where too much waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mplus_ray.pipeline.ingest.backpressure import Pressure
    from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, IngestReport
    from mplus_ray.pipeline.ledger.tenant import Tenant
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog
    from mplus_ray.pipeline.sources import DocumentSource
    from mplus_ray.pipeline.writing.write_job import OnStep
    from mplus_ray.services.cli.progress import Ingesting
    from mplus_ray.services.embedded import Embedded

_MEMORIZE_DOCUMENTS = 256  # of a source that never rests
_MEMORIZE_CHUNKS = 4096  # of any source: more do not wait while this process memorizes
MAX_BACKLOG = 100_000  # chunks that wait for other processes


@dataclass(frozen=True)
class IngestOrder:
    """What is to be ingested for whom.

    Attributes:
        source: None: finish what was interrupted.
        seed: of a new tenant.
        wait: memorize what is taken in; else it waits in the log.
        max_backlog: chunks of the tenant that may wait; 0: any number.
        parsers: processes that parse; 0: this one.
        stop: set, and nothing is waited for any more.
        tenant: its name.
    """

    tenant: str
    source: DocumentSource | None
    seed: int | None = None
    wait: bool = True
    max_backlog: int = MAX_BACKLOG
    parsers: int = 0
    stop: threading.Event = field(default_factory=threading.Event)


class IngestSession:
    """One order on its way.

    Attributes:
        intake: what was taken in.
        steps, tokens: memorized so far.
        took_all: the source has no more.
    """

    def __init__(self, system: Embedded, order: IngestOrder, progress: Ingesting) -> None:
        from mplus_ray.pipeline.ingest.ingestor import IngestReport

        self.order = order
        self.intake = IngestReport()
        self.steps = self.tokens = 0
        self.took_all = False
        self._system = system
        self._progress = progress
        self._pressure: Pressure | None = None
        self._documents = 0  # taken in since it was memorized last
        self._forgotten = 0  # documents, when nothing waited last
        self._chunks = 0  # of the intake that the pressure knows

    def take_in(self) -> None:
        """All that the source has, memorizing or waiting where too much waits."""
        from mplus_ray.pipeline.ingest.ingestor import take_in
        from mplus_ray.pipeline.sources import left_out

        log = _known(self._system, self.order.tenant)
        if log is not None:
            self._watch(log)
        if self.order.source is not None:
            self._progress.doing("reading documents")
            with self._parsed(self.order.source) as source:
                take_in(
                    source,
                    self._open_desk,
                    self._on_document,
                    self._on_idle,
                    log=log,
                    intake=self.intake,
                )
            self.intake.refusals.include(left_out(self.order.source).listed())
        self.took_all = True

    def finish(self) -> None:
        """Memorize the rest."""
        intake = self.intake
        if intake.new or intake.known or intake.forgotten or self.order.source is None:
            self._memorize()

    def waiting(self) -> int:
        """Chunks in the log that are not memorized."""
        return 0 if self._pressure is None else self._pressure.look()

    def summary(self, seconds: float) -> str:
        """One line on what was done."""
        from rich.markup import escape

        intake = self.intake
        known = f" ({intake.known} known already)" if intake.known else ""
        known += f", {intake.replaced} in an older one's place" if intake.replaced else ""
        known += f", {len(intake.forgotten)} forgotten" if intake.forgotten else ""
        failed = f", {intake.failures} failed" if intake.failures else ""
        begin = f"{escape(self.order.tenant)}: {intake.new} documents{known}{failed}, "
        if not self.order.wait:
            return (
                f"{begin}{intake.chunks} chunks, {intake.tokens:,} tokens taken in in "
                f"{seconds:.1f} s; {self.waiting()} chunks wait"
            )
        return f"{begin}{self.steps} chunks, {self.tokens:,} tokens memorized in {seconds:.1f} s"

    @contextmanager
    def _parsed(self, source: DocumentSource) -> Iterator[DocumentSource]:
        if not self.order.parsers:
            yield source
            return
        from mplus_ray.pipeline.ingest.parallel_parsing import parsed_by

        self._progress.doing("starting Ray")
        with parsed_by(self.order.parsers, source) as parsed:
            yield parsed

    def _open_desk(self) -> DocumentChunker:
        from mplus_ray.pipeline.ingest.ingestor import DocumentChunker

        self._progress.doing(f"loading {self._system.settings.checkpoint}")
        model = self._system.model
        log = self._system.create_tenant(self.order.tenant, seed=self.order.seed)
        self._watch(log)
        return DocumentChunker(log, model.tokenizer)

    def _watch(self, log: TenantLog) -> None:
        from mplus_ray.pipeline.ingest.backpressure import Pressure

        if self._pressure is None:
            self._pressure = Pressure(log, self.order.max_backlog, self.order.stop.wait)
            self._pressure.look()
            self._make_room()

    def _on_document(self, intake: IngestReport, name: str) -> None:
        self._documents += 1
        if self._pressure is not None:
            self._pressure.add(intake.chunks - self._chunks)
            self._chunks = intake.chunks
            self._progress.taken(intake, name, self._pressure.waiting)
            self._make_room()

    def _make_room(self) -> None:
        """Let no more wait than may."""
        pressure, order = self._pressure, self.order
        if pressure is None:
            return
        if not order.wait:
            pressure.wait_for_room(lambda: self._progress.held(pressure.waiting))
            return
        most = min(order.max_backlog or _MEMORIZE_CHUNKS, _MEMORIZE_CHUNKS)
        endless = order.source is not None and order.source.endless
        if self._chunks and (
            pressure.waiting >= most or (endless and self._documents >= _MEMORIZE_DOCUMENTS)
        ):
            self._memorize()

    def _on_idle(self, intake: IngestReport) -> None:
        forgotten, self._forgotten = self._forgotten, len(intake.forgotten)
        if (self._documents and intake.new + intake.known) or self._forgotten > forgotten:
            self._memorize()
        self._progress.doing("waiting for more")

    def _memorize(self) -> None:
        """All that waits in the log, unless it is to wait there."""
        from mplus_ray.services.cli.refresh import memorize_waiting

        self._documents = 0
        if not self.order.wait:
            return
        log = self._system.ledger.tenant(self.order.tenant)
        memorize_waiting(self._system, log, self._counting)
        if self._pressure is not None:
            self._pressure.look()

    @contextmanager
    def _counting(self, chunks: int, tokens: int) -> Iterator[OnStep]:
        with self._progress.memorizing(chunks, tokens) as on_step:

            def count(tenant: Tenant, step_tokens: int) -> None:
                self.steps += 1
                self.tokens += step_tokens
                on_step(tenant, step_tokens)

            yield count


def _known(system: Embedded, tenant: str) -> TenantLog | None:
    """The tenant's log, if it is there already."""
    from mplus_ray.model.errors import TenantNotFoundError

    try:
        return system.existing_tenant(tenant)
    except TenantNotFoundError:
        return None
