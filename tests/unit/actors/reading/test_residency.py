"""What a reader holds: budgets, pins, who goes first, and how much a memory really takes."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mplus_ray.actors.messages import AskResult
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading import admission as line
from mplus_ray.actors.reading.engine import Answering
from mplus_ray.actors.reading.footprint import Footprint
from mplus_ray.actors.reading.open_memory import OpenMemory
from mplus_ray.actors.reading.request import Event
from mplus_ray.actors.reading.residency import Bytes, Item, Residency
from mplus_ray.model import MPlus
from mplus_ray.model.errors import MemoryTooLargeError
from mplus_ray.model.generation.generate import advance, start
from mplus_ray.model.generation.sampling import Sampling
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.object_store.object_store import ObjectStore
from tests.official import write_official
from tests.readers import (
    PATIENCE,
    PLENTY,
    RETRIEVALS,
    FarFiles,
    Tenants,
    answering,
    ask,
    asked,
    at,
    load,
    texts,
)


class TestBudgets:
    @settings(max_examples=150, deadline=None)
    @given(seed=st.integers(0, 1 << 30))
    def test_are_kept_whatever_happens(self, seed: int) -> None:
        rng = random.Random(seed)
        residency = Residency(Bytes(rng.randint(5, 30), rng.randint(5, 30)))
        pinned: list[Item] = []
        everything: list[Item] = []
        for number in range(60):
            act = rng.randrange(5)
            if act == 0 and pinned:
                residency.unpin(pinned.pop(rng.randrange(len(pinned))))
            elif act == 1 and everything:
                residency.forget(rng.choice(everything))
            else:
                item = self.item(rng, residency, everything, number)
                kept = [] if item.parent is None else [item.parent]
                if residency.fits(item.cost, kept):
                    if item.parent is not None:
                        residency.pin(item.parent)
                    residency.add(item)
                    residency.pin(item)
                    if item.parent is not None:
                        residency.unpin(item.parent)
                    everything.append(item)
                    pinned.append(item)
                else:
                    assert self.without(pinned, item, residency)
            self.check(residency, everything, pinned)
        for item in pinned:
            residency.unpin(item)
        for item in everything:
            residency.forget(item)
        assert residency.used == Bytes()

    def item(
        self, rng: random.Random, residency: Residency, everything: list[Item], number: int
    ) -> Item:
        wholes = [i for i in everything if i.parent is None and residency.get(i.key) is i]
        parent = rng.choice(wholes) if wholes and rng.random() < 0.5 else None
        cost = Bytes(rng.randint(0, 9), rng.randint(0, 9))
        return Item(number, cost, parent, stale=rng.random() < 0.2, value=object())

    def without(self, pinned: list[Item], item: Item, residency: Residency) -> bool:
        """There was really no room beside what is pinned."""
        kept = {*pinned, *(i.parent for i in pinned)} | {item.parent}
        total = item.cost
        for one in kept:
            total += one.cost if one is not None else Bytes()
        return not total.within(residency.budget)

    def check(self, residency: Residency, everything: list[Item], pinned: list[Item]) -> None:
        assert residency.used.within(residency.budget)
        total = Bytes()
        for item in everything:
            total += item.cost if item.held else Bytes()
            assert (item.value is not None) == item.held
            if item.held and item.parent is not None:
                assert item.parent.held, "a part cannot be without the whole"
        assert total == residency.used
        assert all(item.held for item in pinned), "what is in use stays"

    def test_the_least_recently_used_goes_first_and_what_is_stale_before_it(self) -> None:
        residency = Residency(Bytes(3, 0))
        items = [Item(name, Bytes(1, 0), value=name) for name in "abc"]
        for item in items:
            residency.add(item)
        for item in (items[1], items[0], items[2]):
            residency.pin(item)
            residency.unpin(item)
        items[2].stale = True
        gone = []
        for name in "xyz":
            residency.add(Item(name, Bytes(1, 0)))
            residency.pin(residency._items[name])
            gone += [item.key for item in items if not item.held and item.key not in gone]
        assert gone == ["c", "b", "a"]

    def test_room_on_the_host_is_not_made_on_the_device(self) -> None:
        residency = Residency(Bytes(10, 10))
        view, rows = Item("view", Bytes(9, 0)), Item("rows", Bytes(0, 9))
        for item in (view, rows):
            residency.add(item)
        residency.add(Item("more", Bytes(0, 5)))
        assert (view.held, rows.held) == (True, False)


@pytest.fixture(scope="module", params=RETRIEVALS)
def tenants(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Tenants:
    folder = tmp_path_factory.mktemp("tenants")
    return Tenants(load(folder / "model", request.param), ObjectStore.open(str(folder / "rows")))


class TestFootprint:
    """It is reckoned before anything is opened, so it must not be too little, nor far too much."""

    @pytest.mark.parametrize("steps", [0, 1, 7, 40])
    @pytest.mark.parametrize("far", [False, True])
    def test_is_what_is_really_held(self, tenants: Tenants, steps: int, far: bool) -> None:
        plan = tenants.grow(f"tenant {steps} {far}", texts("x", steps))
        files = FarFiles(tenants.files) if far else tenants.files
        view = OpenMemory(tenants.model, files, plan).view(plan)
        footprint = Footprint(tenants.model)
        assert footprint.view(plan).device == view.nbytes
        assert key_bytes(view.memory) <= footprint.rows(plan).host
        ids = [*view.pool_ids, *view.retrievable, *view.memory.membership.long_term]
        assert sum(i.nbytes for i in ids) <= footprint.view(plan).host

    def test_of_a_question(self, tenants: Tenants) -> None:
        plan = tenants.grow("long", texts("x", 40))
        view = OpenMemory(tenants.model, tenants.files, plan).view(plan)
        model = tenants.model
        reader = model.networks.reader
        (one,) = start(reader, model.tokenizer, [view], [[5] * 30], [Sampling(max_tokens=20)])
        while one.finish_reason is None:
            advance(reader, [one])
        reading = one.reading
        held = sum(t.nbytes for pairs in (reading.own, reading.fetched) for p in pairs for t in p)
        reckoned = Footprint(model).question(30, 20).device
        assert held <= reckoned <= 1.1 * held + 1000

    def test_a_brought_memory(self, tmp_path: Path) -> None:
        write_official(tmp_path / "model", genesis=10)
        tenants = Tenants(MPlus.load(tmp_path / "model"), ObjectStore.open(str(tmp_path / "rows")))
        for steps in (0, 2, 9):
            plan = tenants.grow(f"tenant {steps}", texts("x", steps))
            view = OpenMemory(tenants.model, tenants.files, plan).view(plan)
            assert footprint_of(tenants, plan).device == view.nbytes


def footprint_of(tenants: Tenants, plan: ReadPlan) -> Bytes:
    return Footprint(tenants.model).view(plan)


def key_bytes(memory: Memory) -> int:
    """Of retriever keys, their int8 copies and what is kept to search them."""
    store = memory.store
    total = store.index.nbytes if store.index is not None else 0
    for segment in store._segments[store._genesis :]:
        total += segment.keys.nbytes
        total += sum(t.nbytes for t in segment.coarse or ())
    return total


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tenants, list[ReadPlan]]:
    folder = tmp_path_factory.mktemp("four")
    tenants = Tenants(load(folder / "model"), ObjectStore.open(str(folder / "rows")))
    return tenants, [tenants.grow(name, texts(name, 9), seed) for seed, name in enumerate("abcd")]


def room_for(tenants: Tenants, plans: list[ReadPlan], tokens: int = 3) -> dict[str, int]:
    """For these memories and one question."""
    footprint = Footprint(tenants.model)
    total = footprint.question(30, tokens)
    for plan in plans:
        total += footprint.rows(plan) + footprint.view(plan)
    return {"device_bytes": total.device, "host_bytes": total.host}


class TestTiers:
    def test_hits_and_evictions(self, four: tuple[Tenants, list[ReadPlan]]) -> None:
        tenants, (a, b, c, _) = four
        with answering(tenants.model, tenants.files, **room_for(tenants, [a, b])) as engine:
            for plan in (a, b, a, c, a, b):  # b goes for c, and c for b
                ask(engine, asked(plan, "Who?", max_tokens=3))[0].wait()
            stats = engine.stats()
            assert (stats.misses, stats.device_hits, stats.host_hits) == (4, 2, 0)
            assert stats.evictions >= 2
            assert 0 < stats.device_used <= stats.device_bytes
            assert 0 < stats.host_used <= stats.host_bytes

    def test_a_memory_whose_view_went_is_still_on_the_host(
        self, four: tuple[Tenants, list[ReadPlan]]
    ) -> None:
        tenants, (a, b, *_) = four
        room = room_for(tenants, [a]) | {"host_bytes": PLENTY}
        with answering(tenants.model, tenants.files, **room) as engine:
            for plan in (a, b, a, b):
                ask(engine, asked(plan, "Who?", max_tokens=3))[0].wait()
            stats = engine.stats()
            assert (stats.misses, stats.host_hits) == (2, 2)
            assert (stats.views, stats.memories) == (1, 2)

    def test_a_later_plan_adds_what_is_new(self, four: tuple[Tenants, list[ReadPlan]]) -> None:
        tenants, (a, *_) = four
        reads = CountedFiles(tenants.files)
        with answering(tenants.model, reads) as engine:
            for step in (3, 6, 9, 9, 6):
                told = ask(engine, asked(at(a, step), "Who?", max_tokens=5))[0].wait()
                tenants.check(told, at(a, step), "Who?", max_tokens=5)
            assert (engine.stats().misses, engine.stats().host_hits) == (1, 2)
        assert reads.names == [shard.file for shard in a.shards], "each file once"

    def test_an_earlier_step_does_not_push_out_the_newest(
        self, four: tuple[Tenants, list[ReadPlan]]
    ) -> None:
        tenants, (a, *_) = four
        room = room_for(tenants, [a, a]) | {"host_bytes": PLENTY}
        with answering(tenants.model, tenants.files, **room) as engine:
            ask(engine, asked(a, "Who?", max_tokens=3))[0].wait()
            for step in (3, 6, 4, 5, 7):
                past = replace(a, step=step)
                told = ask(engine, asked(past, "Who?", max_tokens=3))[0].wait()
                tenants.check(told, past, "Who?", max_tokens=3)
            before = engine.stats().device_hits
            ask(engine, asked(a, "Who?", max_tokens=3))[0].wait()
            assert engine.stats().device_hits == before + 1
            assert engine.stats().evictions >= 3

    def test_merged_files_are_opened_anew(self, four: tuple[Tenants, list[ReadPlan]]) -> None:
        tenants, _ = four
        whole = tenants.grow("merged", texts("m", 12), per_file=12)
        parts = tenants.grow("merged", texts("m", 12), per_file=4)
        with answering(tenants.model, tenants.files) as engine:
            running, handle = ask(engine, asked(at(parts, 8), "Who?", max_tokens=3000))
            assert running.first.wait(PATIENCE)
            for plan in (whole, at(parts, 8), whole):
                told = ask(engine, asked(plan, "Who?", max_tokens=5))[0].wait()
                tenants.check(told, plan, "Who?", max_tokens=5)
            handle.cancel()


class CountedFiles(ObjectStore):
    def __init__(self, files: ObjectStore) -> None:
        super().__init__(files.url, files._store)
        self.names: list[str] = []

    def read(self, name: str) -> Any:
        self.names.append(name)
        return super().read(name)


class TestRoom:
    def test_what_could_never_fit_is_refused(self, four: tuple[Tenants, list[ReadPlan]]) -> None:
        tenants, (a, *_) = four
        for tier in ("device_bytes", "host_bytes"):
            room = room_for(tenants, [a]) | {tier: 100}
            with answering(tenants.model, tenants.files, **room) as engine:
                listener, _ = ask(engine, asked(a, "Who?", max_tokens=3))
                with pytest.raises(MemoryTooLargeError, match=r"give it more"):
                    listener.wait()

    def test_a_question_waits_for_room(self, four: tuple[Tenants, list[ReadPlan]]) -> None:
        tenants, (a, b, *_) = four
        room = room_for(tenants, [a], tokens=150)
        with answering(tenants.model, tenants.files, **room) as engine:
            running, _ = ask(engine, asked(a, "Who?", max_tokens=150))
            waiting, _ = ask(engine, asked(b, "Who?", max_tokens=3))
            running.wait()
            waiting.wait()
            assert engine.stats().views == 1

    def test_those_that_fit_pass_but_not_for_ever(
        self, four: tuple[Tenants, list[ReadPlan]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whenever the one memory that is read is asked again, another one would wait for ever."""
        tenants, (a, b, *_) = four
        monkeypatch.setattr(line, "_OVERTAKINGS", 6)
        done: list[str] = []
        enough = threading.Event()
        room = room_for(tenants, [a], tokens=60)
        with answering(tenants.model, tenants.files, **room, slots=2) as engine:
            for count in (9, 12):  # so that they never end together
                self.ask_again(engine, asked(a, "Who?", max_tokens=count), done, enough, 40)
            other, _ = ask(engine, asked(b, "Who?", max_tokens=3))
            other.wait()
            before = len(done)
            assert enough.wait(PATIENCE)
        assert before <= 6 + 6

    def ask_again(
        self, engine: Answering, question: Any, done: list[str], enough: threading.Event, most: int
    ) -> None:
        """Ask the same whenever it is answered, so that its memory is never out of use."""

        def deliver(event: Event) -> None:
            if not isinstance(event, AskResult):
                return
            done.append(event.answer.text)
            if len(done) >= most:
                enough.set()
            else:
                engine.ask(question, deliver)

        engine.ask(question, deliver)
