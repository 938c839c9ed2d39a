"""`mplus webhooks`: where a tenant is told what happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mplus_ray.services.cli.options import DataOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog
    from mplus_ray.pipeline.ledger.webhooks.webhooks import Delivery, Webhook
    from mplus_ray.services.settings import Settings

app = typer.Typer(
    help="Create, list, change, test and delete webhooks; a running service tells them.",
    no_args_is_help=True,
)

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="As `list` shows it.", show_default=False)
]
EventOption = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="KIND",
        help="What it is told of, as often as wanted: job.finished, forget.requested, forget.done, "
        "document.failed, webhook.test; by default all.",
        show_default=False,
    ),
]
UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Another one.", show_default=False)
]
_ID = 32  # characters of an id
_WEBHOOK = ("id", "url", "events", "enabled", "reason", "failing_since")
_DELIVERY = ("id", "type", "state", "attempts", "next_attempt", "status", "error")


@app.command("create")
def create(
    url: Annotated[str, typer.Argument(help="https://…", show_default=False)],
    tenant: TenantOption,
    event: EventOption = None,
    description: Annotated[str, typer.Option(help="For people.", show_default=False)] = "",
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Make a webhook. The secret that it verifies events with is shown once."""
    from mplus_ray.pipeline.ledger.webhooks.webhooks import MOST

    with _opened(data, tenant) as (log, settings):
        settings.webhook_hosts.check_url(url)
        most = log.tenant.max_webhooks
        made = log.webhooks.create(url, event or (), description, MOST if most is None else most)
    _show_secret(*made, json)


@app.command("list")
def list_webhooks(tenant: TenantOption, data: DataOption = None, json: JsonOption = None) -> None:
    """Webhooks, and why the service disabled those that it did."""
    with _opened(data, tenant) as (log, _):
        rows = [_as_json(each) for each in log.webhooks.list()]
    _show_table(_WEBHOOK, rows, json, "webhooks")


@app.command("set")
def change(
    webhook: IdArgument,
    tenant: TenantOption,
    url: UrlOption = None,
    event: EventOption = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it is told.")
    ] = None,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Change what is given; enabled again, it goes on with what waits."""
    with _opened(data, tenant) as (log, settings):
        if url is not None:
            settings.webhook_hosts.check_url(url)
        changed = log.webhooks.update(webhook, url=url, events=event, enabled=enabled)
    _show_table(_WEBHOOK, [_as_json(changed)], json, "webhooks")


@app.command("delete")
def delete(
    webhook: IdArgument, tenant: TenantOption, data: DataOption = None, json: JsonOption = None
) -> None:
    """Take a webhook away, with what it was to be told."""
    from mplus_ray.services.cli.output import human, write_json

    with _opened(data, tenant) as (log, _):
        gone = log.webhooks.delete(webhook)
    write_json(json, _as_json(gone))
    human(json).print(f"{gone.id} is told nothing from now on", markup=False)


@app.command("rotate")
def rotate(
    webhook: IdArgument, tenant: TenantOption, data: DataOption = None, json: JsonOption = None
) -> None:
    """Make a new secret; for a day events are signed with the old one as well."""
    with _opened(data, tenant) as (log, _):
        made = log.webhooks.rotate(webhook)
    _show_secret(*made, json)


@app.command("test")
def send_test(
    webhook: IdArgument, tenant: TenantOption, data: DataOption = None, json: JsonOption = None
) -> None:
    """Have a running service send an event that is only a test."""
    with _opened(data, tenant) as (log, _):
        made = log.webhooks.test(webhook)
    _show_table(_DELIVERY, [_delivery_as_json(made)], json, "deliveries")


@app.command("deliveries")
def deliveries(
    webhook: IdArgument,
    tenant: TenantOption,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many at most.")] = 50,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """What it was told in the last week, the newest first."""
    with _opened(data, tenant) as (log, _):
        rows = [_delivery_as_json(each) for each in log.webhooks.deliveries(webhook, limit)]
    _show_table(_DELIVERY, rows, json, "deliveries")


@app.command("redeliver")
def redeliver(
    webhook: IdArgument,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="As `deliveries` shows it.")],
    tenant: TenantOption,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Have a running service send an event again."""
    with _opened(data, tenant) as (log, _):
        again = log.webhooks.redeliver(webhook, delivery)
    _show_table(_DELIVERY, [_delivery_as_json(again)], json, "deliveries")


@contextmanager
def _opened(data: Path | None, tenant: str) -> Iterator[tuple[TenantLog, Settings]]:
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    with Embedded(Settings.read(data)) as system:
        yield system.existing_tenant(tenant), system.settings


def _show_secret(webhook: Webhook, secret: str, json: str | None) -> None:
    from mplus_ray.services.cli.output import human, stderr, write_json

    write_json(json, {"webhook": _as_json(webhook), "secret": secret})
    human(json).print(secret, markup=False)
    stderr().print(f"{webhook.id}: keep the secret now, it is not shown again", markup=False)


def _show_table(
    columns: tuple[str, ...], rows: list[dict[str, Any]], json: str | None, name: str
) -> None:
    from rich.table import Table
    from rich.text import Text

    from mplus_ray.services.cli.output import human, write_json

    write_json(json, {name: rows})
    table = Table(box=None)
    for column in columns:  # an id is for the next command, so it is never cut
        table.add_column(column, overflow="fold", min_width=_ID if column == "id" else None)
    for row in rows:
        shown = {key: " ".join(row[key]) if key == "events" else row[key] for key in columns}
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in shown.values()))
    human(json).print(table if rows else f"no {name}")


def _as_json(webhook: Webhook) -> dict[str, Any]:
    from mplus_ray.services.api.routes.webhooks import to_info

    return to_info(webhook).model_dump()


def _delivery_as_json(delivery: Delivery) -> dict[str, Any]:
    from mplus_ray.services.api.routes.webhooks import to_delivery

    return to_delivery(delivery).model_dump()
