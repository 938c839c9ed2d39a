"""How a service begins: room, reach, ports, signals, keys, logs, and the application."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mplus_ray.actors.reading.budget import memory_bytes
from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError, UnauthorizedError
from mplus_ray.pipeline.installation import Installation, StoreUrl
from mplus_ray.pipeline.workers.ray_worker import Needs
from mplus_ray.services.cli.options import bounds
from mplus_ray.services.cli.serve import _size
from mplus_ray.services.serving import placement as places
from mplus_ray.services.serving.application import INGRESS, READERS, Readership, application
from mplus_ray.services.serving.deployment import Address, running
from mplus_ray.services.serving.first_keys import TENANT, first_keys
from mplus_ray.services.serving.model_card import card_of
from mplus_ray.services.serving.placement import ResourceRequest, check_reach, free_port
from mplus_ray.services.serving.process import log_pipe
from mplus_ray.services.serving.process.signals import Signals
from mplus_ray.services.serving.readers.scaling import ASKED, ByLoad
from tests.worlds import load_model, opened


class TestPlaces:
    def test_two_cores_are_enough_for_a_reader_and_a_writer(self) -> None:
        demand = ResourceRequest(readers=1, writers=1).settled(cpus=2, gpus=0)
        assert (demand.reader, demand.writer) == (Needs(1.0, 0.0), Needs(1.0, 0.0))
        assert demand.cpus == 4, "a reader, a writer, one to mend, and the ingress"

    def test_all_share_what_there_is(self) -> None:
        demand = ResourceRequest(readers=2, writers=2).settled(cpus=16, gpus=2)
        assert demand.reader == demand.writer == Needs(4.0, 0.5)
        assert ResourceRequest(1, 1).settled(cpus=1, gpus=4).reader == Needs(1.0, 1.0)

    def test_what_was_asked_for_stays(self) -> None:
        demand = ResourceRequest(2, 0, reader_cpus=3, reader_gpus=0.25).settled(cpus=2, gpus=8)
        assert demand.reader == Needs(3, 0.25)

    @pytest.mark.parametrize(
        ("ledger", "store", "said"),
        [
            ("sqlite:////d/l.db", "s3://b/p", "MPLUS_LEDGER_URL"),
            ("postgresql+psycopg://h/d", "/d/rows", "MPLUS_STORE_URL"),
        ],
    )
    def test_files_of_one_machine_are_refused_on_several(
        self, ledger: str, store: str, said: str
    ) -> None:
        installation = Installation("c", ledger, StoreUrl(store, Path("/c")))
        check_reach(installation, nodes=1)
        with pytest.raises(InvalidInputError, match=said):
            check_reach(installation, nodes=2)

    def test_shared_ones_are_fine(self) -> None:
        installation = Installation("c", "postgresql+psycopg://h/d", StoreUrl("s3://b", Path("/c")))
        check_reach(installation, nodes=9)

    def test_a_port_that_is_taken_is_refused(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(InvalidInputError, match="give another --port"):
                free_port("127.0.0.1", port)
        assert free_port("127.0.0.1", port) == port

    def test_any_port_is_one_that_no_connection_gets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert all(free_port("127.0.0.1", 0) in range(20_000, 32_768) for _ in range(20))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            monkeypatch.setattr(places, "_UNASKED", [port] * 8)
            assert free_port("127.0.0.1", 0) not in (0, port)

    @pytest.mark.parametrize(
        "said",
        [
            "Failed to bind to address '127.0.0.1:8000'.",
            "HAProxy crashed during startup: [ALERT] Starting frontend http_frontend: cannot bind "
            "socket (Address already in use) for [127.0.0.1:8000]",
        ],
    )
    def test_a_port_that_is_taken_while_ray_starts_is_told(
        self, monkeypatch: pytest.MonkeyPatch, said: str
    ) -> None:
        def start(**_: Any) -> None:
            raise RuntimeError(said)

        status = SimpleNamespace(applications={}, proxies={})
        monkeypatch.setattr("ray.serve.status", lambda: status)
        monkeypatch.setattr("ray.serve.start", start)
        nothing: Any = None
        with (
            pytest.raises(InvalidInputError, match="took the port while Ray started"),
            running(nothing, Address("127.0.0.1", 8000), everywhere=False),
        ):
            pytest.fail("it did not start")

    def test_a_host_of_another_machine_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="give another --port or --host"):
            free_port("203.0.113.1", 0)

    def test_a_control_group_may_have_less_than_the_machine(self, tmp_path: Path) -> None:
        group = tmp_path / "memory.max"
        whole = memory_bytes(group)
        group.write_text("max\n")
        assert memory_bytes(group) == whole
        group.write_text("1048576\n")
        assert memory_bytes(group) == 1 << 20


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
    ],
)
def test_an_address_can_be_reached_from_here(host: str, url: str) -> None:
    assert Address(host, 80).url == url


class TestOptions:
    @pytest.mark.parametrize(
        ("text", "size"), [("512", 512), ("8G", 8 << 30), ("3MiB", 3 << 20), ("1kb", 1024)]
    )
    def test_sizes(self, text: str, size: int) -> None:
        assert _size(text) == size

    @pytest.mark.parametrize("text", ["", "G", "-1", "1.5G", "8 gigabytes"])
    def test_no_sizes(self, text: str) -> None:
        with pytest.raises(InvalidInputError, match="is no size"):
            _size(text)

    def test_bounds(self) -> None:
        assert bounds("--readers", "1:4") == (1, 4)
        assert bounds("--readers", "2") == (2, 2)
        with pytest.raises(InvalidInputError, match="--readers 'two': give MIN:MAX"):
            bounds("--readers", "two")

    @pytest.mark.parametrize("numbers", [(0, 1), (2, 1)])
    def test_some_reader_has_to_be_there(self, numbers: tuple[int, int]) -> None:
        with pytest.raises(InvalidInputError, match="cannot answer"):
            Readership(*numbers)


class Context:
    """What Serve tells a policy."""

    def __init__(self, *asked: float) -> None:
        self.aggregated_metrics = {ASKED: dict(enumerate(asked))} if asked else {}


@pytest.mark.parametrize(
    ("asked", "wanted"), [((), 0), ((0,), 0), ((24,), 1), ((25,), 2), ((48, 48), 4)]
)
def test_readers_are_as_many_as_keep_their_slots_three_quarters_full(
    asked: tuple[float, ...], wanted: int
) -> None:
    number, _ = ByLoad(slots=32)(Context(*asked))
    assert -(-number // 1) == wanted  # Serve rounds up


class TestSignals:
    def test_the_first_ends_a_start_and_the_second_hurries(self) -> None:
        with Signals() as signals:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            assert signals.stop.is_set()
            assert not signals.hurry.is_set()
            signal.raise_signal(signal.SIGINT)
            assert signals.hurry.is_set()

    def test_once_started_nothing_is_interrupted(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        with Signals() as signals:
            signals.started()
            signal.raise_signal(signal.SIGINT)
            assert signals.stop.is_set()
        assert signal.getsignal(signal.SIGINT) is before

    def test_signals_that_somebody_took_are_taken_back(self) -> None:
        with Signals() as signals:
            signals.started()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signals.take()
            signal.raise_signal(signal.SIGTERM)
            assert signals.stop.is_set()

    def test_an_interrupt_that_is_lost_comes_again(self) -> None:
        class Deaf:
            def __del__(self) -> None:
                signal.raise_signal(signal.SIGINT)

        assert is_interrupted(Deaf)

    def test_logging_is_not_interrupted_where_it_holds_its_lock(self) -> None:
        done: list[bool] = []
        space = {"__name__": "logging", "signal": signal, "done": done}
        said = "signal.raise_signal(signal.SIGINT)\ndone.append(True)"
        assert is_interrupted(lambda: exec(said, space))
        assert done


def is_interrupted(begin: Callable[[], object]) -> bool:
    """Whether a start that does this, and then waits, ends by an interrupt."""
    with Signals():
        try:
            begin()
            time.sleep(10)
        except KeyboardInterrupt:
            return True
    return False


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return load_model(tmp_path_factory.mktemp("checkpoint") / "tiny")


class TestFirstStart:
    def test_keys_are_made_once(self, model: MPlus, tmp_path: Path) -> None:
        with opened(model, f"sqlite:///{tmp_path / 'l.db'}", tmp_path / "rows") as world:
            keys = first_keys(world.ledger, card_of(model))
            assert keys is not None
            operator = world.ledger.credentials.verify(keys.operator)[0]
            assert operator.tenant is None
            log = world.ledger.tenant(TENANT)
            tenant = world.ledger.credentials.verify(keys.tenant)[0]
            assert tenant.tenant == log.tenant.id
            assert tenant.scopes == {"query", "ingest", "admin"}
            assert log.tenant.bytes_per_step == card_of(model).step_bytes["bfloat16"] > 0
            assert log.tenant.geometry["hidden_size"] == model.config.hidden_size
            assert first_keys(world.ledger, card_of(model)) is None
            assert [line.split("=")[0] for line in keys.lines()] == [
                "MPLUS_OPERATOR_KEY",
                "MPLUS_API_KEY",
            ]

    def test_a_revoked_key_is_a_key(self, model: MPlus, tmp_path: Path) -> None:
        with opened(model, f"sqlite:///{tmp_path / 'l.db'}", tmp_path / "rows") as world:
            keys = first_keys(world.ledger, card_of(model))
            assert keys is not None
            credentials = world.ledger.credentials
            credentials.revoke(None, credentials.verify(keys.operator)[0].id)
            with pytest.raises(UnauthorizedError):
                credentials.verify(keys.operator)
            assert first_keys(world.ledger, card_of(model)) is None


_CHILD = """
import logging
from mplus_ray.services.serving.process import log_pipe
log_pipe.configure()
logging.getLogger("mplus_ray.services.x").warning("from\\nthere", extra={"n": 1})
"""


class TestLogPipe:
    def test_what_another_process_logs_comes_out_here(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with log_pipe.log_pipe():
            child = subprocess.run([sys.executable, "-c", _CHILD], check=True, capture_output=True)
        assert capsys.readouterr().err == "from\nthere n=1\n"
        assert not child.stderr

    def test_where_there_is_no_pipe_it_logs_as_ever(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        root, kept = logging.getLogger(), list(logging.getLogger().handlers)
        try:
            log_pipe.configure({"MPLUS_LOG_PIPE": str(tmp_path / "gone")})
            logging.getLogger("mplus_ray.services.x").warning("here")
        finally:
            root.handlers[:] = kept
        assert capsys.readouterr().err == "here\n"

    def test_a_pipe_that_nobody_reads_holds_nobody_up(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        lines = log_pipe._Lines(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        for _ in range(200):
            lines.write("x" * 1000 + "\n")
        os.close(reader)
        lines.write("nobody is there\n")


def test_the_application_is_bound_without_a_cluster() -> None:
    installation = Installation("c", "sqlite:///l.db", StoreUrl("/r", Path("/c")))
    found: Any = application(installation, "tiny", Readership(1, 3), Needs(2.0), Needs(1.0))
    ingress = found._bound_deployment
    readers = ingress.init_args[1]._bound_deployment
    assert (ingress.name, readers.name) == (INGRESS, READERS)
    config = readers._deployment_config
    assert config.user_config["slots"] == 32
    assert (config.autoscaling_config.min_replicas, config.autoscaling_config.max_replicas) == (
        1,
        3,
    )
    assert readers.ray_actor_options["num_cpus"] == 2.0


def test_too_few_open_files_are_said_before_anything_starts() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"
        "from mplus_ray.services.serving.placement import check_open_files; check_open_files()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "may have 200 files" in done.stderr
    assert "ulimit -n" in done.stderr
