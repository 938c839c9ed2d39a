"""Searches between questions: they find what is cited and wait for no slot."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from mplus_ray.actors.messages import (
    SearchRequest,
    SearchResult,
)
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.reader import Reader
from mplus_ray.actors.reading.request import Event
from mplus_ray.model.errors import (
    FingerprintMismatchError,
    InvalidInputError,
    MPlusError,
    OverloadedError,
)
from mplus_ray.model.object_store.object_store import ObjectStore
from tests.readers import (
    PATIENCE,
    GatedFiles,
    Tenants,
    answering,
    ask,
    asked,
    load,
    texts,
)
from tests.unit.actors.reading.busy import LONG, idle


@dataclass
class Searched:
    """Waits for what a search comes to."""

    events: list[Event] = field(default_factory=list)
    last: threading.Event = field(default_factory=threading.Event)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.last.set()

    def wait(self) -> SearchResult:
        assert self.last.wait(PATIENCE), "nothing came"
        (event,) = self.events
        if isinstance(event, MPlusError):
            raise event
        assert isinstance(event, SearchResult)
        return event


class TestSearches:
    @pytest.mark.parametrize("form", ["blocks", "rows", "no pool"])
    def test_searches_between_questions(self, tmp_path: Path, form: str) -> None:
        """They find what is cited, wait for no slot, and leave nothing behind."""
        tenants = Tenants(load(tmp_path / "model", form), ObjectStore.open(str(tmp_path / "rows")))
        plans = [tenants.grow(name, texts(name, 7), seed) for seed, name in enumerate("abc")]
        with answering(tenants.model, tenants.files, slots=1) as engine:
            busy, handle = ask(engine, asked(plans[0], "What?", max_tokens=LONG))
            assert busy.first.wait(PATIENCE)
            heard = []
            for plan in plans:
                listener = Searched()
                engine.search(SearchRequest(plan, "What did a say?", 7), listener)
                heard.append((listener, plan))
            for listener, plan in heard:
                found = listener.wait().found
                memory = Reader(tenants.model, tenants.files).memory(plan)
                alone = tenants.model.search(memory, "What did a say?", 7)
                assert {one.step for one in found} == set(range(7))
                votes = [one.vote for one in alone]
                assert [one.vote for one in found] == pytest.approx(votes, abs=1e-4)
            assert engine.stats().running == 1, "the long answer has all slots"
            handle.cancel()
            idle(engine)
            stats = engine.stats()
            assert (stats.asked, stats.answered, stats.cancelled) == (4, 3, 1)
            for plan in plans:
                engine.close(plan.tenant)
            assert engine.stats().device_used == engine.stats().host_used == 0

    def test_a_search_that_fails_or_is_given_up(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            for query, limit in ((" ", 1), ("Who?", 0), ("Who?", 101)):
                refused = Searched()
                engine.search(SearchRequest(plans["anna"], query, limit), refused)
                with pytest.raises(InvalidInputError):
                    refused.wait()
            lost = Searched()
            engine.search(SearchRequest(replace(plans["anna"], fingerprint="x"), "Who?"), lost)
            with pytest.raises(FingerprintMismatchError):
                lost.wait()
            engine.close("anna")
            idle(engine)
            assert engine.stats().failed == 4
        gated = GatedFiles(tenants.files)
        with answering(tenants.model, gated) as engine:
            given_up = Searched()
            handle = engine.search(SearchRequest(plans["anna"], "Who?"), given_up)
            assert gated.waiting.wait(PATIENCE)
            handle.cancel()
            gated.gate.set()
            idle(engine)
            assert not given_up.last.is_set()
            assert engine.stats().cancelled == 1
        full = answering(tenants.model, tenants.files, queue=0)
        with full as engine, pytest.raises(OverloadedError):
            engine.search(SearchRequest(plans["anna"], "Who?"), Searched())
