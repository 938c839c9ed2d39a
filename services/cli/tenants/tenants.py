"""`mplus tenants`: who has a memory here, and how large it may become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mplus_ray.services.cli.options import CheckpointOption, DataOption, JsonOption
from mplus_ray.services.cli.tenants.limits import takes_limits

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.tenant import Tenant

app = typer.Typer(help="Create, list, change and delete tenants.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
_COLUMNS = ("tenant", "documents", "chunks", "tokens", "step", "bytes")


@app.callback()
def tenants() -> None:
    """Tenants and how much each has taken in."""


@app.command("list")
def list_tenants(data: DataOption = None, json: JsonOption = None) -> None:
    """Every tenant with its documents, chunks, tokens, memorized steps and bytes of rows."""
    from rich.table import Table
    from rich.text import Text

    from mplus_ray.services.cli.output import human, say_absent, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    settings = Settings.read(data=data)
    say_absent(settings)
    summaries = []
    if settings.exists:  # looking makes no data directory
        with Embedded(settings) as system:
            summaries = system.ledger.tenants()
    rows = [
        {
            "tenant": summary.tenant.name,
            "documents": summary.documents,
            "chunks": summary.chunks,
            "tokens": summary.tokens,
            "step": summary.step,
            "bytes": summary.nbytes,
            **_settings(summary.tenant),
        }
        for summary in summaries
    ]
    write_json(json, {"tenants": rows})
    table = Table(*_COLUMNS, box=None)
    for row in rows:
        table.add_row(*(Text(str(row[column])) for column in _COLUMNS))
    human(json).print(table if rows else f"no tenants in {settings.data}")


@app.command("create")
@takes_limits
def create(
    name: NameArgument,
    limits: Any,
    seed: Annotated[
        int | None, typer.Option(help="By default a hash of the name.", show_default=False)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What rows are kept in: bfloat16 (the default), float32, float16 or int8.",
            show_default=False,
        ),
    ] = None,
    retention: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="checkpoint (the default): old rows go as the model was trained; or unbounded.",
            show_default=False,
        ),
    ] = None,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Make a tenant. Seed, precision and retention are for life; `set` changes the rest."""
    from mplus_ray.model.errors import InvalidInputError, TenantNotFoundError
    from mplus_ray.services.cli.output import human, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data, checkpoint), write_only=True) as system:
        try:
            system.existing_tenant(name)
        except TenantNotFoundError:
            own = {"seed": seed, "precision": precision, "retention": retention, **limits}
            tenant = system.create_tenant(name, **own).tenant
        else:
            raise InvalidInputError(
                f"there is a tenant {name!r} already; `mplus tenants set` changes its limits"
            )
    write_json(json, {"tenant": name, **_settings(tenant)})
    human(json).print(f"{name}: {tenant.precision} rows, seed {tenant.seed}", markup=False)


@app.command("set")
@takes_limits
def set_limits(
    name: NameArgument,
    limits: Any,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Change what is given, `none` to lift a limit; what the tenant has stays."""
    from mplus_ray.pipeline.ledger.tenant import LIMITS
    from mplus_ray.services.cli.output import human, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data)) as system:
        system.existing_tenant(name).set_limits(**limits)
        tenant = system.ledger.tenant(name).tenant
    settings = _settings(tenant)
    write_json(json, {"tenant": name, **settings})
    for field in LIMITS:
        value = settings[field]
        human(json).print(f"{field:<22}{_shown(value)}", markup=False)


@app.command("delete")
def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Take a tenant away with its documents, its memory and its text. There is no way back."""
    from mplus_ray.pipeline.maintenance.tenant_lifecycle import delete as delete_tenant
    from mplus_ray.services.cli.output import human, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data)) as system:
        log = system.existing_tenant(name)
        if not yes:
            typer.confirm(
                f"Delete {name} with {len(log.documents())} documents, for good?",
                abort=True,
                err=True,
            )
        delete_tenant(system.stores, name)
    write_json(json, {"tenant": name, "deleted": True})
    human(json).print(f"{name} is gone", markup=False)


def _shown(value: float | Mapping[str, Any] | None) -> str:
    if isinstance(value, Mapping):
        return dumps(value, separators=(",", ":"), ensure_ascii=False)
    return "none" if value is None else f"{value:g}"


def _settings(tenant: Tenant) -> dict[str, Any]:
    from mplus_ray.pipeline.ledger.tenant import LIMITS

    shown = ("fingerprint", "seed", "precision", "retention")
    fields = asdict(tenant)
    return {name: fields[name] for name in (*shown, *LIMITS)}
