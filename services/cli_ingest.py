"""`mplus ingest`: sources become documents, documents become memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.options import CheckpointOption, DataOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from rich.status import Status

    from pipeline.intake import Desk, Intake
    from pipeline.sources import Source
    from pipeline.tenant_log import TenantLog
    from services.embedded import Embedded

_MEMORIZE_EVERY = 256  # documents of a source that never rests


@dataclass(frozen=True)
class Order:
    """What is to be ingested for whom.

    Attributes:
        source: None: finish what was interrupted.
        seed: of a new tenant.
        wait: memorize what is taken in; else it waits in the log.
    """

    tenant: str
    source: Source | None
    seed: int | None = None
    wait: bool = True


def ingest(
    tenant: TenantOption,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]…",
            help="Files, folders and globs (txt, md, html, pdf, docx; jsonl, csv and parquet hold "
            "many documents), s3:// and gs:// URLs, - for JSON lines on standard input, "
            "kafka://broker:9092/topic?group=NAME; none: finish what was interrupted.",
            show_default=False,
        ),
    ] = None,
    document: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="Of the document, for a single file; by default its path. Other text under an "
            "id that is there takes the old one's place.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of a new tenant; by default a hash of its name.", show_default=False),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(help="Memorize at once; else the next ingest does."),
    ] = True,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Watch a folder for new and changed files until Ctrl-C."),
    ] = False,
    until_idle: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="End a watched folder or a topic when nothing new came for so long.",
            show_default=False,
        ),
    ] = None,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Memorize documents for a tenant, which is made if it does not exist.

    A document is safe once it is taken in: interrupt at any time, and the same command, or one
    without sources, goes on where it stopped.
    """
    from model.errors import InvalidInputError
    from pipeline.sources import Until, open_sources
    from services.embedded import Embedded
    from services.settings import Settings
    from services.stopping import stopped_by_signals

    began = time.monotonic()
    until = Until(idle=until_idle)
    source = None
    if sources or follow or document is not None:
        source = open_sources(sources or [], follow=follow, until=until, key=document)
    endless = source is not None and source.endless
    if until_idle is not None and not endless:
        raise InvalidInputError("--until-idle is for sources without an end: --follow and kafka")
    with Embedded(Settings.read(data, checkpoint), write_only=True) as system:
        if source is None:
            log = system.existing_tenant(tenant)
            log.tenant.check_fingerprint(system.model.fingerprint)
        with stopped_by_signals(until.stop, endless):
            carry_out(system, Order(tenant, source, seed, wait), began, json)


def carry_out(system: Embedded, order: Order, began: float, json: str | None) -> None:
    """Take documents in, memorize what waits, and say what became of them.

    Args:
        began: as of `time.monotonic`.

    Raises:
        DocumentError: some could not be read; the others are memorized.
        QuotaError: the tenant is full; what came before is memorized.
    """
    from services.output import human, write_json

    run = _Run(system, order)
    intake = run.take_in()
    if intake.new or intake.known or order.source is None:
        run.memorize()
    result: dict[str, Any] = {
        "tenant": order.tenant,
        "documents": intake.new,
        "known": intake.known,
        "chunks": run.steps,
        "tokens": run.tokens,
        "seconds": round(time.monotonic() - began, 3),
        "failures": intake.failures,
        "failed": [{"source": f.source, "reason": f.reason} for f in intake.failed],
        "duplicates": [
            {"document": d.document, "like": d.like, "similarity": round(d.similarity, 3)}
            for d in intake.duplicates
        ],
    }
    write_json(json, result)
    known = f" ({intake.known} known already)" if intake.known else ""
    console = human(json)
    console.print(
        f"{order.tenant}: {intake.new} documents{known}, {run.steps} chunks, {run.tokens:,} "
        f"tokens memorized in {result['seconds']:.1f} s"
    )
    _print_duplicates(intake, json)
    if intake.full is not None:
        raise intake.full
    if intake.failures:
        raise _all_failed(intake)


class _Run:
    """One order on its way, and what is memorized of it so far."""

    def __init__(self, system: Embedded, order: Order) -> None:
        self.steps = self.tokens = 0
        self._system = system
        self._order = order
        self._waiting = 0  # documents taken in since it was memorized last

    def take_in(self) -> Intake:
        from pipeline.intake import Intake, take_in
        from services.output import stderr

        source = self._order.source
        if source is None:
            return Intake()
        with stderr().status("reading documents") as status:

            def on_document(intake: Intake, name: str) -> None:
                self._waiting += 1
                status.update(_progress(intake, name))
                if source.endless and self._waiting >= _MEMORIZE_EVERY:
                    on_idle(intake)

            def on_idle(intake: Intake) -> None:
                if self._waiting and intake.new + intake.known:
                    status.stop()  # there is one line for progress
                    self.memorize()
                    status.start()
                status.update(_progress(intake, "waiting for more"))

            return take_in(
                source,
                lambda: self._open_desk(status),
                on_document,
                on_idle,
                log=_known(self._system, self._order.tenant),
            )

    def memorize(self) -> None:
        """All that waits in the log, unless it is to wait there."""
        from services.warm import memorize_waiting

        self._waiting = 0
        if self._order.wait:
            log = self._system.ledger.tenant(self._order.tenant)
            steps, tokens = memorize_waiting(self._system, log)
            self.steps += steps
            self.tokens += tokens

    def _open_desk(self, status: Status) -> Desk:
        from pipeline.intake import Desk

        status.update(f"loading {self._system.settings.checkpoint}")
        model = self._system.model
        log = self._system.create_tenant(self._order.tenant, seed=self._order.seed)
        return Desk(log, model.tokenizer, model.config.chunk_tokens)


def _progress(intake: Intake, doing: str) -> str:
    from rich.markup import escape

    from services.output import printable

    failed = f", {intake.failures:,} failed" if intake.failures else ""
    return f"{intake.new + intake.known:,} taken in{failed}: {escape(printable(doing))}"


def _known(system: Embedded, tenant: str) -> TenantLog | None:
    """The tenant's log, if it is there already."""
    from model.errors import TenantNotFoundError

    try:
        return system.existing_tenant(tenant)
    except TenantNotFoundError:
        return None


def _print_duplicates(intake: Intake, json: str | None) -> None:
    from services.output import human, printable

    for pair in intake.duplicates[:10]:
        how = "the same as" if pair.similarity == 1.0 else f"{pair.similarity:.0%} like"
        human(json).print(printable(f"  {pair.document} is {how} {pair.like}"), markup=False)
    if len(intake.duplicates) > 10:
        human(json).print(f"  … {len(intake.duplicates) - 10} more; see --json")


def _all_failed(intake: Intake) -> Exception:
    from model.errors import DocumentError

    reasons = "\n  ".join(failure.reason for failure in intake.failed)
    if intake.failures > len(intake.failed):
        reasons += "\n  … and more; `mplus documents list` has them all"
    return DocumentError(
        f"{intake.failures} of {intake.documents} documents were left out:\n  {reasons}"
    )
