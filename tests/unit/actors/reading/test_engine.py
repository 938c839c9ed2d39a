"""Many questions to many tenants at once: each answer is the one it would have alone."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.actors.messages import (
    AskRequest,
    AskResult,
    SearchRequest,
    SearchResult,
    TextDelta,
    Turn,
)
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.engine import Answering
from mplus_ray.actors.reading.reader import Reader
from mplus_ray.actors.reading.request import Event, ReadRequest, RequestHandle
from mplus_ray.model import MPlus
from mplus_ray.model.errors import (
    DamagedFileError,
    FingerprintMismatchError,
    InvalidInputError,
    MPlusError,
    OverloadedError,
)
from mplus_ray.model.evaluation.abstention import evidence_of
from mplus_ray.model.generation.confidence import FEATURES, Confidence
from mplus_ray.model.generation.prompt import question_prompt
from mplus_ray.model.object_store.object_store import ObjectStore
from tests.readers import (
    PATIENCE,
    RETRIEVALS,
    FarFiles,
    GatedFiles,
    Listener,
    Tenants,
    answering,
    ask,
    asked,
    at,
    load,
    texts,
)


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


LONG = 3000  # tokens of an answer that is not done before a test is


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Tenants:
    folder = tmp_path_factory.mktemp("tenants")
    return Tenants(load(folder / "model"), ObjectStore.open(str(folder / "rows")))


@pytest.fixture(scope="module")
def plans(tenants: Tenants) -> dict[str, ReadPlan]:
    names = {"anna": 12, "bela": 9, "cora": 6, "dora": 1, "emil": 0}
    return {
        name: tenants.grow(name, texts(name, count), seed)
        for seed, (name, count) in enumerate(names.items())
    }


class TestTheSameAsAlone:
    @pytest.mark.parametrize("form", RETRIEVALS)
    def test_for_every_kind_of_retrieval(self, tmp_path: Path, form: str) -> None:
        tenants = Tenants(load(tmp_path / "model", form), ObjectStore.open(str(tmp_path / "rows")))
        plans = [tenants.grow(name, texts(name, 7), seed) for seed, name in enumerate("abc")]
        questions = [(plan, f"What did {n} say?") for plan in plans for n in range(3)]
        with answering(tenants.model, tenants.files) as engine:
            heard = [
                ask(engine, asked(plan, question, max_tokens=9))[0] for plan, question in questions
            ]
            for listener, (plan, question) in zip(heard, questions, strict=True):
                tenants.check(listener.wait(), plan, question, max_tokens=9)

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("roomy", [True, False], ids=["roomy", "tight"])
    def test_in_any_order_with_evictions_and_cancellations(
        self, tenants: Tenants, plans: dict[str, ReadPlan], seed: int, roomy: bool
    ) -> None:
        rng = random.Random(seed)
        plan_list = [*plans.values(), at(plans["anna"], 6), at(plans["bela"], 3)]
        options: dict[str, Any] = {"slots": rng.choice([1, 3, 32])}
        if not roomy:
            options |= tight(tenants, plan_list)
        heard: list[tuple[Listener, tuple[ReadPlan, str, dict[str, Any]] | None]] = []
        with answering(tenants.model, tenants.files, **options) as engine:
            for number in range(24):
                sampling: dict[str, Any] = {
                    "max_tokens": rng.choice([1, 4, 20]),
                    "temperature": rng.choice([0.0, 0.8]),
                    "seed": number,
                }
                plan = rng.choice(plan_list)
                question = "Who? " * rng.randint(1, 12) + str(number)
                listener, ticket = ask(engine, asked(plan, question, **sampling))
                if rng.random() < 0.25:
                    if rng.random() < 0.5:
                        listener.first.wait(0.01)
                    ticket.cancel()
                    heard.append((listener, None))
                else:
                    heard.append((listener, (plan, question, sampling)))
                if rng.random() < 0.1:
                    engine.close(plan.tenant)
            for listener, expected in heard:
                if expected is not None:
                    plan, question, sampling = expected
                    tenants.check(listener.wait(), plan, question, **sampling)
            idle(engine)
            stats = engine.stats()
            assert stats.answered + stats.cancelled == stats.asked == 24
            assert stats.failed == 0
            if not roomy:
                assert stats.evictions > 0
                assert stats.device_used <= stats.device_bytes
                assert stats.host_used <= stats.host_bytes

    @pytest.mark.parametrize("form", ["blocks", "rows", "no pool"])
    def test_searches_between_questions(self, tmp_path: Path, form: str) -> None:
        """They find what is cited, wait for no slot, and leave nothing behind."""
        tenants = Tenants(load(tmp_path / "model", form), ObjectStore.open(str(tmp_path / "rows")))
        plans = [tenants.grow(name, texts(name, 7), seed) for seed, name in enumerate("abc")]
        with answering(tenants.model, tenants.files, slots=1) as engine:
            busy, ticket = ask(engine, asked(plans[0], "What?", max_tokens=LONG))
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
            ticket.cancel()
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
            ticket = engine.search(SearchRequest(plans["anna"], "Who?"), given_up)
            assert gated.waiting.wait(PATIENCE)
            ticket.cancel()
            gated.gate.set()
            idle(engine)
            assert not given_up.last.is_set()
            assert engine.stats().cancelled == 1
        full = answering(tenants.model, tenants.files, queue=0)
        with full as engine, pytest.raises(OverloadedError):
            engine.search(SearchRequest(plans["anna"], "Who?"), Searched())

    def test_from_far_away(self, tenants: Tenants, plans: dict[str, ReadPlan]) -> None:
        with answering(tenants.model, FarFiles(tenants.files)) as engine:
            heard = {
                name: ask(engine, asked(plan, "What?", max_tokens=1 + number))[0]
                for number, (name, plan) in enumerate(plans.items())
            }
            for number, (name, listener) in enumerate(heard.items()):
                tenants.check(listener.wait(), plans[name], "What?", max_tokens=1 + number)

    def test_a_prompt_too_long_for_one_step(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        question = "Who said what to whom? " * 40
        with answering(tenants.model, tenants.files) as engine:
            first, _ = ask(engine, asked(plans["anna"], question, max_tokens=1))
            second, _ = ask(engine, asked(plans["bela"], question, max_tokens=5))
            tenants.check(first.wait(), plans["anna"], question, max_tokens=1)
            tenants.check(second.wait(), plans["bela"], question, max_tokens=5)


def tight(tenants: Tenants, plans: list[ReadPlan]) -> dict[str, int]:
    """Room for the largest memory with its longest question, and hardly more."""
    with answering(tenants.model, tenants.files) as engine:
        footprint = engine._admission.memories.footprint
        needs = [footprint.rows(p) + footprint.view(p) + footprint.question(400, 20) for p in plans]
    return {
        "device_bytes": max(need.device for need in needs),
        "host_bytes": max(need.host for need in needs),
    }


def idle(engine: Answering) -> None:
    """Wait until nothing runs, waits or is being opened."""

    def nothing() -> bool:
        at_work = engine._running or engine._aside or len(engine._searches)
        return not (at_work or engine._admission.memories.count()[2])

    with engine._changed:
        while not nothing():
            assert engine._changed.wait(PATIENCE), "it is busy for ever"


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
            listener, ticket = ask(engine, asked(plans["anna"], "What?", max_tokens=LONG))
            assert listener.first.wait(PATIENCE)
            assert not listener.last.is_set()
            ticket.cancel()


class TestBatching:
    def test_a_new_question_does_not_wait_for_a_long_answer(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            long, ticket = ask(engine, asked(plans["anna"], "What?", max_tokens=LONG))
            assert long.first.wait(PATIENCE)
            for name in ("anna", "bela", "cora"):
                short, _ = ask(engine, asked(plans[name], "Who?", max_tokens=2))
                short.wait()
            assert not long.last.is_set()
            ticket.cancel()

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
                listener, ticket = ask(engine, asked(plans["anna"], "What?", max_tokens=LONG))
                assert listener.first.wait(PATIENCE)
                ticket.cancel()
                count = len(listener.events)
                ask(engine, asked(plans["anna"], "What?", max_tokens=3))[0].wait()
                assert len(listener.events) == count
                assert engine.stats().running == 0
                ticket.cancel()
            assert engine.stats().cancelled == 20

    def test_the_memory_is_free_afterwards(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            listener, ticket = ask(engine, asked(plans["anna"], "What?", max_tokens=LONG))
            assert listener.first.wait(PATIENCE)
            ticket.cancel()
            idle(engine)
            engine.close("anna")
            stats = engine.stats()
            assert (stats.device_used, stats.host_used) == (0, 0)

    def test_while_its_memory_is_opened(self, tenants: Tenants, plans: dict[str, ReadPlan]) -> None:
        gated = GatedFiles(tenants.files)
        with answering(tenants.model, gated) as engine:
            listener, ticket = ask(engine, asked(plans["anna"], "What?"))
            assert gated.waiting.wait(PATIENCE)
            ticket.cancel()
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
            listener, ticket = ask(engine, asked(plans["anna"], "What?"))
            ticket.cancel()
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


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"sampling": {"temperature": -1}}, "temperature"),
            ({"sampling": {"temprature": 1}}, "no option temprature"),
            ({"turns": (Turn("user", "  "),)}, "empty"),
            ({"turns": ()}, "must end in a message of the user"),
            ({"turns": (Turn("assistant", "Hello."),)}, "must end in a message of the user"),
            ({"citations": 21}, "0 to 20"),
            ({"sampling": {"max_tokens": 131_072}}, "can read 0"),
        ],
    )
    def test_what_is_wrong_with_a_question_is_told_to_it(
        self, tenants: Tenants, plans: dict[str, ReadPlan], change: dict[str, Any], said: str
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            good, _ = ask(engine, asked(plans["anna"], "What?"))
            whole = {"turns": (Turn("user", "What?"),), "plan": plans["anna"], **change}
            bad, _ = ask(engine, AskRequest(**whole))
            with pytest.raises(InvalidInputError, match=said):
                bad.wait()
            good.wait()
            assert (engine.stats().failed, engine.stats().answered) == (1, 1)

    def test_a_memory_of_other_weights(
        self, tenants: Tenants, plans: dict[str, ReadPlan], tmp_path: Path
    ) -> None:
        other = load(tmp_path / "model", seed=5)
        own = Tenants(other, tenants.files).grow("otto", texts("otto", 3))
        with answering(other, tenants.files) as engine:
            bad, _ = ask(engine, asked(plans["anna"], "What?"))
            good, _ = ask(engine, asked(own, "What?"))
            with pytest.raises(FingerprintMismatchError, match="mplus rebuild"):
                bad.wait()
            good.wait()
            idle(engine)
            assert engine.stats().memories == 1

    def test_a_file_that_comes_back(self, tenants: Tenants, plans: dict[str, ReadPlan]) -> None:
        plan = tenants.grow("fred", texts("fred", 6))
        path = tenants.files.path(plan.shards[1].file)
        assert path is not None
        with answering(tenants.model, tenants.files) as engine:
            ask(engine, asked(at(plan, 3), "What?"))[0].wait()
            path.rename(path.with_suffix(".away"))
            bad = [ask(engine, asked(plan, "What?"))[0] for _ in range(2)]
            good, _ = ask(engine, asked(plans["anna"], "What?"))
            for listener in bad:
                with pytest.raises(DamagedFileError, match="missing"):
                    listener.wait()
            good.wait()
            path.with_suffix(".away").rename(path)
            told = ask(engine, asked(plan, "What?", max_tokens=7))[0].wait()
            tenants.check(told, plan, "What?", max_tokens=7)

    def test_a_file_that_goes_while_it_is_read(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        """Of a far file only ranges are read, when a question retrieves them."""
        plan = tenants.grow("greta", texts("greta", 9))
        with answering(tenants.model, FarFiles(tenants.files)) as engine:
            ask(engine, asked(plan, "What?"))[0].wait()
            for shard in plan.shards:
                path = tenants.files.path(shard.file)
                assert path is not None
                path.unlink()
            bad, _ = ask(engine, asked(plan, "What?"))
            good, _ = ask(engine, asked(plans["anna"], "What?"))
            with pytest.raises(DamagedFileError):
                bad.wait()
            good.wait()

    def test_a_pass_that_fails_is_told_and_the_next_one_is_well(
        self,
        tenants: Tenants,
        plans: dict[str, ReadPlan],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        from mplus_ray.actors.reading import decoding as batch

        def out_of_memory(*_: Any) -> None:
            raise RuntimeError("out of memory")

        with answering(tenants.model, tenants.files) as engine:
            ask(engine, asked(plans["anna"], "What?"))[0].wait()
            for name in ("start", "advance"):
                with monkeypatch.context() as patch:
                    patch.setattr(batch, name, out_of_memory)
                    heard = [ask(engine, asked(plans["anna"], "What?"))[0] for _ in range(3)]
                    for listener in heard:
                        with pytest.raises(MPlusError, match="out of memory"):
                            listener.wait()
                ask(engine, asked(plans["anna"], "What?"))[0].wait()
        assert "answering failed" in caplog.text

    def test_an_answer_that_cannot_be_summed_up_fails_alone(
        self, tenants: Tenants, plans: dict[str, ReadPlan], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told = ReadRequest.told

        def fail_once(question: ReadRequest, model: MPlus) -> AskResult:
            if question.asked.citations == 1:
                raise TypeError("no such number")
            return told(question, model)

        monkeypatch.setattr(ReadRequest, "told", fail_once)
        with answering(tenants.model, tenants.files) as engine:
            heard = [ask(engine, asked(plans["anna"], "What?", count))[0] for count in (0, 1, 2)]
            with pytest.raises(MPlusError, match="no such number"):
                heard[1].wait()
            heard[0].wait()
            heard[2].wait()
            assert not engine.broken
            idle(engine)
            assert (engine.stats().answered, engine.stats().failed) == (2, 1)

    def test_a_reader_that_is_broken_says_so(
        self,
        tenants: Tenants,
        plans: dict[str, ReadPlan],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            monkeypatch.setattr(engine, "_take", lambda: 1 / 0)
            with pytest.raises(OverloadedError):
                ask(engine, asked(plans["anna"], "What?"))[0].wait()
            assert engine.broken
            with pytest.raises(OverloadedError):
                ask(engine, asked(plans["anna"], "What?"))
        assert "decoding has ended" in caplog.text


class TestStopping:
    def test_everything_gets_an_error_and_the_threads_end(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        before = threading.active_count()
        gated = GatedFiles(tenants.files)
        with answering(tenants.model, gated, slots=1) as engine:
            running, _ = ask(engine, asked(plans["emil"], "What?", max_tokens=LONG))
            assert running.first.wait(PATIENCE)
            ready, _ = ask(engine, asked(plans["emil"], "What?"))
            opening, _ = ask(engine, asked(plans["anna"], "What?"))
            assert gated.waiting.wait(PATIENCE)
            stopper = threading.Thread(target=engine.stop)
            stopper.start()
            for listener in (running, ready, opening):
                with pytest.raises(OverloadedError, match="stopping"):
                    listener.wait()
            gated.gate.set()
            stopper.join(PATIENCE)
            with pytest.raises(OverloadedError, match="stopping"):
                ask(engine, asked(plans["anna"], "What?"))
            engine.stop()
        assert threading.active_count() == before


class TestIsolation:
    @pytest.mark.parametrize("form", RETRIEVALS)
    def test_what_others_have_and_ask_changes_nothing(self, tmp_path: Path, form: str) -> None:
        """The canary's words are in one tenant and in its questions, before and beside B's."""
        tenants = Tenants(load(tmp_path / "model", form), ObjectStore.open(str(tmp_path / "rows")))
        canary = tenants.grow("canary", ["the canary sings 42"] * 9, seed=1)
        mine = tenants.grow("bela", texts("bela", 8), seed=2)
        rng = random.Random(3)
        with answering(tenants.model, tenants.files, **tight(tenants, [canary, mine])) as engine:
            for _ in range(8):
                others = [
                    ask(engine, asked(canary, "canary " * rng.randint(1, 9), max_tokens=n))
                    for n in (1, 5, 30)
                ]
                told = ask(engine, asked(mine, "What is sung?", max_tokens=12))[0].wait()
                tenants.check(told, mine, "What is sung?", max_tokens=12)
                others[2][1].cancel()
            assert engine.stats().evictions > 0


class TestConfidence:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])  # of a GPU, by default
    def test_is_that_of_the_same_evidence_in_an_evaluation(
        self, tmp_path: Path, dtype: str
    ) -> None:
        folder = tmp_path / "model"
        weights = tuple(0.1 + 0.1 * number for number in range(len(FEATURES)))
        fingerprint = load(folder).fingerprint
        Confidence(FEATURES, weights, -0.5, 0.6, fingerprint).save(folder / "confidence.json")
        model = MPlus.load(folder, device="cpu", dtype=dtype)
        assert model.confidence is not None
        tenants = Tenants(model, ObjectStore.open(str(tmp_path / "rows")))
        plans = [tenants.grow(name, texts(name, 7), seed) for seed, name in enumerate("ab")]
        questions = ["Who?", "What did b say?", "Where?"]
        with answering(model, tenants.files) as engine:
            for plan in plans:
                heard = [ask(engine, asked(plan, q, max_tokens=32))[0] for q in questions]
                view = model.view(Reader(model, tenants.files).memory(plan))
                shown = evidence_of(model, [view] * len(questions), questions)
                for listener, evidence in zip(heard, shown, strict=True):
                    told = listener.wait()
                    assert told.confidence == pytest.approx(model.confidence(evidence), abs=1e-4)
                    assert told.threshold == 0.6

    @pytest.mark.parametrize(("fewest", "says"), [(2, True), (10_000, False)])
    def test_is_not_given_where_too_few_blocks_are_known(
        self, tmp_path: Path, fewest: int, says: bool
    ) -> None:
        folder = tmp_path / "model"
        fingerprint = load(folder).fingerprint
        made = Confidence(("standing_out",), (1.0,), 0.0, 0.6, fingerprint, fewest)
        made.save(folder / "confidence.json")
        model = MPlus.load(folder, device="cpu")
        tenants = Tenants(model, ObjectStore.open(str(tmp_path / "rows")))
        plan = tenants.grow("a", texts("a", 7), 0)
        with answering(model, tenants.files) as engine:
            told = ask(engine, asked(plan, "Who?"))[0].wait()
        assert (told.confidence is not None) == says


class TestAsking:
    def test_a_conversation(self, tenants: Tenants, plans: dict[str, ReadPlan]) -> None:
        turns = (Turn("user", "Who?"), Turn("assistant", "Anna."), Turn("user", "And what?"))
        with answering(tenants.model, tenants.files) as engine:
            heard = [
                ask(engine, AskRequest(plans["anna"], turns[first:], {"max_tokens": 8}))[0]
                for first in (0, 2)
            ]
            long, short = (listener.wait() for listener in heard)
        tokens = [told.answer.usage.prompt_tokens for told in (long, short)]
        # "And what?" leans on the exchange before it, which is read as it was.
        before = question_prompt(tenants.model.tokenizer, tenants.model.config, "Who?")
        assert tokens[0] == len(before) + len(" Anna.\n") + tokens[1]
        tenants.check(short, plans["anna"], "And what?", max_tokens=8)

    @pytest.mark.parametrize("count", [0, 1, 20])
    def test_citations(self, tenants: Tenants, plans: dict[str, ReadPlan], count: int) -> None:
        with answering(tenants.model, tenants.files) as engine:
            told = ask(engine, asked(plans["anna"], "Who?", citations=count, max_tokens=1))[0]
            sources = told.wait().answer.sources
        assert len({source.step for source in sources}) == len(sources) == min(count, 12)
        assert sources == sorted(sources, key=lambda source: -source.score)

    @pytest.mark.parametrize("form", ["blocks", "rows", "no pool"])
    def test_steps_that_are_in_the_pool_only_are_sources_too(
        self, tmp_path: Path, form: str
    ) -> None:
        tenants = Tenants(load(tmp_path / "model", form), ObjectStore.open(str(tmp_path / "rows")))
        plan = tenants.grow("anna", texts("anna", 3))
        with answering(tenants.model, tenants.files) as engine:
            listener, _ = ask(engine, asked(plan, "Who?", max_tokens=1))
            assert {source.step for source in listener.wait().answer.sources} == {0, 1, 2}

    def test_forgotten_steps_are_neither_read_nor_named(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        masked = replace(plans["anna"], forgotten=((2, 5),))
        with answering(tenants.model, tenants.files) as engine:
            before, _ = ask(engine, asked(plans["anna"], "Who?", citations=20, max_tokens=5))
            after, _ = ask(engine, asked(masked, "Who?", citations=20, max_tokens=5))
            assert {2, 3, 4} <= {source.step for source in before.wait().answer.sources}
            told = after.wait()
        assert not {2, 3, 4} & {source.step for source in told.answer.sources}

    def test_a_listener_hears_only_text(self, tenants: Tenants, plans: dict[str, ReadPlan]) -> None:
        listener = Listener()
        with answering(tenants.model, tenants.files) as engine:
            engine.ask(asked(plans["anna"], "Who?", max_tokens=30), listener)
            told = listener.wait()
        assert (told.confidence, told.threshold) == (None, None)
        assert all(isinstance(event, TextDelta) and event.text for event in listener.events[:-1])
