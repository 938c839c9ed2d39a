"""`mplus config`: what is set, and from where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from mplus_ray.services.cli.options import CheckpointOption, DataOption, JsonOption
from mplus_ray.services.config_file import VARIABLES, config_path, read_config, with_config
from mplus_ray.services.settings import Settings

_LOGS = {"log": "human", "log_level": "warning"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: as in the configuration file.
        value: as it is shown: without passwords.
        origin: an option, a variable, the file, or `default`.
    """

    name: str
    value: str
    origin: str


def config(
    data: DataOption = None, checkpoint: CheckpointOption = None, json: JsonOption = None
) -> None:
    """Show every setting and where it comes from: an option, a variable, the file, or a default."""
    from mplus_ray.services.cli.output import human, write_json

    found = settings_of(data, checkpoint, os.environ)
    path = config_path(os.environ)
    shown = {one.name: {"value": one.value, "from": one.origin} for one in found}
    write_json(json, {"file": str(path), "file_exists": path.exists(), "settings": shown})
    table = Table("setting", "value", "from", box=None)
    for one in found:
        table.add_row(one.name, one.value, one.origin)
    human(json).print(table)
    human(json).print(f"file: {path}" + ("" if path.exists() else " (there is none)"), markup=False)


def settings_of(
    data: Path | None, checkpoint: str | None, environment: Mapping[str, str]
) -> list[Setting]:
    """Every setting as a command would take it.

    Raises:
        InvalidInputError: the file or a variable says what cannot be.
    """
    from mplus_ray.model.checkpoint.prepared import cache_root
    from mplus_ray.pipeline.ledger.database import shown_ledger
    from mplus_ray.pipeline.reports.status import shown_store

    settings = Settings.read(data, checkpoint, environment)
    file = read_config(environment)
    options = {"data": data, "checkpoint": checkpoint}
    values: dict[str, Any] = {
        "data": settings.data,
        "checkpoint": settings.checkpoint,
        "ledger_url": shown_ledger(settings.ledger_url),
        "store_url": shown_store(settings.store_url),
        "cache_bytes": settings.cache_bytes,
        "cache": cache_root(with_config(environment)),
        "cors_origins": ",".join(settings.cross_origin.origins) or "none",
        "webhook_hosts": ",".join(sorted(settings.webhook_hosts.allowed)) or "none",
        "cors_credentials": str(settings.cross_origin.credentials).lower(),
    }

    def origin(name: str) -> str:
        variable = VARIABLES[name]
        if options.get(name) is not None:
            return f"--{name}"
        if environment.get(variable):
            return f"${variable}"
        return str(config_path(environment)) if variable in file else "default"

    for name, default in _LOGS.items():
        variable = VARIABLES[name]
        values[name] = environment.get(variable) or file.get(variable) or default
    if origin("log_level") == "default" and values["log"] == "json":
        values["log_level"] = "info"
    return [Setting(name, str(value), origin(name)) for name, value in values.items()]
