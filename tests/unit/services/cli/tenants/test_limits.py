"""Every limit of a tenant is an option of `mplus tenants create` and of `set`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.tenant import LIMITS
from mplus_ray.services.cli.tenants.tenants import app

ONE_OF_EACH = {
    **dict.fromkeys(LIMITS, "7"),
    "threshold": "0.5",
    "attribute_quotas": '{"session":{"max_documents":3},"metadata.of":{"max_bytes":null}}',
}


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def options(values: dict[str, str]) -> list[str]:
    given = []
    for name, value in values.items():
        given += [f"--{name.replace('_', '-')}", value]
    return given


def test_each_is_set_and_lifted(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "data")]
    run("create", "anna", *data)
    said = run("set", "anna", *options(ONE_OF_EACH), *data)
    shown = dict(line.split() for line in said.splitlines())
    assert shown == ONE_OF_EACH
    said = run("set", "anna", *options(dict.fromkeys(LIMITS, "none")), *data)
    assert {line.split()[1] for line in said.splitlines()} == {"none"}


def test_they_are_set_when_a_tenant_is_made(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "data")]
    run("create", "anna", *options(ONE_OF_EACH), *data)
    said = run("set", "anna", "--max-bytes", "none", *data)
    shown = dict(line.split() for line in said.splitlines())
    assert shown == {**ONE_OF_EACH, "max_bytes": "none"}


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        *(("--max-bytes", text, "a whole number") for text in ("-1", "1.5", "many", "", 2**63)),
        ("--threshold", "high", "a number from 0 to 1"),
        ("--attribute-quotas", "session=3", "an object as JSON"),
    ],
)
def test_what_is_no_limit_is_refused_by_its_option(
    tmp_path: Path, option: str, text: object, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=f"{option} {text}: give {said}"):
        run("create", "anna", f"{option}={text}", "--data", str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()
