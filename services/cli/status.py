"""`mplus status`: who writes, what waits, and where the bytes are."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mplus_ray.services.cli.options import DataOption, JsonOption

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from mplus_ray.pipeline.ledger.backlog import Backlog
    from mplus_ray.pipeline.ledger.ledger import Ledger
    from mplus_ray.pipeline.reports.status import Tier
    from mplus_ray.services.settings import Settings

_REFRESH_SECONDS = 1.0


def status(
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", "-t", metavar="NAME", help="Only this one.", show_default=False),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again every second until Ctrl-C.")
    ] = False,
    data: DataOption = None,
    json: JsonOption = None,
) -> None:
    """Writers at work, tenants with what waits for each, the backlog, and bytes by tier."""
    import threading

    from mplus_ray.model.errors import InvalidInputError
    from mplus_ray.services.cli.interrupts import stopped_by_signals
    from mplus_ray.services.cli.output import human, say_absent, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

    if watch and json is not None:
        raise InvalidInputError("--watch is for people; call `mplus status --json` repeatedly")
    settings = Settings.read(data)
    say_absent(settings)
    with Embedded(settings) as system:
        if tenant is not None:
            system.existing_tenant(tenant)
        console = human(json)

        def look() -> dict[str, Any]:
            ledger = system.ledger if settings.exists else None  # looking makes none
            return _read(settings, ledger, tenant)

        if watch:
            stop = threading.Event()
            with stopped_by_signals(stop, wanted=True):
                follow(look, console, stop)
            return
        found = look()
    write_json(json, found)
    console.print(render(found))


def follow(look: Callable[[], dict[str, Any]], console: Console, stop: threading.Event) -> None:
    """Show what `look` finds, anew every second, until `stop` is set."""
    from rich.live import Live

    with Live(render(look()), console=console, auto_refresh=False) as live:
        while not stop.wait(_REFRESH_SECONDS):
            live.update(render(look()), refresh=True)


def render(found: dict[str, Any]) -> RenderableType:
    """The result as people read it."""
    from rich.console import Group

    backlog, tiers = found["backlog"], found["tiers"]
    waits = (
        f"{backlog['chunks']:,} chunks ({backlog['tokens']:,} tokens) of "
        f"{backlog['documents']:,} documents of {backlog['tenants']:,} tenants"
    )
    if backlog["chunks"]:
        waits += f", the oldest for {_seconds(backlog['oldest_seconds'])}"
    cache = tiers["cache"]
    lines = [
        _line("ledger", found["ledger"]),
        _line("store", f"{found['store']}: {_size(tiers['store'])}"),
        *([_line("cache", f"{_size(cache)}")] if cache["files"] else []),
        _line("waiting", waits),
    ]
    if backlog["forgets"]:
        lines.append(_line("to forget", f"{backlog['forgets']:,} requests"))
    return Group(*lines, *_writers(found["writers"]), *_tenants(found["tenants"]))


def _read(settings: Settings, ledger: Ledger | None, tenant: str | None) -> dict[str, Any]:
    from mplus_ray.pipeline.ledger.backlog import Backlog
    from mplus_ray.pipeline.ledger.database import shown_ledger
    from mplus_ray.pipeline.reports.status import (
        Status,
        Tier,
        read_status,
        shown_store,
    )

    if ledger is None:
        nothing = Tier(0, 0)
        found = Status((), (), Backlog(), nothing, nothing)
    else:
        found = read_status(ledger, settings.data / "cache", tenant)
    return {
        "ledger": shown_ledger(settings.ledger_url),
        "store": shown_store(settings.store_url),
        "writers": [asdict(writer) for writer in found.writers],
        "tenants": [{**asdict(t), "waiting": _waiting(t.waiting)} for t in found.tenants],
        "backlog": {"tenants": found.backlog.tenants, **_waiting(found.backlog)},
        "tiers": {"store": _tier(found.store), "cache": _tier(found.cache)},
    }


def _tier(tier: Tier) -> dict[str, int]:
    return {"files": tier.files, "bytes": tier.nbytes}


def _waiting(backlog: Backlog) -> dict[str, Any]:
    return {
        "documents": backlog.documents,
        "chunks": backlog.chunks,
        "tokens": backlog.tokens,
        "forgets": backlog.forgets,
        "oldest_seconds": round(backlog.oldest, 3),
    }


def _writers(writers: list[dict[str, Any]]) -> list[RenderableType]:
    from rich.table import Table

    if not writers:
        return []
    table = Table("writer", "tenants", "epoch", "lease", box=None)
    for writer in writers:
        held = writer["tenants"]
        soonest = min(each["expires_in"] for each in held)
        lease = "gone" if writer["gone"] else _lease(soonest)
        epochs = sorted({each["epoch"] for each in held})
        epoch = str(epochs[0]) if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
        names = ", ".join(each["tenant"] for each in held)
        table.add_row(_text(writer["owner"]), _text(names), epoch, lease)
    return ["", table]


def _tenants(tenants: list[dict[str, Any]]) -> list[RenderableType]:
    from rich.table import Table

    if not tenants:
        return ["", "no tenants"]
    columns: dict[str, list[str]] = {
        name: [f"{each[name]:,}" for each in tenants]
        for name in ("documents", "chunks", "tokens", "step")
    }
    columns["waiting"] = [f"{each['waiting']['chunks']:,}" for each in tenants]
    columns["since"] = [_since(each["waiting"]) for each in tenants]
    columns["store"] = [_nbytes(each["store_bytes"]) for each in tenants]
    # What is rare is there only when there is something to say.
    rare = {
        "cache": [_nbytes(each["cache_bytes"]) if each["cache_bytes"] else "" for each in tenants],
        "failed": [_unless_zero(each["failures"]) for each in tenants],
        "to forget": [_unless_zero(each["waiting"]["forgets"]) for each in tenants],
        "cold": ["cold" if each["cold"] else "" for each in tenants],
    }
    columns |= {name: cells for name, cells in rare.items() if any(cells)}
    table = Table("tenant", box=None)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for each, *cells in zip(tenants, *columns.values(), strict=True):
        table.add_row(_text(each["tenant"]), *cells)
    return ["", table]


def _line(name: str, value: str) -> RenderableType:
    return _text(f"{name:<10}{value}")


def _text(text: str) -> RenderableType:
    from rich.text import Text

    from mplus_ray.services.cli.output import printable

    return Text(printable(text))


def _size(tier: dict[str, Any]) -> str:
    return f"{_nbytes(tier['bytes'])} in {tier['files']:,} files"


def _nbytes(count: int) -> str:
    from rich.filesize import decimal

    return decimal(count)


def _since(waiting: dict[str, Any]) -> str:
    return _seconds(waiting["oldest_seconds"]) if waiting["chunks"] else ""


def _unless_zero(count: int) -> str:
    return f"{count:,}" if count else ""


def _lease(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 0 else f"overdue for {_seconds(-seconds)}"


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
