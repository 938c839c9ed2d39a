"""The configuration for clusters as users run it: `serve deploy`, and a question over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

import tests.s3
from tests.integration.command import Command
from tests.integration.several_nodes import free_port, several_nodes
from tests.integration.tiny import make_tiny_checkpoint
from tests.paths import ROOT

if TYPE_CHECKING:  # pytest loads it as a plugin
    from tests.postgres import Postgres

pytest_plugins = ["tests.postgres"]
pytestmark = pytest.mark.timeout(600)
s3 = tests.s3.s3

_SERVE = Path(sys.executable).with_name("serve")
_SECONDS = 240.0
_TEXT = "The raven is black. The owl is brown. " * 20


@pytest.fixture
def mplus(tmp_path: Path, postgres: Postgres, s3: tests.s3.S3) -> Command:
    checkpoint = make_tiny_checkpoint(tmp_path / "checkpoint")
    places = {
        "MPLUS_LEDGER_URL": postgres.database(),
        "MPLUS_STORE_URL": s3.url(tmp_path.name),
        "MPLUS_CHECKPOINT": str(checkpoint),
        "RAY_AUTH_MODE": "disabled",
    }
    return Command(tmp_path / "data", checkpoint, places)


@pytest.fixture
def dashboard(mplus: Command) -> Iterator[str]:
    """Of a cluster whose nodes have the environment that the configuration speaks of."""
    port = free_port()
    with several_nodes(1, cpus=4, environment=mplus.environment, dashboard=port):
        yield f"http://127.0.0.1:{port}"


def _configuration(path: Path, port: int) -> Path:
    """The file that ships, in numbers that fit on this machine."""
    raw: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "serve" / "cluster.yaml").read_text())
    raw["http_options"] |= {"host": "127.0.0.1", "port": port}
    (app,) = raw["applications"]
    app["args"] |= {"largest": 1, "reader_cpus": 1, "reader_gpus": 0}
    app["args"] |= {"writer_cpus": 1, "writer_gpus": 0}
    (readers,) = app["deployments"]
    readers["user_config"]["host_bytes"] = 2**28
    path.write_text(yaml.safe_dump(raw))
    return path


def _serve(*words: str, address: str) -> str:
    """`serve …`, once its API answers."""
    deadline = time.monotonic() + _SECONDS
    while True:
        done = subprocess.run(
            [_SERVE, *words, "--address", address],
            env={**os.environ, "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout
        assert time.monotonic() < deadline, done.stderr
        time.sleep(1)


def _wait_until_it_runs(address: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        status = yaml.safe_load(_serve("status", address=address))
        app = status["applications"].get("mplus", {})
        if app.get("status") == "RUNNING":
            return
        assert app.get("status") != "DEPLOY_FAILED", app
        assert time.monotonic() < deadline, json.dumps(app)
        time.sleep(1)


def test_what_serve_deploys_answers(mplus: Command, dashboard: str, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "raven.txt").write_text(_TEXT)
    told = mplus("ingest", "-t", "anna", tmp_path / "raven.txt")
    assert told.code == 0, told.err
    made = mplus("keys", "create", "-t", "anna")
    assert made.code == 0, made.err

    _serve("deploy", str(_configuration(tmp_path / "cluster.yaml", port)), address=dashboard)
    _wait_until_it_runs(dashboard)

    headers = {"authorization": f"Bearer {made.out.split()[-1]}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120) as client:
        assert client.get("/healthz").status_code == 200
        answer = client.post("/v1/query", json={"question": "Which bird?", "max_tokens": 4})
        assert answer.status_code == 200, answer.text
        assert answer.json()["citations"]
