"""`mplus send` against the application: files and lines, and what it says of them."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mplus_ray.model.errors import DocumentError
from mplus_ray.services.api.deps import Limits
from mplus_ray.services.cli.app import app
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("send")
    model = load_model(folder / "checkpoint")
    with serving(model, folder, writer=False, loopback=True, limits=Limits(lines=100)) as world:
        yield world


def test_files_and_lines_arrive_and_what_does_not_is_counted(api: ApiWorld, tmp_path: Path) -> None:
    headers = api.fresh()
    folder = tmp_path / "in"
    (folder / "north").mkdir(parents=True)
    (folder / "north" / "a.txt").write_text("The owl is brown.")
    (folder / "b.psd").write_bytes(b"8BPS")
    rows = [json.dumps({"id": f"k{n}", "text": f"Keeper {n}."}) for n in range(250)]
    (folder / "c.jsonl").write_text("\n".join([*rows, "{}"]))
    environment = {
        "MPLUS_URL": str(api.client.base_url),
        "MPLUS_API_KEY": headers["authorization"].removeprefix("Bearer "),
    }
    result = tmp_path / "result.json"
    done = CliRunner().invoke(app, ["send", str(folder), "--json", str(result)], env=environment)
    assert isinstance(done.exception, DocumentError)
    assert "line 251 has no" in str(done.exception)
    said = json.loads(result.read_text())
    assert (said["taken_in"], said["refused"], said["known"]) == (251, 1, 0)
    assert said["refusals"] == [
        {"kind": ".psd", "reason": "unsupported format", "count": 1},
        {"kind": "line", "reason": "not as its format asks", "count": 1},
    ]
    keys = [document.key for document in api.log(headers).documents()]
    assert set(keys) == {"north/a.txt", *(f"k{n}" for n in range(250))}
    again = CliRunner().invoke(app, ["send", str(folder / "north" / "a.txt")], env=environment)
    assert "1 document sent" in again.output  # by itself, its name is its id


def test_without_a_key_it_says_where_one_goes() -> None:
    done = CliRunner().invoke(app, ["send", __file__], env={"MPLUS_API_KEY": ""})
    assert "MPLUS_API_KEY" in str(done.exception)


def test_what_a_stopped_request_has_brought_is_said(api: ApiWorld, tmp_path: Path) -> None:
    log, headers = api.tenant("stopped", documents_per_minute=70)  # the rest has to wait
    lines = tmp_path / "turns.jsonl"
    lines.write_text("".join(f'{{"text": "Keeper {n} waits."}}\n' for n in range(90)))
    environment = {
        "MPLUS_URL": str(api.client.base_url),
        "MPLUS_API_KEY": headers["authorization"].removeprefix("Bearer "),
    }

    def stop_when_some_are_there() -> None:
        while len(list(log.documents())) < 64:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=stop_when_some_are_there)
    watcher.start()
    done = CliRunner().invoke(app, ["send", str(lines)], env=environment)
    watcher.join()
    assert "0 documents sent" in done.output
    said = " ".join(done.output.split())
    assert (
        "of 90 more, whose request was not answered, the service has taken in what arrived" in said
    )
    assert len(list(log.documents())) in range(64, 71)
