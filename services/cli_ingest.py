"""`mplus ingest`: files become documents, documents become memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.options import CheckpointOption, DataOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from pipeline.intake import Intake
    from pipeline.tenant_log import TenantLog
    from services.embedded import Embedded


def ingest(
    tenant: TenantOption,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]…",
            help="Files and folders (txt, md, html, pdf); none: finish what was interrupted.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of a new tenant; by default a hash of its name.", show_default=False),
    ] = None,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Memorize documents for a tenant, which is made if it does not exist.

    A document is safe once it is taken in: interrupt at any time, and the same command, or one
    without paths, goes on where it stopped.
    """
    from pipeline.sources import find_files
    from services.embedded import Embedded
    from services.output import human, write_json
    from services.settings import Settings

    began = time.monotonic()
    files = find_files(paths or [])
    with Embedded(Settings.read(data, checkpoint), write_only=True) as system:
        intake = _take_in(system, tenant, seed, files)
        steps = tokens = 0
        if intake.accepted or not files:
            steps, tokens = _memorize(system, system.ledger.tenant(tenant))
    seconds = time.monotonic() - began
    new = [document for document in intake.accepted if document.new]
    result: dict[str, Any] = {
        "tenant": tenant,
        "documents": len(new),
        "known": len(intake.accepted) - len(new),
        "chunks": steps,
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "failed": [{"source": f.source, "reason": f.reason} for f in intake.failed],
    }
    write_json(json, result)
    known = f" ({result['known']} known already)" if result["known"] else ""
    human(json).print(
        f"{tenant}: {len(new)} documents{known}, {steps} chunks, {tokens:,} tokens memorized in "
        f"{seconds:.1f} s"
    )
    if intake.failed:
        raise _all_failed(intake)


def _take_in(system: Embedded, tenant: str, seed: int | None, files: list[Path]) -> Intake:
    from pipeline.intake import Desk, Intake, take_in
    from services.output import stderr

    if not files:
        system.existing_tenant(tenant).tenant.check_fingerprint(system.model.fingerprint)
        return Intake()
    with stderr().status("reading documents") as status:

        def open_desk() -> Desk:
            status.update(f"loading {system.settings.checkpoint}")
            model = system.model
            log = system.ledger.create_tenant(tenant, model.fingerprint, seed)
            return Desk(log, model.tokenizer, model.config.chunk_tokens)

        return take_in(files, open_desk, lambda path: status.update(f"read {path.name}"))


def _memorize(system: Embedded, log: TenantLog) -> tuple[int, int]:
    """Memorize what waits; returns (chunks, tokens)."""
    from pipeline.memorize import memorize
    from services.output import stderr
    from services.progress import memorizing

    console = stderr()
    step = system.writer.open(log.tenant.id, log.tenant.seed)
    tokens = log.tokens(from_step=step)
    waiting = log.length() - step
    if waiting == 0:
        return 0, 0
    try:
        with memorizing(console, {log: waiting}) as on_step:
            return memorize([log], system.writer, system.model.tokenizer, on_step), tokens
    except KeyboardInterrupt:
        console.print(f"stopped; `mplus ingest --tenant {log.tenant.name}` goes on from here")
        raise


def _all_failed(intake: Intake) -> Exception:
    from model.errors import DocumentError

    reasons = "\n  ".join(failure.reason for failure in intake.failed)
    count = len(intake.failed) + len(intake.accepted)
    return DocumentError(f"{len(intake.failed)} of {count} documents were left out:\n  {reasons}")
