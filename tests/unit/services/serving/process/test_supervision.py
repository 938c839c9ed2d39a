"""What a service depends on is looked at, by a clock that is passed in."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from mplus_ray.services.serving.process.supervision import ServiceLostError, Supervisor, supervised


@dataclass
class Process:
    code: int | None = None

    def poll(self) -> int | None:
        return self.code


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("code", "said"), [(-9, "signal 9"), (1, "exit code 1")])
def test_a_process_that_ended_is_named(code: int, said: str) -> None:
    process = Process()
    supervisor = Supervisor({"its control store": process})
    supervisor.check()
    process.code = code
    with pytest.raises(ServiceLostError, match=f"its control store \\({said}\\)"):
        supervisor.check()


def test_serve_has_time_to_repair_what_answers(caplog: pytest.LogCaptureFixture) -> None:
    clock, well = Clock(), [True]
    supervisor = Supervisor({}, lambda: well[0], patience=60, clock=clock)
    supervisor.check()
    well[0] = False
    for clock.now in (1, 30, 60):
        supervisor.check()
    well[0] = True
    supervisor.check()
    well[0] = False
    for clock.now in (100, 160):
        supervisor.check()
    clock.now = 161
    with pytest.raises(ServiceLostError, match="not answered /healthz for 60 s"):
        supervisor.check()
    assert [record.message for record in caplog.records][1] == "the service answers again"


def test_the_loss_is_told_once_from_a_thread() -> None:
    told, heard = [], threading.Event()

    def lost(error: ServiceLostError) -> None:
        told.append(error)
        heard.set()

    with supervised(Supervisor({"its raylet": Process(1)}), lost):
        assert heard.wait(30)
    assert len(told) == 1
