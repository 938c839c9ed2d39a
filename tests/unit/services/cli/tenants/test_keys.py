"""`mplus keys`: a key is shown once, and opens what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mplus_ray.model.errors import (
    InvalidInputError,
    KeyNotFoundError,
    MPlusError,
    TenantNotFoundError,
    UnauthorizedError,
)
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.services.cli import app as cli


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def ledger(data: Path) -> Iterator[Ledger]:
    data.mkdir()
    opened = Ledger(f"sqlite:///{data / 'ledger.db'}")
    opened.create_tenant("anna", "f1")
    yield opened
    opened.close()


def run(data: Path, *line: str) -> dict[str, Any]:
    """What `mplus keys …` writes as JSON."""
    done = CliRunner().invoke(cli.app, ["keys", *line, "--data", str(data), "--json", "-"])
    if isinstance(done.exception, MPlusError):
        raise done.exception
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_from_creation_to_the_end(data: Path, ledger: Ledger) -> None:
    made = run(data, "create", "-t", "anna", "--name", "laptop", "--expires", "90d")
    key = ledger.credentials.verify(made["key"])[0]
    assert (key.id, key.name, sorted(key.scopes)) == (made["id"], "laptop", ["ingest", "query"])
    assert ledger.log_of(str(key.tenant)).tenant.name == "anna"
    assert key.expires == pytest.approx(key.created + 90 * 86400, abs=60)
    rotated = run(data, "rotate", made["id"], "-t", "anna")
    with pytest.raises(UnauthorizedError):
        ledger.credentials.verify(made["key"])
    assert ledger.credentials.verify(rotated["key"])[0].expires == key.expires
    assert run(data, "revoke", rotated["id"], "-t", "anna")["revoked"]
    with pytest.raises(UnauthorizedError):
        ledger.credentials.verify(rotated["key"])
    listed = run(data, "list", "-t", "anna")["keys"]
    assert [row["id"] for row in listed] == [made["id"], rotated["id"]]
    assert all("key" not in row for row in listed)


def test_the_operators_make_a_data_directory(data: Path) -> None:
    made = run(data, "create", "--operator")
    assert made["scopes"] == ["operator"]
    assert [row["id"] for row in run(data, "list", "--operator")["keys"]] == [made["id"]]
    with pytest.raises(TenantNotFoundError):
        run(data, "list", "-t", "anna")


def test_scopes_are_given_one_by_one(data: Path, ledger: Ledger) -> None:
    line = ("create", "-t", "anna", "--scope", "admin", "--scope", "query")
    assert run(data, *line)["scopes"] == ["admin", "query"]
    with pytest.raises(InvalidInputError, match="root"):
        run(data, "create", "-t", "anna", "--scope", "root")


@pytest.mark.parametrize("text", ["soon", "90", "-1d", "2001-01-01"])
def test_an_impossible_time(data: Path, ledger: Ledger, text: str) -> None:
    with pytest.raises(InvalidInputError):
        run(data, "create", "-t", "anna", f"--expires={text}")


@pytest.mark.parametrize("owner", [[], ["--operator", "-t", "anna"]])
@pytest.mark.parametrize("line", [["create"], ["list"], ["revoke", "x"], ["rotate", "x"]])
def test_whose_key_has_to_be_said(
    data: Path, ledger: Ledger, line: list[str], owner: list[str]
) -> None:
    with pytest.raises(InvalidInputError, match="whose key"):
        run(data, *line, *owner)


@pytest.mark.parametrize("line", [["list"], ["revoke", "x"], ["rotate", "x"]])
def test_looking_makes_no_data_directory(data: Path, line: list[str]) -> None:
    with pytest.raises(KeyNotFoundError, match="holds no keys"):
        run(data, *line, "--operator")
    assert not data.exists()


def test_on_a_terminal_the_key_stands_alone(data: Path, ledger: Ledger) -> None:
    line = ["keys", "create", "-t", "anna", "--data", str(data)]
    done = CliRunner().invoke(cli.app, line)
    assert ledger.credentials.verify(done.stdout.strip())[0].name == ""
    assert "cannot be shown again" in done.stderr
    shown = CliRunner().invoke(cli.app, ["keys", "list", "-t", "anna", "--data", str(data)])
    assert "ingest query" in shown.stdout
