"""`mplus tenants`: who has a memory here."""

from __future__ import annotations

import typer

from services.options import DataOption, JsonOption

app = typer.Typer(help="List tenants.", no_args_is_help=True)


@app.callback()
def tenants() -> None:
    """Tenants and the size of what they have taken in."""


@app.command("list")
def list_tenants(data: DataOption = None, json: JsonOption = None) -> None:
    """Every tenant with its documents, chunks and tokens."""
    from rich.table import Table

    from services.embedded import Embedded
    from services.output import human, write_json
    from services.settings import Settings

    settings = Settings.read(data=data)
    summaries = []
    if settings.ledger_path.exists():  # looking makes no data directory
        with Embedded(settings) as system:
            summaries = system.ledger.tenants()
    rows = [
        {
            "tenant": summary.tenant.name,
            "documents": summary.documents,
            "chunks": summary.chunks,
            "tokens": summary.tokens,
            "fingerprint": summary.tenant.fingerprint,
            "seed": summary.tenant.seed,
        }
        for summary in summaries
    ]
    write_json(json, {"tenants": rows})
    table = Table("tenant", "documents", "chunks", "tokens", box=None)
    for row in rows:
        table.add_row(*(str(row[column]) for column in ("tenant", "documents", "chunks", "tokens")))
    human(json).print(table if rows else f"no tenants in {settings.data}")
