"""Answers together: their pieces, their slots, and those that are given up."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.request import Event, RequestHandle
from mplus_ray.model.errors import (
    OverloadedError,
)
from tests.readers import (
    PATIENCE,
    GatedFiles,
    Tenants,
    answering,
    ask,
    asked,
    texts,
)
from tests.unit.actors.reading.busy import LONG, idle


class TestPieces:
    @pytest.mark.parametrize("stop", [(), ("a",), ("\n", " ")])
    def test_together_they_are_the_text(
        self, tenants: Tenants, plans: dict[str, ReadPlan], stop: tuple[str, ...]
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            heard = []
            for seed in range(12):
                sampling: dict[str, Any] = {
                    "max_tokens": 40,
                    "temperature": 2.0,
                    "seed": seed,
                    "stop": stop,
                }
                heard.append(ask(engine, asked(plans["anna"], "What?", **sampling))[0])
            for listener in heard:
                text = listener.wait().answer.text
                assert text == text.strip()
                assert not any(end in text for end in stop)

    def test_they_come_before_the_end(self, tenants: Tenants, plans: dict[str, ReadPlan]) -> None:
        with answering(tenants.model, tenants.files) as engine:
            listener, handle = ask(engine, asked(plans["anna"], "What?", max_tokens=LONG))
            assert listener.first.wait(PATIENCE)
            assert not listener.last.is_set()
            handle.cancel()


class TestBatching:
    def test_a_new_question_does_not_wait_for_a_long_answer(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            long, handle = ask(engine, asked(plans["anna"], "What?", max_tokens=LONG))
            assert long.first.wait(PATIENCE)
            for name in ("anna", "bela", "cora"):
                short, _ = ask(engine, asked(plans[name], "Who?", max_tokens=2))
                short.wait()
            assert not long.last.is_set()
            handle.cancel()

    def test_answers_go_on_while_another_memory_is_opened(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        gated = GatedFiles(tenants.files)
        with answering(tenants.model, gated) as engine:
            slow, _ = ask(engine, asked(plans["bela"], "Who?", max_tokens=2))
            assert gated.waiting.wait(PATIENCE)
            ask(engine, asked(plans["emil"], "Who?", max_tokens=20))[0].wait()  # has no file
            assert not slow.events
            gated.gate.set()
            slow.wait()

    def test_questions_of_one_memory_share_a_view(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        gated = GatedFiles(tenants.files)
        with answering(tenants.model, gated) as engine:
            heard = [ask(engine, asked(plans["anna"], f"Who {n}?"))[0] for n in range(5)]
            gated.gate.set()
            for listener in heard:
                listener.wait()
            stats = engine.stats()
            assert (stats.misses, stats.device_hits, stats.host_hits) == (1, 4, 0)
            assert (stats.views, stats.memories) == (1, 1)

    def test_no_more_answers_at_once_than_slots(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        with answering(tenants.model, tenants.files, slots=2) as engine:
            running = [
                ask(engine, asked(plans["anna"], "What?", max_tokens=LONG)) for _ in range(2)
            ]
            for listener, _ in running:
                assert listener.first.wait(PATIENCE)
            third, _ = ask(engine, asked(plans["anna"], "What?", max_tokens=1))
            assert (engine.stats().running, engine.stats().queued) == (2, 1)
            running[0][1].cancel()
            third.wait()
            assert not running[1][0].last.is_set()
            running[1][1].cancel()

    def test_a_full_queue_is_said_at_once(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        with answering(tenants.model, tenants.files, slots=1, queue=2) as engine:
            listener, first = ask(engine, asked(plans["anna"], "What?", max_tokens=LONG))
            assert listener.first.wait(PATIENCE)
            waiting = [ask(engine, asked(plans["anna"], "What?", max_tokens=1)) for _ in range(2)]
            with pytest.raises(OverloadedError, match="2 questions are waiting"):
                ask(engine, asked(plans["anna"], "What?"))
            waiting[1][1].cancel()
            ask(engine, asked(plans["anna"], "What?", max_tokens=1))
            first.cancel()
            waiting[0][0].wait()


class TestCancelling:
    def test_nothing_is_delivered_afterwards(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            for _ in range(20):
                listener, handle = ask(engine, asked(plans["anna"], "What?", max_tokens=LONG))
                assert listener.first.wait(PATIENCE)
                handle.cancel()
                count = len(listener.events)
                ask(engine, asked(plans["anna"], "What?", max_tokens=3))[0].wait()
                assert len(listener.events) == count
                assert engine.stats().running == 0
                handle.cancel()
            assert engine.stats().cancelled == 20

    def test_the_memory_is_free_afterwards(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            listener, handle = ask(engine, asked(plans["anna"], "What?", max_tokens=LONG))
            assert listener.first.wait(PATIENCE)
            handle.cancel()
            idle(engine)
            engine.close("anna")
            stats = engine.stats()
            assert (stats.device_used, stats.host_used) == (0, 0)

    def test_while_its_memory_is_opened(self, tenants: Tenants, plans: dict[str, ReadPlan]) -> None:
        gated = GatedFiles(tenants.files)
        with answering(tenants.model, gated) as engine:
            listener, handle = ask(engine, asked(plans["anna"], "What?"))
            assert gated.waiting.wait(PATIENCE)
            handle.cancel()
            assert engine.stats().queued == 0
            gated.gate.set()
            ask(engine, asked(plans["anna"], "What?"))[0].wait()
            assert listener.events == []
            assert engine.stats().misses == 1, "what was opened meanwhile is kept"

    def test_before_its_memory_is_opened(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        """Four threads open; the fifth memory nobody wants any more is not opened at all."""
        extra = [tenants.grow(f"tenant {n}", texts("x", 3)) for n in range(4)]
        gated = GatedFiles(tenants.files)
        with answering(tenants.model, gated) as engine:
            heard = [ask(engine, asked(plan, "What?", max_tokens=1))[0] for plan in extra]
            listener, handle = ask(engine, asked(plans["anna"], "What?"))
            handle.cancel()
            gated.gate.set()
            for one in heard:
                one.wait()
            idle(engine)
            assert listener.events == []
            assert engine.stats().memories == 4

    def test_from_within_a_delivery(self, tenants: Tenants, plans: dict[str, ReadPlan]) -> None:
        tickets: list[RequestHandle] = []
        there, heard = threading.Event(), []

        def deliver(event: Event) -> None:
            there.wait(PATIENCE)
            heard.append(event)
            tickets[0].cancel()

        with answering(tenants.model, tenants.files) as engine:
            tickets.append(engine.ask(asked(plans["anna"], "What?", max_tokens=LONG), deliver))
            there.set()
            ask(engine, asked(plans["anna"], "What?", max_tokens=3))[0].wait()
            idle(engine)
        assert len(heard) == 1

    def test_a_delivery_that_fails_is_the_end_of_its_question_alone(
        self,
        tenants: Tenants,
        plans: dict[str, ReadPlan],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        heard = []

        def deliver(event: Event) -> None:
            heard.append(event)
            raise RuntimeError("the loop is closed")

        with answering(tenants.model, tenants.files) as engine:
            engine.ask(asked(plans["anna"], "What?", max_tokens=LONG), deliver)
            ask(engine, asked(plans["anna"], "What?", max_tokens=50))[0].wait()
            idle(engine)
            assert engine.stats().cancelled == 1
        assert len(heard) == 1
        assert "could not be delivered" in caplog.text
