"""The configuration file, TOML, beside the environment variables: the same settings by name.

`$MPLUS_CONFIG`, or `mplus/config.toml` in the user's configuration directory (XDG_CONFIG_HOME, or
~/.config). A variable that is set comes before the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from mplus_ray.model.errors import InvalidInputError

# What may stand in the file, and the variable that says the same.
VARIABLES = {
    "data": "MPLUS_DATA",
    "checkpoint": "MPLUS_CHECKPOINT",
    "ledger_url": "MPLUS_LEDGER_URL",
    "store_url": "MPLUS_STORE_URL",
    "cache_bytes": "MPLUS_CACHE_BYTES",
    "cache": "MPLUS_CACHE",
    "cors_origins": "MPLUS_CORS_ORIGINS",
    "cors_credentials": "MPLUS_CORS_CREDENTIALS",
    "webhook_hosts": "MPLUS_WEBHOOK_HOSTS",
    "log": "MPLUS_LOG",
    "log_level": "MPLUS_LOG_LEVEL",
}
_FOLDERS = ("data", "checkpoint", "cache")  # which may begin with ~


def config_path(environment: Mapping[str, str]) -> Path:
    """Where the file is, or would be."""
    if named := environment.get("MPLUS_CONFIG"):
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "mplus" / "config.toml"


def read_config(environment: Mapping[str, str]) -> dict[str, str]:
    """What the file says, by the variables' names; empty if there is none.

    Raises:
        InvalidInputError: it cannot be read, is not TOML, or has a setting that does not exist;
            also if MPLUS_CONFIG names a file that is not there.
    """
    path = config_path(environment)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if environment.get("MPLUS_CONFIG"):
            raise InvalidInputError(
                f"there is no file {path}, which MPLUS_CONFIG names; make it or unset the variable"
            ) from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from error
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"{path} is not TOML: {error}") from error
    return {VARIABLES[name]: _text(path, name, value) for name, value in _known(path, found)}


def with_config(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, completed by the file.

    Raises:
        InvalidInputError: as `read_config`.
    """
    given = {name: value for name, value in environment.items() if value}
    return {**read_config(environment), **given}


def export_cache(environment: MutableMapping[str, str]) -> None:
    """Set MPLUS_CACHE to what the file says of it, unless it is set.

    Models are prepared below `services`, and by processes that this one starts: both go by the
    variable.

    Raises:
        InvalidInputError: as `read_config`.
    """
    variable = VARIABLES["cache"]
    if found := with_config(environment).get(variable):
        environment[variable] = found


def _known(path: Path, found: Mapping[str, object]) -> list[tuple[str, object]]:
    unknown = sorted(found.keys() - VARIABLES.keys())
    if unknown:
        raise InvalidInputError(
            f"{path} has {', '.join(unknown)}; what can be set is {', '.join(VARIABLES)}"
        )
    return list(found.items())


def _text(path: Path, name: str, value: object) -> str:
    if name == "cache_bytes":
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidInputError(f"{path}: cache_bytes is {value!r}; give a number of bytes")
        return str(value)
    if name == "cors_credentials" and isinstance(value, bool):
        return str(value).lower()
    if name in ("cors_origins", "webhook_hosts") and isinstance(value, list):
        return ",".join(str(each) for each in value)
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f"{path}: {name} is {value!r}; give a string that is not empty")
    return str(Path(value).expanduser()) if name in _FOLDERS and value[0] == "~" else value
