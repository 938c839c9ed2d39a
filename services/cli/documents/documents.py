"""`mplus documents`: what a tenant has taken in, and taking it out again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mplus_ray.services.cli.filtering import (
    AfterOption,
    BeforeOption,
    SessionOption,
    TagOption,
    WhereOption,
    filter_of,
)
from mplus_ray.services.cli.options import CheckpointOption, DataOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.documents.documents import Document
    from mplus_ray.pipeline.ledger.documents.forget_requests import Receipt
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog
    from mplus_ray.services.embedded import Embedded

app = typer.Typer(help="List, show, forget and retry documents.", no_args_is_help=True)

IdArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="As `list` shows it, or the path it came from.", show_default=False
    ),
]


@app.callback()
def documents() -> None:
    """The documents of a tenant."""


@app.command("list")
def list_documents(
    tenant: TenantOption,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on behind this one.", show_default=False)
    ] = None,
    session: SessionOption = None,
    tag: TagOption = None,
    where: WhereOption = None,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Documents in the order in which they came, then the sources that could not be read."""
    from rich.table import Table
    from rich.text import Text

    from mplus_ray.services.cli.output import human, printable, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    wanted = filter_of(session, tag, where, None, None)
    with Embedded(Settings.read(data)) as system:
        log = system.existing_tenant(tenant)
        last = None if after is None else log.document(find_key(log, after)).id
        rows = [_as_json(document) for document in log.documents(limit, last, wanted)]
        failed = [_failure(f.source, f.reason) for f in log.failures.list()]
    write_json(json, {"tenant": tenant, "documents": rows, "failed": failed})
    table = Table(box=None)
    table.add_column("id", overflow="fold")  # for the next command, so it is never cut
    for column in ("state", "steps", "tokens"):
        table.add_column(column)
    for row in rows:
        steps = f"{row['first_step']}…{row['end_step']}"
        table.add_row(Text(printable(row["id"])), row["state"], steps, str(row["tokens"]))
    console = human(json)
    console.print(table if rows else f"{tenant} has no documents")
    for failure in failed:
        console.print(printable(f"failed: {failure['reason']}"), markup=False)


@app.command("show")
def show(
    tenant: TenantOption, document: IdArgument, data: DataOption = None, json: JsonOption = None
) -> None:
    """One document with its text."""
    from mplus_ray.services.cli.output import human, printable, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data)) as system:
        log = system.existing_tenant(tenant)
        found = log.document(find_key(log, document))
        # The text of one that is being forgotten is not shown any more.
        text = log.text(found.key) if found.forget is None else None
    shown = _as_json(found)
    write_json(json, {**shown, "metadata": found.metadata, "text": text})
    console = human(json)
    for field, value in shown.items():
        console.print(printable(f"{field:<11}{value}"), markup=False)
    if text is not None:
        console.print(printable(f"\n{text}"), markup=False)


@app.command("forget")
def forget(
    tenant: TenantOption,
    documents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]…",
            help="As `list` shows them, or paths they came from; without any, those that the "
            "options below name.",
            show_default=False,
        ),
    ] = None,
    session: SessionOption = None,
    tag: TagOption = None,
    where: WhereOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    later: Annotated[
        bool, typer.Option("--later", help="Only mask now; the next ingest does the rest.")
    ] = False,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Forget documents exactly: the memory becomes that of a tenant that never saw them.

    No answer draws on them from the first moment on. Then the memory is made again without them,
    and text and rows are purged; the receipt says when each was done.
    """
    from mplus_ray.model.errors import InvalidInputError
    from mplus_ray.services.cli.output import human, printable, stderr, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    wanted = filter_of(session, tag, where, after, before)
    if (wanted is None) == (not documents):
        raise InvalidInputError("name documents by their ids or by options, one of the two")
    with Embedded(Settings.read(data, checkpoint), write_only=True) as system:
        log = system.existing_tenant(tenant)
        if wanted is not None:
            asked = [log.forgets.request_all(wanted)]
        else:
            keys = [find_key(log, document, forgotten=True) for document in documents or ()]
            asked = [log.forgets.request(key).receipt for key in dict.fromkeys(keys)]
        if not later and any(receipt.purged is None for receipt in asked):
            stderr().print("masked: no answer draws on it any more; making the memory without it")
            _settle(system, log)
        receipts = [log.forgets.receipt(one) for one in asked]
    write_json(json, {"tenant": tenant, "receipts": [_receipt(receipt) for receipt in receipts]})
    for receipt in receipts:
        done = _receipt(receipt)
        count = done.pop("documents")
        name = done.pop("document_id") or f"{count} documents"
        human(json).print(printable(name), markup=False, style="bold")
        for stage, at in done.items():
            human(json).print(f"  {stage:<11}{at or 'not yet'}")


@app.command("retry")
def retry(
    tenant: TenantOption,
    drop: Annotated[bool, typer.Option("--drop", help="Strike them off the list instead.")] = False,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Read the sources again that could not be read; the rest of an ingest follows.

    What came over standard input or from a topic cannot be read again and stays on the list.
    """
    from mplus_ray.pipeline.sources import read_again
    from mplus_ray.services.cli.documents.ingest import IngestOrder, carry_out
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    began = time.monotonic()
    with Embedded(Settings.read(data, checkpoint), write_only=True) as system:
        log = system.existing_tenant(tenant)
        failures = log.failures.list()
        if drop:
            for failure in failures:
                log.failures.clear(failure.source)
            failures = []
        source = read_again(failures) if failures else None
        carry_out(system, IngestOrder(tenant, source), began, json)


def find_key(log: TenantLog, text: str, forgotten: bool = False) -> str:
    """The id of a document that was named by its id or by the path it came from.

    Args:
        forgotten: also find those that are gone, to ask for their receipts.

    Raises:
        DocumentNotFoundError: the tenant has none.
    """
    from mplus_ray.model.errors import DocumentNotFoundError
    from mplus_ray.pipeline.ledger.documents.documents import unknown_document

    gone = [request.receipt.document for request in log.forgets.list()] if forgotten else []
    for key in (text, str(Path(text).resolve())):
        try:
            return log.document(key).key
        except DocumentNotFoundError:
            if key in gone:
                return key
    raise unknown_document(text)


def _settle(system: Embedded, log: TenantLog) -> None:
    """Carry out all forgetting, showing what is memorized again for it."""
    from mplus_ray.pipeline.maintenance.rebuild import carry_out_forgets
    from mplus_ray.services.cli.output import stderr
    from mplus_ray.services.cli.progress import memorizing

    log.tenant.check_fingerprint(system.model.fingerprint)
    with memorizing(stderr(), log.tenant.name) as bar:
        carry_out_forgets(system.engine, log, bar.step, bar.expect)


def _as_json(document: Document) -> dict[str, Any]:
    from mplus_ray.services.moments import iso

    return {
        "id": document.key,
        "title": document.title,
        "source": document.source,
        "state": document.state,
        "first_step": document.first_step + 1,
        "end_step": document.end,
        "tokens": document.tokens,
        "sha256": document.sha256,
        "created": iso(document.created),
        "memorized": iso(document.memorized),
    }


def _failure(source: str, reason: str) -> dict[str, str]:
    return {"source": source, "reason": reason}


def _receipt(receipt: Receipt) -> dict[str, Any]:
    from mplus_ray.services.moments import iso

    stages = ("requested", "masked", "rebuilt", "purged")
    times = {stage: iso(getattr(receipt, stage)) for stage in stages}
    of = {"document_id": receipt.document or None, "documents": receipt.documents}
    return {"receipt": receipt.id, **of, "reason": receipt.reason, **times}
