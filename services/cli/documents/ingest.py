"""`mplus ingest`: sources become documents, documents become memory."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mplus_ray.services.cli.documents.ingest_session import MAX_BACKLOG, IngestOrder, IngestSession
from mplus_ray.services.cli.options import CheckpointOption, DataOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from mplus_ray.pipeline.ingest.ingestor import IngestReport
    from mplus_ray.services.embedded import Embedded

_SHOWN = 10  # of a kind; --json has all

__all__ = ["IngestOrder", "carry_out", "ingest"]


def ingest(
    tenant: TenantOption,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]…",
            help="Files, folders and globs (text, office files, PDF, HTML, mail, e-books; jsonl, "
            "csv, parquet, mbox and zip hold many documents), s3:// and gs:// URLs, - for JSON "
            "lines on standard input, kafka://broker:9092/topic?group=NAME; none: finish what was "
            "interrupted.",
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
        typer.Option(
            help="Memorize at once; else `mplus memorize` or the next ingest does, and documents "
            "are taken in no faster than that.",
        ),
    ] = True,
    max_backlog: Annotated[
        int,
        typer.Option(
            metavar="CHUNKS",
            min=0,
            help="Take no more in while so many chunks of the tenant wait; 0: no such bound.",
        ),
    ] = MAX_BACKLOG,
    parse_workers: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Parse files and objects of buckets in so many processes (2 or more).",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Watch a folder for new and changed files until Ctrl-C."),
    ] = False,
    sync: Annotated[
        bool,
        typer.Option(
            "--sync", help="With --follow: forget what is deleted or renamed in the folder."
        ),
    ] = False,
    ocr: Annotated[
        str | None,
        typer.Option(
            metavar="LANGUAGES",
            help="Read scanned PDFs with Tesseract, such as eng or deu+fra; by default they are "
            "refused.",
            show_default=False,
        ),
    ] = None,
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
    from mplus_ray.model.errors import InvalidInputError
    from mplus_ray.pipeline.ingest.parallel_parsing import count_workers
    from mplus_ray.pipeline.parsing.formats.pdf.ocr import Ocr
    from mplus_ray.pipeline.sources import Until, open_sources
    from mplus_ray.services.cli.interrupts import stopped_by_signals
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    began = time.monotonic()
    until = Until(idle=until_idle)
    source = None
    if sources or follow or document is not None:
        source = open_sources(
            sources or [],
            follow=follow,
            until=until,
            key=document,
            sync=sync,
            ocr=Ocr(ocr) if ocr is not None else None,
        )
    endless = source is not None and source.endless
    if until_idle is not None and not endless:
        raise InvalidInputError("--until-idle is for sources without an end: --follow and kafka")
    parsers = 0
    if parse_workers is not None:
        if source is None:
            raise InvalidInputError("--parse-workers is for sources, and none is named")
        parsers = count_workers(parse_workers)
    with Embedded(Settings.read(data, checkpoint), write_only=True) as system:
        if source is None:
            log = system.existing_tenant(tenant)
            log.tenant.check_fingerprint(system.model.fingerprint)
        with stopped_by_signals(until.stop, endless):
            order = IngestOrder(tenant, source, seed, wait, max_backlog, parsers, until.stop)
            carry_out(system, order, began, json)


def carry_out(system: Embedded, order: IngestOrder, began: float, json: str | None) -> None:
    """Take documents in, memorize what waits, and say what became of them.

    Interrupted, it says that and what is safe, and the same order goes on from there.

    Args:
        began: as of `time.monotonic`.

    Raises:
        DocumentError: some could not be read; the others are memorized.
        QuotaError: the tenant is full; what came before is memorized.
    """
    from mplus_ray.services.cli.output import human, stderr
    from mplus_ray.services.cli.progress import Ingesting

    with Ingesting(stderr(), order.tenant) as progress:
        run = IngestSession(system, order, progress)
        try:
            run.take_in()
            run.finish()
        except KeyboardInterrupt:
            progress.stop()
            again = f"`mplus ingest --tenant {order.tenant}` goes on from here"
            if not run.took_all:
                again = "what is in the log is safe, and the same command goes on from here"
            stderr().print(f"stopped: {run.summary(time.monotonic() - began)}; {again}")
            raise
    intake = run.intake
    seconds = time.monotonic() - began
    _write_result(run, round(seconds, 3), json)
    human(json).print(run.summary(seconds))
    _print_left_out(intake, json)
    _print_duplicates(intake, json)
    if intake.full is not None:
        raise intake.full
    if intake.failures:
        raise _all_failed(intake)


def _write_result(run: IngestSession, seconds: float, json: str | None) -> None:
    from mplus_ray.services.cli.output import write_json

    intake = run.intake
    result: dict[str, Any] = {
        "tenant": run.order.tenant,
        "documents": intake.new,
        "known": intake.known,
        "chunks": run.steps,
        "tokens": run.tokens,
        "seconds": seconds,
        "accepted": {"chunks": intake.chunks, "tokens": intake.tokens},
        "waiting": run.waiting(),
        "replaced": intake.replaced,
        "forgotten": [
            {"document_id": key, "receipt": receipt} for key, receipt in intake.forgotten
        ],
        "refusals": [asdict(one) for one in intake.refusals.listed()],
        "failures": intake.failures,
        "failed": [{"source": f.source, "reason": f.reason} for f in intake.failed],
        "duplicates": [
            {"document_id": d.document, "like": d.like, "similarity": round(d.similarity, 3)}
            for d in intake.duplicates
        ],
    }
    write_json(json, result)


def _print_left_out(intake: IngestReport, json: str | None) -> None:
    """What is not in memory, or no longer."""
    from mplus_ray.services.cli.output import human, printable

    if text := intake.refusals.text():
        human(json).print(printable(f"  {text}"), markup=False)
    for key, receipt in intake.forgotten[:_SHOWN]:
        human(json).print(printable(f"  {key} is forgotten (receipt {receipt})"), markup=False)
    if len(intake.forgotten) > _SHOWN:
        human(json).print(f"  … {len(intake.forgotten) - _SHOWN} more forgotten; see --json")


def _print_duplicates(intake: IngestReport, json: str | None) -> None:
    from mplus_ray.services.cli.output import human, printable

    for pair in intake.duplicates[:_SHOWN]:
        how = "the same as" if pair.similarity == 1.0 else f"{pair.similarity:.0%} like"
        human(json).print(printable(f"  {pair.document} is {how} {pair.like}"), markup=False)
    if len(intake.duplicates) > _SHOWN:
        human(json).print(f"  … {len(intake.duplicates) - _SHOWN} more; see --json")


def _all_failed(intake: IngestReport) -> Exception:
    from mplus_ray.model.errors import DocumentError

    reasons = "\n  ".join(failure.reason for failure in intake.failed)
    if intake.failures > len(intake.failed):
        reasons += "\n  … and more; `mplus documents list` has them all"
    return DocumentError(
        f"{intake.failures} of {intake.documents} documents were left out:\n  {reasons}"
    )
