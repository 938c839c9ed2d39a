"""What can be measured of a service without Ray."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mplus_ray.bench.serve.mixed
import mplus_ray.bench.serve.reads
import mplus_ray.bench.serve.server
import mplus_ray.bench.serve.speed
from mplus_ray.actors.reading.footprint import Footprint
from mplus_ray.bench.fixture import installation
from mplus_ray.bench.ingest.texts import Texts
from mplus_ray.bench.serve.bare import bare_reader, plans_of
from mplus_ray.bench.serve.client import Client
from mplus_ray.bench.serve.mixed import half_of, measure_mixed
from mplus_ray.bench.serve.processes import Process
from mplus_ray.bench.serve.reads import measure_reads
from mplus_ray.bench.serve.run import FULL, QUICK, summary
from mplus_ray.bench.serve.samples import ServeBenchError
from mplus_ray.bench.serve.server import Server, ServerFolder
from mplus_ray.bench.serve.show import show
from mplus_ray.bench.serve.speed import measure_eight, measure_grid, measure_overhead
from mplus_ray.bench.serve.tiers import one_prepared
from mplus_ray.bench.serve.world import BenchTenant, Founder, ask_about, of_length
from mplus_ray.model import MPlus
from tests.api_world import ApiWorld, endless_model
from tests.api_world import serving as serving_api

TENANTS = 8


LINES = "Nadia Kelm keeps a tortoise. It is older than her house, and it bites. Nobody minds.\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return endless_model(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> ServerFolder:
    return ServerFolder(tmp_path_factory.mktemp("serve"), "unused", threads=1)


@pytest.fixture(scope="module")
def api(model: MPlus, place: ServerFolder) -> Iterator[ApiWorld]:
    with serving_api(model, place.folder, loopback=True) as world:
        yield world


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "one.txt").write_text(LINES * 20)
    return Texts(folder)


@pytest.fixture(scope="module")
def founder(api: ApiWorld, place: ServerFolder, texts: Texts) -> Founder:
    return Founder(api.url, api.operator, texts)


@pytest.fixture(scope="module")
def members(founder: Founder) -> list[BenchTenant]:
    return founder.found([f"tenant-{number}" for number in range(TENANTS)], characters=160)


def run(url: str, part: Any) -> Any:
    async def measure() -> Any:
        async with Client(url) as client:
            return await part(client)

    return asyncio.run(measure())


def names_of_tenants(api: ApiWorld) -> set[str]:
    operator = {"Authorization": f"Bearer {api.operator}"}
    listed = api.client.get("/v1/tenants", headers=operator).json()["tenants"]
    return {tenant["name"] for tenant in listed}


def test_questions_are_of_all_tenants_in_turn(members: list[BenchTenant]) -> None:
    askings = ask_about(members, 2 * TENANTS, of_length(7))
    assert [a.tenant for a in askings] == [m.name for m in members] * 2
    assert askings[0].question != askings[TENANTS].question
    assert askings[0].key != askings[1].key
    assert {a.options["max_tokens"] for a in askings} == {7}


def test_founded_tenants_have_their_facts_in_memory(
    api: ApiWorld, members: list[BenchTenant]
) -> None:
    for member in members:
        log = api.world.ledger.tenant(member.name)
        assert log.heads.serving().head.step == log.length() > 0
        texts = " ".join(log.text(document.key) for document in log.documents())
        assert all(fact.statement in texts for fact in member.facts)


def test_a_streamed_answer_is_timed_and_counted(api: ApiWorld, members: list[BenchTenant]) -> None:
    (asking,) = ask_about(members, 1, of_length(6))
    found = run(api.url, lambda c: c.ask(asking))
    assert not found.error
    assert found.tokens == 6
    assert found.began < found.first <= found.last <= found.ended
    assert found.step == api.world.ledger.tenant(asking.tenant).length()


def test_what_fails_is_told_and_not_raised(api: ApiWorld, members: list[BenchTenant]) -> None:
    (good,) = ask_about(members, 1)
    bad = [replace(good, key="mplus_no"), replace(good, options={"max_tokens": 0})]
    load = run(api.url, lambda c: c.drive([*bad, good], 2))
    assert sorted(error[:3] for error in load.errors) == ["401", "422"]
    assert len(load.answered) == 1
    nobody = run("http://127.0.0.1:9", lambda c: c.ask(good))
    assert "ConnectError" in nobody.error
    with pytest.raises(ServeBenchError, match="401"):
        run(api.url, lambda c: c.hand_in("mplus_no", "Text."))
    with pytest.raises(ServeBenchError, match="/metrics: 401"):
        run(api.url, lambda c: c.read("/metrics"))


def test_figures_of_speed_are_of_all_arms(
    api: ApiWorld,
    model: MPlus,
    place: ServerFolder,
    members: list[BenchTenant],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mplus_ray.bench.serve.speed, "CONCURRENCY", (1, 4))
    found = run(api.url, lambda c: measure_grid(c, members, samples=4, tokens=12))
    assert set(found) == {f"{t}x{c}" for t in (1, TENANTS) for c in (1, 4)}
    assert all(not arm["errors"] for arm in found.values())
    assert found["1x4"]["first_token_ms"]["n"] >= 4 * 4
    with (
        installation(place.folder, model) as system,
        bare_reader(system, [m.name for m in members]) as bare,
    ):
        over = run(api.url, lambda c: measure_overhead(c, bare, members, samples=6))
        eight = run(api.url, lambda c: measure_eight(c, bare, members, 8, tokens=3, rounds=2))
    assert over["n"] == 6
    assert over["service"] > 0 < over["bare"]
    assert over["ping_ms"]["p50"] > 0
    assert over["whole"]["n"] == 6
    assert over["whole"]["service"] > 0
    assert over["whole"]["bare"] == over["bare"]
    for ways in eight.values():
        assert all(spread["n"] == 2 and spread["low"] > 0 for spread in ways.values())


def test_the_bare_reader_tells_errors(
    model: MPlus, place: ServerFolder, members: list[BenchTenant]
) -> None:
    good, bad = ask_about(members, 2)
    with (
        installation(place.folder, model) as system,
        bare_reader(system, [m.name for m in members]) as bare,
    ):
        load = bare.drive([replace(bad, options={"max_tokens": -1}), good], 2)
    assert len(load.answered) == 1
    assert "max_tokens" in next(iter(load.errors))


def test_writes_are_read_back(
    api: ApiWorld, founder: Founder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, small in (("_CHARACTERS", 80), ("_TOLD", 80), ("_ROUND", 8)):
        monkeypatch.setattr(mplus_ray.bench.serve.reads, name, small)
    found = run(api.url, lambda c: measure_reads(c, founder, 12, seconds=100))
    assert found["asked"] == found["honoured"] == 12
    assert found["older"] == 0
    assert not found["errors"]
    assert not any(name.startswith("reading") for name in names_of_tenants(api))


def test_reading_back_is_bounded_by_time(
    api: ApiWorld, founder: Founder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mplus_ray.bench.serve.reads, "_TOLD", 80)
    with pytest.raises(ServeBenchError, match="nothing could be read back"):
        run(api.url, lambda c: measure_reads(c, founder, 1000, seconds=0.0))


def test_tenants_come_and_go_under_a_mixed_load(
    api: ApiWorld, founder: Founder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mplus_ray.bench.serve.mixed, "LIFE", 1)
    monkeypatch.setattr(mplus_ray.bench.serve.mixed, "CHARACTERS", 80)
    here = Process(os.getpid(), "Readers")
    monkeypatch.setattr(ServerFolder, "processes", lambda place: [here])
    place = ServerFolder(Path("unused"), "unused", threads=1)
    own = founder.found(["passing-0", "passing-1"], characters=80)

    found = run(api.url, lambda c: measure_mixed(c, place, founder, own, 80, minutes=0.08))

    assert found["error_kinds"] == {}
    assert found["tenants_replaced"] > 0
    assert found["questions"] > 0 < found["documents"]
    names = names_of_tenants(api)
    assert not names >= {member.name for member in own}
    assert len(names & {*(member.name for member in own), *(f"mixed-{n}" for n in range(99))}) >= 2


def test_a_founder_needs_a_new_installation(place: ServerFolder, texts: Texts) -> None:
    with pytest.raises(ServeBenchError, match="not new"):
        Founder.of(Server(place, "http://127.0.0.1:9", None), texts)


def test_budgets_hold_one_prepared_memory_and_half_of_all(
    model: MPlus, place: ServerFolder, members: list[BenchTenant]
) -> None:
    with installation(place.folder, model) as system:
        plans = list(plans_of(system, [m.name for m in members]).values())
    footprint = Footprint(model)
    rows, views = map(footprint.rows, plans), map(footprint.view, plans)
    one = [of_rows + of_view for of_rows, of_view in zip(rows, views, strict=True)]
    device, host = one_prepared(model, plans)
    first, second = one[0].host, one[1].host
    smaller = min(footprint.view(plan).host for plan in plans[:2])
    assert first + second - smaller <= host < first + second
    assert device > sum(each.device for each in one)
    device, host = half_of(model, plans)
    assert 2 * max(each.host for each in one) <= host < sum(each.host for each in one)
    assert device > max(each.device for each in one)


def test_the_figures_have_the_form_that_is_compared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ms = {"p50": 1.0, "p99": 2.0, "low": 1.0, "high": 2.0, "n": 3}
    spread = {"median": 2.5, "low": 2.0, "high": 3.0, "n": 5}
    ways = {"bare": spread, "service": spread}
    arm = {"first_token_ms": ms, "tokens_per_second": {**ms, "total": 9.0}, "errors": {}}
    third = {"readers": 100.0, "other": 50.0}
    memory = {"memory_growth": 0.015, "own_memory_growth": -0.01}
    mixed = {"minutes": 1.0, "questions": 100, "documents": 20, "errors": 1}
    whole = {"p50": 11.0, "p99": 19.0, "service": 31.0, "bare": 20.0, "n": 3}
    over = {"p50": 12.0, "p99": 20.0, "service": 32.0, "bare": 20.0, "whole": whole}
    lost = {"failed": 8, "in_flight": 7, "back_seconds": 3.25}
    detail: dict[str, Any] = {
        "speed": {"1x8": arm, "32x1": {**arm, "errors": {"503: full": 2}}},
        "overhead": {**over, "n": 3, "first_token_p50": 9.0, "ping_ms": ms},
        "eight": {"one_tenant": {**ways, "bare": {**spread, "median": 9.0}}, "eight_tenants": ways},
        "tiers": {"warm": ms, "host": ms, "disk": ms, "cold": ms, "steps": 40},
        "killed": {**lost, "each_back_seconds": [3.25], "kills": 1, "asked": 90, "under_way": 8},
        "mixed": {
            **mixed,
            **memory,
            "first_third_mb": third,
            "last_third_mb": third,
            "first_token_ms": ms,
        },
        "reads": {
            "asked": 200,
            "honoured": 199,
            "older": 1,
            "errors": {},
            "written_to_answer_ms": ms,
            "other_documents": 5,
        },
    }
    found, first = summary(detail), {"p50": 1.0, "p99": 2.0}
    assert found == {
        "time_to_first_token_ms": {"1x8": first, "32x1": first},
        "tokens_per_second": {"1x8": {**first, "total": 9.0}, "32x1": {**first, "total": 9.0}},
        "overhead_ms": over,
        "speedup_8": {"bare": 2.5, "service": 2.5},
        "tiers_ms": {"warm": 1.0, "host": 1.0, "disk": 1.0, "cold": 1.0},
        "reader_killed": lost,
        "mixed": {**mixed, "memory_growth": 0.015},
        "min_step": {"asked": 200, "honoured": 199},
    }
    show({"machine": {"device": "here"}, "detail": detail})
    said = capsys.readouterr().err
    for words in ("2 errors", "199 of 200", "+1.5%", "2.50x", "3.2 s"):
        assert words in said


def test_the_extents_are_what_was_asked_for() -> None:
    assert (FULL.tenants, FULL.minutes, FULL.reads) == (32, 30.0, 10_000)
    assert (QUICK.tenants, QUICK.minutes, QUICK.reads) == (32, 1.0, 200)
