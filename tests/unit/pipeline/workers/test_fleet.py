"""How many writers there are, and what becomes of those that die."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.backlog import Waiting
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.workers.fleet import Fleet, Scale, WorkerState
from tests.logs import Clock, put


@dataclass
class FakeWriter:
    """A writer that does as it is told."""

    name: str
    owner: str = ""
    fingerprint: str = "f1"
    state: WorkerState = WorkerState.STARTING
    stopped: bool = False
    killed: bool = False

    def poll(self) -> WorkerState:
        if self.stopped and self.state is not WorkerState.GONE:
            return WorkerState.STOPPING
        return self.state

    def stop(self) -> None:
        self.stopped = True

    def kill(self) -> None:
        self.killed = True

    def metrics(self) -> str:
        return ""


@dataclass
class Harness:
    """A fleet, and all writers it ever started."""

    fleet: Fleet
    clock: Clock
    started: list[FakeWriter] = field(default_factory=list)

    def start(self) -> FakeWriter:
        self.started.append(FakeWriter(f"w{len(self.started)}"))
        return self.started[-1]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


def harness(ledger: Ledger, scale: Scale) -> Harness:
    clock = Clock()
    made = Harness(Fleet(ledger, lambda: made.start(), scale, clock=clock), clock)
    return made


def fill(ledger: Ledger, tenants: int, chunks: int = 1) -> None:
    for n in range(tenants):
        put(ledger.create_tenant(f"t{n}", "f1"), "a", count=chunks)


def at_work(ledger: Ledger, owner: str) -> tuple[Harness, FakeWriter, TenantLog]:
    """A fleet of one writer, which has the one tenant in hand."""
    fill(ledger, 1)
    log = ledger.tenant("t0")
    made = harness(ledger, Scale(1, 1))
    made.fleet.tick()
    writer = made.started[0]
    writer.state, writer.owner = WorkerState.WORKING, owner
    log.heads.claim(f"{owner}abc", 1000.0)
    return made, writer, log


def waiting(tenants: int, chunks: int) -> list[Waiting]:
    return [Waiting(cast(TenantLog, None), chunks, 0, 0, 0, "", 0)] * tenants


@pytest.mark.parametrize(
    ("tenants", "chunks", "expected"),
    [
        (0, 0, 0),
        (1, 1, 1),
        (1, 10_000, 1),  # a tenant is one writer's at a time
        (16, 1, 1),  # too little to be worth another one
        (16, 100, 2),
        (80, 100, 4),
    ],
)
def test_the_backlog_says_how_many_writers(tenants: int, chunks: int, expected: int) -> None:
    scale = Scale(smallest=0, largest=4, slots=8, worth=256)
    assert scale.wanted(waiting(tenants, chunks)) == expected
    assert Scale(2, 4).wanted(waiting(tenants, chunks)) == max(2, expected)


@pytest.mark.parametrize("bounds", [(-1, 1), (2, 1), (0, 0)])
def test_bounds_that_are_none_are_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError, match="give MIN:MAX"):
        Scale(*bounds)


def test_writers_come_with_the_backlog_and_go_when_they_are_not_needed(ledger: Ledger) -> None:
    fill(ledger, 3)
    made = harness(ledger, Scale(0, 3, slots=1, worth=1, patience=10.0))
    assert made.fleet.tick() == 3
    for writer in made.started:
        writer.state, writer.owner = WorkerState.WORKING, f"h/1/{writer.name}/"
    assert made.fleet.tick() == 3
    for n in range(3):
        ledger.delete_tenant(f"t{n}")
    assert made.fleet.tick() == 3
    made.clock.now += 9.0
    assert made.fleet.tick() == 3, "perhaps more comes"
    made.clock.now += 1.5
    assert made.fleet.tick() == 0
    assert all(writer.stopped for writer in made.started)
    for writer in made.started:
        writer.state = WorkerState.GONE
    made.fleet.tick()
    assert made.fleet.writers == []
    assert made.fleet.deaths == 0


def test_a_writer_that_dies_is_replaced_and_its_tenants_are_free_at_once(ledger: Ledger) -> None:
    made, writer, log = at_work(ledger, "elsewhere/7/1/")
    made.fleet.tick()
    assert len(made.started) == 1
    writer.state = WorkerState.GONE
    assert made.fleet.tick() == 1
    assert len(made.started) == 2
    assert made.fleet.deaths == 1
    assert log.heads.claim("me", 10.0).epoch == 2


def test_a_writer_whose_tenants_another_took_over_has_died_all_the_same(ledger: Ledger) -> None:
    made, writer, log = at_work(ledger, "here/7/1/")
    log.heads.claim("here/8/1/abc", 1000.0, lambda owner: True)
    writer.state = WorkerState.GONE
    made.fleet.tick()
    assert made.fleet.deaths == 1
    assert log.heads.claim("here/8/1/abc", 1000.0).epoch == 2, "the lease is still the other's"


def test_a_writer_that_is_stopped_while_it_starts_has_not_died(ledger: Ledger) -> None:
    fill(ledger, 1)
    made = harness(ledger, Scale(0, 1, patience=1.0))
    made.fleet.tick()
    ledger.delete_tenant("t0")
    made.fleet.tick()
    made.clock.now += 1.5
    made.fleet.tick()
    assert made.started[0].stopped
    made.started[0].state = WorkerState.GONE
    made.fleet.tick()
    assert made.fleet.deaths == 0
    put(ledger.create_tenant("t1", "f1"), "a")
    assert made.fleet.tick() == 1, "nothing is waited for before the next"


def test_another_writers_tenants_stay_its_own(ledger: Ledger) -> None:
    fill(ledger, 1)
    ledger.tenant("t0").heads.claim("hax/11/1/abc", 1000.0)
    assert ledger.release_leases("hax/1/1/") == 0
    assert ledger.release_leases("h_x/11/1/") == 0, "an underscore is no wildcard"
    assert ledger.release_leases("hax/11/1/") == 1


def test_writers_that_die_while_starting_are_not_started_again_and_again(ledger: Ledger) -> None:
    made = harness(ledger, Scale(1, 1))
    for _ in range(100):
        made.fleet.tick()
        made.started[-1].state = WorkerState.GONE
        made.clock.now += 1.0
    assert 5 <= len(made.started) <= 9, "with longer and longer pauses"


def test_what_no_other_writer_could_do_better_ends_it(ledger: Ledger) -> None:
    made = harness(ledger, Scale(1, 1))
    made.fleet.tick()

    def damaged() -> WorkerState:
        raise InvalidInputError("no such checkpoint")

    made.started[0].poll = damaged  # type: ignore[method-assign]
    with pytest.raises(InvalidInputError, match="no such"):
        made.fleet.tick()


def test_stopping_waits_for_those_that_commit_and_kills_the_others(ledger: Ledger) -> None:
    fill(ledger, 2)
    made = harness(ledger, Scale(2, 2, slots=1))
    made.fleet.tick()
    good, hung = made.started

    def ends() -> None:
        good.state = WorkerState.GONE

    good.state = hung.state = WorkerState.WORKING
    good.owner = hung.owner = "h/1/1/"
    good.stop = ends  # type: ignore[method-assign]
    made.fleet.stop(seconds=0.0)
    assert hung.killed
    assert made.fleet.writers == []


def test_tenants_of_other_weights_are_not_waited_for(ledger: Ledger) -> None:
    put(ledger.create_tenant("theirs", "f2"), "a")
    made = harness(ledger, Scale(0, 1, patience=0.0))
    assert made.fleet.tick() == 1, "whose weights these writers have is not known yet"
    made.started[0].state, made.started[0].owner = WorkerState.WORKING, "h/1/1/"
    made.fleet.tick()
    assert made.fleet.idle()
    assert made.fleet.tick() == 0
