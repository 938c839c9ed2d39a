"""`mplus ingest`: files become documents, documents become memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.options import CheckpointOption, DataOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from pipeline.intake import Intake
    from pipeline.tenant_log import TenantLog
    from services.embedded import Embedded


@dataclass(frozen=True)
class Order:
    """What is to be ingested for whom.

    Attributes:
        seed: of a new tenant.
        key: id of the document, if there is one file.
    """

    tenant: str
    files: list[Path]
    seed: int | None = None
    key: str | None = None


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
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Memorize documents for a tenant, which is made if it does not exist.

    A document is safe once it is taken in: interrupt at any time, and the same command, or one
    without paths, goes on where it stopped.
    """
    from model.errors import InvalidInputError
    from pipeline.sources import find_files
    from services.embedded import Embedded
    from services.settings import Settings

    began = time.monotonic()
    files = find_files(paths or [])
    if document is not None and len(files) != 1:
        raise InvalidInputError(f"--id names one document, and there are {len(files)} files")
    with Embedded(Settings.read(data, checkpoint), write_only=True) as system:
        if not files:
            log = system.existing_tenant(tenant)
            log.tenant.check_fingerprint(system.model.fingerprint)
        carry_out(system, Order(tenant, files, seed, document), began, json)


def carry_out(system: Embedded, order: Order, began: float, json: str | None) -> None:
    """Take files in, memorize what waits, and say what became of them.

    Args:
        began: as of `time.monotonic`.

    Raises:
        DocumentError: some could not be read; the others are memorized.
        QuotaError: the tenant is full; what came before is memorized.
    """
    from services.output import human, write_json
    from services.warm import memorize_waiting

    intake = _take_in(system, order)
    steps = tokens = 0
    if intake.accepted or not order.files:
        steps, tokens = memorize_waiting(system, system.ledger.tenant(order.tenant))
    seconds = time.monotonic() - began
    new = [document for document in intake.accepted if document.new]
    result: dict[str, Any] = {
        "tenant": order.tenant,
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
        f"{order.tenant}: {len(new)} documents{known}, {steps} chunks, {tokens:,} tokens "
        f"memorized in {seconds:.1f} s"
    )
    if intake.full is not None:
        raise intake.full
    if intake.failed:
        raise _all_failed(intake)


def _take_in(system: Embedded, order: Order) -> Intake:
    from pipeline.intake import Desk, Intake, take_in
    from services.output import stderr

    if not order.files:
        return Intake()
    with stderr().status("reading documents") as status:

        def open_desk() -> Desk:
            status.update(f"loading {system.settings.checkpoint}")
            model = system.model
            log = system.create_tenant(order.tenant, seed=order.seed)
            return Desk(log, model.tokenizer, model.config.chunk_tokens)

        return take_in(
            order.files,
            open_desk,
            lambda path: status.update(f"read {path.name}"),
            log=_known(system, order.tenant),
            key=order.key,
        )


def _known(system: Embedded, tenant: str) -> TenantLog | None:
    """The tenant's log, if it is there already."""
    from model.errors import TenantNotFoundError

    try:
        return system.existing_tenant(tenant)
    except TenantNotFoundError:
        return None


def _all_failed(intake: Intake) -> Exception:
    from model.errors import DocumentError

    reasons = "\n  ".join(failure.reason for failure in intake.failed)
    count = len(intake.failed) + len(intake.accepted)
    return DocumentError(f"{len(intake.failed)} of {count} documents were left out:\n  {reasons}")
