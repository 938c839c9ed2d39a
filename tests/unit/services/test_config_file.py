"""The configuration file: behind the environment, before the defaults, and never ignored."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mplus_ray.model.checkpoint.prepared import cache_root
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services import logs
from mplus_ray.services.cli import app as cli
from mplus_ray.services.cli.config import settings_of
from mplus_ray.services.config_file import export_cache
from mplus_ray.services.settings import Settings


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which a file is looked for at `tmp_path/mplus/config.toml`."""
    (tmp_path / "mplus").mkdir()
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def write(environment: dict[str, str], text: str) -> Path:
    path = Path(environment["XDG_CONFIG_HOME"]) / "mplus" / "config.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_file_comes_before_the_defaults(environment: dict[str, str]) -> None:
    write(environment, 'data = "/srv/mplus"\ncheckpoint = "org/name"\ncache_bytes = 1024\n')
    settings = Settings.read(environment=environment)
    assert (settings.data, settings.checkpoint) == (Path("/srv/mplus"), "org/name")
    assert settings.ledger_url == "sqlite:////srv/mplus/ledger.db"
    assert settings.cache_bytes == 1024


def test_the_environment_and_options_come_before_the_file(environment: dict[str, str]) -> None:
    write(environment, 'data = "/srv/mplus"\ncheckpoint = "org/name"\n')
    environment |= {"MPLUS_DATA": "/env"}
    assert Settings.read(environment=environment).data == Path("/env")
    settings = Settings.read(Path("/option"), environment=environment)
    assert (settings.data, settings.checkpoint) == (Path("/option"), "org/name")
    environment |= {"MPLUS_CHECKPOINT": ""}  # set to nothing is not set
    assert Settings.read(environment=environment).checkpoint == "org/name"


def test_a_file_somewhere_else_is_named(tmp_path: Path, environment: dict[str, str]) -> None:
    write(environment, 'data = "/not/this"\n')
    other = tmp_path / "other.toml"
    other.write_text('data = "~/memories"\n')
    environment |= {"MPLUS_CONFIG": str(other)}
    assert Settings.read(environment=environment).data == Path.home() / "memories"
    other.unlink()
    with pytest.raises(InvalidInputError, match=r"other\.toml, which MPLUS_CONFIG names"):
        Settings.read(environment=environment)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("data = ", "is not TOML"),
        ('dat = "x"', "has dat; what can be set is data, checkpoint"),
        ("[data]\nx = 1", "data is {'x': 1}; give a string"),
        ('data = ""', "give a string that is not empty"),
        ('cache_bytes = "4G"', "cache_bytes is '4G'; give a number of bytes"),
        ("cache_bytes = true", "give a number of bytes"),
        ("cache_bytes = -1", "-1"),
    ],
)
def test_what_cannot_be_is_refused(environment: dict[str, str], text: str, why: str) -> None:
    write(environment, text)
    with pytest.raises(InvalidInputError) as refused:
        Settings.read(environment=environment)
    assert why in str(refused.value)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in logs.OURS]
    handlers, levels = list(root.handlers), [one.level for one in (root, *ours)]
    yield
    root.handlers = handlers
    for one, level in zip((root, *ours), levels, strict=True):
        one.setLevel(level)


@pytest.mark.usefixtures("logging_as_before")
def test_logs_go_by_it_too(environment: dict[str, str]) -> None:
    write(environment, 'log = "json"\n')
    assert isinstance(logs.configure(environment).formatter, logs.JsonFormatter)
    environment |= {"MPLUS_LOG": "human"}
    assert isinstance(logs.configure(environment).formatter, logs.HumanFormatter)
    write(environment, 'log = "xml"\n')
    del environment["MPLUS_LOG"]
    with pytest.raises(InvalidInputError, match="xml"):
        logs.configure(environment)


def test_each_setting_says_where_it_is_from(environment: dict[str, str]) -> None:
    path = write(environment, 'checkpoint = "org/name"\nlog = "json"\n')
    environment |= {"MPLUS_LEDGER_URL": "postgresql+psycopg://me:secret@host/db"}
    found = {one.name: one for one in settings_of(Path("/option"), None, environment)}
    assert {name: one.origin for name, one in found.items()} == {
        "data": "--data",
        "checkpoint": str(path),
        "ledger_url": "$MPLUS_LEDGER_URL",
        "store_url": "default",
        "cache_bytes": "default",
        "cache": "default",
        "cors_origins": "default",
        "cors_credentials": "default",
        "webhook_hosts": "default",
        "log": str(path),
        "log_level": "default",
    }
    assert found["log_level"].value == "info"
    assert "secret" not in str(found)


class TestCacheOfCheckpoints:
    def test_the_file_says_where(self, environment: dict[str, str]) -> None:
        path = write(environment, 'cache = "~/models"\n')
        (found,) = (s for s in settings_of(None, None, environment) if s.name == "cache")
        assert (found.value, found.origin) == (str(Path.home() / "models"), str(path))

    def test_the_variable_comes_before_it(self, environment: dict[str, str]) -> None:
        write(environment, 'cache = "/of/the/file"\n')
        environment |= {"MPLUS_CACHE": "/of/the/variable"}
        (found,) = (s for s in settings_of(None, None, environment) if s.name == "cache")
        assert (found.value, found.origin) == ("/of/the/variable", "$MPLUS_CACHE")
        export_cache(environment)
        assert environment["MPLUS_CACHE"] == "/of/the/variable"

    def test_a_command_and_what_it_starts_go_by_it(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(environment, 'cache = "/of/the/file"\n')
        monkeypatch.setenv("MPLUS_CACHE", "")
        monkeypatch.setenv("XDG_CONFIG_HOME", environment["XDG_CONFIG_HOME"])
        shown = CliRunner().invoke(cli.app, ["config", "--json", "-"])
        assert json.loads(shown.stdout)["settings"]["cache"] == {
            "value": "/of/the/file",
            "from": str(Path(environment["XDG_CONFIG_HOME"]) / "mplus" / "config.toml"),
        }
        assert CliRunner().invoke(cli.app, ["tenants", "list"]).exit_code == 0
        assert cache_root() == Path("/of/the/file")

    def test_it_is_a_folder(self, environment: dict[str, str]) -> None:
        write(environment, "cache = 3\n")
        with pytest.raises(InvalidInputError, match="cache is 3; give a string"):
            export_cache(environment)


def test_the_command_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLUS_CHECKPOINT", "org/shown")
    done = CliRunner().invoke(cli.app, ["config"])
    assert done.exit_code == 0, done.output
    assert "org/shown" in done.output
    assert "$MPLUS_CHECKPOINT" in done.output


def test_the_version_is_the_package_s() -> None:
    from mplus_ray import __version__

    assert CliRunner().invoke(cli.app, ["--version"]).output == f"mplus {__version__}\n"
