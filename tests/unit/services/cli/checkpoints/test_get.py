"""`mplus get`: what it prints, and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mplus_ray.model.checkpoint.hub import find_checkpoint
from mplus_ray.model.errors import CheckpointError
from mplus_ray.services.cli import app as cli
from mplus_ray.services.cli.serve import _check_checkpoint
from tests.gguf_files import pin_of, write_shipped, write_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wheel(tmp_path_factory.mktemp("index"))


@pytest.fixture
def little(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MPLUS_CACHE", str(tmp_path / "cache"))
    write_shipped(tmp_path / "mplus-little", pin_of(wheel))
    return tmp_path / "mplus-little"


def test_it_tells_where_the_complete_checkpoint_is(little: Path, wheel: Path) -> None:
    line = ["get", str(little), "--file", str(wheel), "--json", "-"]
    done = CliRunner().invoke(cli.app, line)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "checkpoint": str(find_checkpoint(str(little))),
        "removed": [],
    }
    assert "dequantizing tiny.Q8_0.gguf" in done.stderr
    assert f"mplus-little is complete: --checkpoint {little}" in done.stderr.replace("\n", "")
    assert _check_checkpoint(str(little)) == "mplus-little"


def test_prune_removes_what_was_made_before(little: Path, wheel: Path) -> None:
    CliRunner().invoke(cli.app, ["get", str(little), "--file", str(wheel)])
    old = find_checkpoint(str(little))
    write_shipped(little, pin_of(wheel), seed=1)
    done = CliRunner().invoke(cli.app, ["get", str(little), "--prune", "--json", "-"])
    assert json.loads(done.stdout)["removed"] == [str(old)]
    assert not old.exists()
    assert find_checkpoint(str(little)).is_dir()


def test_one_that_has_its_backbone_needs_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["get", "mplus-tiny", "--json", "-"])
    assert json.loads(done.stdout)["checkpoint"] == str(find_checkpoint("tiny"))
    done = CliRunner().invoke(cli.app, ["get", "tiny", "--file", str(tmp_path / "x.whl")])
    assert isinstance(done.exception, CheckpointError)
    assert "mplus-tiny is complete as it is; --file" in str(done.exception)


def test_a_name_that_is_none() -> None:
    done = CliRunner().invoke(cli.app, ["get", "huge"])
    assert isinstance(done.exception, CheckpointError)
    assert "there is no checkpoint huge to get; there are mplus-" in str(done.exception)
