"""Killed before every change of the storage, or at any time: the memory is as if nothing was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.crashing import STAGES, ForkServers

if TYPE_CHECKING:
    from tests.postgres import Postgres

pytest_plugins = ["tests.postgres"]
pytestmark = pytest.mark.timeout(600)

_FORK_SERVERS = 2
_INSTANTS = {"sqlite": 165, "postgresql": 35}
_LAST = list(STAGES)[-1]

Outcome = dict[str, Any]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fork_servers")


@pytest.fixture(scope="module")
def fork_servers(shared: Path) -> Iterator[ForkServers]:
    made = ForkServers(shared, [None] * _FORK_SERVERS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def expected(fork_servers: ForkServers) -> dict[str, Outcome]:
    """What is there after every stage if nothing happens."""
    return fork_servers.undisturbed()


@pytest.fixture(scope="module")
def postgres_fork_servers(postgres: Postgres, shared: Path) -> Iterator[ForkServers]:
    urls = [postgres.database("ledger_template") for _ in range(_FORK_SERVERS)]
    made = ForkServers(shared, urls)
    yield made
    made.close()
    for url in urls:
        postgres.drop(url)


def same(found: Outcome, expected: Outcome) -> bool:
    """But for how it came to be."""
    own = ("changes", "seconds", "killed")
    return all(found[name] == expected[name] for name in expected if name not in own)


def test_the_scenario_is_what_it_should_be(expected: dict[str, Outcome]) -> None:
    digests = {stage: outcome["digest"] for stage, outcome in expected.items()}
    assert len(set(digests.values())) == 5, "empty, three documents, one replaced, one less, more"
    assert all(not o["garbage"] and not o["damaged"] for o in expected.values())
    assert expected[_LAST]["receipts"] == [["a", False, False], ["c", False, False]]
    assert expected["fork"]["tenants"] == 2
    assert expected[_LAST]["tenants"] == 1


@pytest.mark.parametrize("stage", STAGES)
def test_before_every_change(
    fork_servers: ForkServers, expected: dict[str, Outcome], stage: str
) -> None:
    """What is killed after one is killed before the next."""
    changes = expected[stage]["changes"]
    runs = [fork_servers.killed(stage, kill=kill) for kill in range(len(changes))]
    different = [
        (change, found)
        for change, run in zip(changes, runs, strict=True)
        if not same(found := run.result(), expected[stage]) or not found["killed"]
    ]
    assert changes
    assert different == []


def test_at_any_time(fork_servers: ForkServers, expected: dict[str, Outcome]) -> None:
    rng = random.Random(3)
    seconds = [outcome["seconds"] for outcome in expected.values()]
    stages = rng.choices(list(expected), seconds, k=_INSTANTS["sqlite"])
    runs = [
        fork_servers.killed(stage, after=rng.uniform(0, expected[stage]["seconds"]))
        for stage in stages
    ]
    outcomes = [run.result() for run in runs]
    assert sum(outcome["killed"] for outcome in outcomes) > len(outcomes) / 2
    pairs = zip(stages, outcomes, strict=True)
    assert [(s, found) for s, found in pairs if not same(found, expected[s])] == []


def test_before_commits_on_a_server(
    postgres_fork_servers: ForkServers, expected: dict[str, Outcome]
) -> None:
    changes = postgres_fork_servers.killed(_LAST, server=True).result()["changes"]
    ends = {change: number for number, change in enumerate(changes) if "commit" in change}
    begins = {c: n for n, c in reversed(list(enumerate(changes))) if "commit" in c}
    wanted = sorted({*ends.values(), *begins.values()})
    runs = [
        postgres_fork_servers.killed(changes[kill].split(":")[0], kill=kill, server=True)
        for kill in wanted
    ]
    different = [
        (changes[kill], found)
        for kill, run in zip(wanted, runs, strict=True)
        if not same(found := run.result(), expected[changes[kill].split(":")[0]])
        or not found["killed"]
    ]
    assert len(wanted) > len(STAGES)
    assert different == []


def test_at_any_time_on_a_server(
    postgres_fork_servers: ForkServers, expected: dict[str, Outcome]
) -> None:
    rng = random.Random(4)
    seconds = sum(outcome["seconds"] for outcome in expected.values()) / 2
    runs = [
        postgres_fork_servers.killed(_LAST, after=rng.uniform(0, seconds), server=True)
        for _ in range(_INSTANTS["postgresql"])
    ]
    outcomes = [run.result() for run in runs]
    assert sum(outcome["killed"] for outcome in outcomes) > len(outcomes) / 2
    assert [found for found in outcomes if not same(found, expected[_LAST])] == []
