"""`mplus keys`: who may use the query service, and for whose memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mplus_ray.services.cli.options import DataOption, JsonOption

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.api_keys import Credentials, Key
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog
    from mplus_ray.services.embedded import Embedded

app = typer.Typer(help="Create, list, revoke and rotate keys.", no_args_is_help=True)

OwnerOption = Annotated[
    str | None,
    typer.Option("--tenant", "-t", metavar="NAME", help="Whose key it is.", show_default=False),
]
OperatorOption = Annotated[
    bool, typer.Option("--operator", help="The operator's, who manages tenants.")
]
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="As `list` shows it.", show_default=False)
]
_COLUMNS = ("id", "name", "scopes", "created", "expires", "used", "revoked")
_SPAN = re.compile(r"(\d{1,6})([dhm])", re.ASCII)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0}


@app.callback()
def keys() -> None:
    """Keys of the query service: `Authorization: Bearer mplus_…`."""


@app.command("create")
def create(
    tenant: OwnerOption = None,
    operator: OperatorOption = False,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            metavar="NAME",
            help="query, ingest or admin, as often as wanted; by default query and ingest.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="For people.", show_default=False)] = "",
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|SPAN",
            help="2027-01-31T12:00, or 90d, 12h, 30m from now; by default never.",
            show_default=False,
        ),
    ] = None,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Make a key. It is shown once: what is kept opens nothing."""
    scopes = scope or (["operator"] if operator else ["query", "ingest"])
    with _credentials(data, tenant, operator, make=True) as (credentials, owner):
        made = credentials.create(owner, scopes, name, _moment(expires))
    _show_secret(*made, json)


@app.command("list")
def list_keys(
    tenant: OwnerOption = None,
    operator: OperatorOption = False,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Keys with when they were used last, to the minute; also those that are revoked."""
    from rich.table import Table
    from rich.text import Text

    from mplus_ray.services.cli.output import human, write_json

    with _credentials(data, tenant, operator) as (credentials, owner):
        rows = [_as_json(key) for key in credentials.list(owner)]
    write_json(json, {"keys": rows})
    table = Table(*_COLUMNS, box=None)
    for row in rows:
        shown = {**row, "scopes": " ".join(row["scopes"])}
        table.add_row(*(Text(shown[column] or "") for column in _COLUMNS))
    human(json).print(table if rows else "no keys")


@app.command("revoke")
def revoke(
    key: IdArgument,
    tenant: OwnerOption = None,
    operator: OperatorOption = False,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Refuse a key from now on, everywhere."""
    from mplus_ray.services.cli.output import human, write_json

    with _credentials(data, tenant, operator) as (credentials, owner):
        gone = credentials.revoke(owner, key)
    write_json(json, _as_json(gone))
    human(json).print(f"{gone.id} is refused from now on", markup=False)


@app.command("rotate")
def rotate(
    key: IdArgument,
    tenant: OwnerOption = None,
    operator: OperatorOption = False,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Make a key with the same scopes, and refuse the old one from now on."""
    with _credentials(data, tenant, operator) as (credentials, owner):
        made = credentials.rotate(owner, key)
    _show_secret(*made, json)


@contextmanager
def _credentials(
    data: Path | None, tenant: str | None, operator: bool, make: bool = False
) -> Iterator[tuple[Credentials, TenantLog | None]]:
    """The keys of a data directory, and whose are meant; see `_owner`."""
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data)) as system:
        owner = _owner(system, tenant, operator, make)  # before a ledger is made
        yield system.ledger.credentials, owner


def _owner(
    system: Embedded, tenant: str | None, operator: bool, make: bool = False
) -> TenantLog | None:
    """The tenant that was named; None is the operator.

    Args:
        make: a data directory, if there is none; looking makes none.
    """
    from mplus_ray.model.errors import InvalidInputError, KeyNotFoundError

    if (tenant is None) == (not operator):
        raise InvalidInputError("whose key? give --tenant NAME, or --operator")
    if tenant is not None:
        return system.existing_tenant(tenant)
    if not make and not system.settings.exists:
        raise KeyNotFoundError(
            f"{system.settings.data} holds no keys; `mplus keys create --operator` makes one"
        )
    return None


def _moment(text: str | None) -> float | None:
    """A time, or a span from now, as seconds since the epoch."""
    from mplus_ray.pipeline.ledger.tenant_scope import now
    from mplus_ray.pipeline.parsing.details import parse_time

    if text is None:
        return None
    span = _SPAN.fullmatch(text)
    return now() + int(span[1]) * _SECONDS[span[2]] if span else parse_time(text)


def _show_secret(key: Key, text: str, json: str | None) -> None:
    from mplus_ray.services.cli.output import human, stderr, write_json

    write_json(json, {**_as_json(key), "key": text})
    human(json).print(text, markup=False)
    stderr().print(f"{key.id}: keep it now, it cannot be shown again", markup=False)


def _as_json(key: Key) -> dict[str, Any]:
    from mplus_ray.services.moments import iso

    times = {name: iso(getattr(key, name)) for name in ("created", "expires", "used", "revoked")}
    return {"id": key.id, "name": key.name, "scopes": sorted(key.scopes), **times}
