"""What an answer says beside its text: citations, confidence, and what is read for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mplus_ray.actors.messages import (
    AskRequest,
    TextDelta,
    Turn,
)
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.reader import Reader
from mplus_ray.model import MPlus
from mplus_ray.model.evaluation.abstention import evidence_of
from mplus_ray.model.generation.confidence import FEATURES, Confidence
from mplus_ray.model.generation.prompt import question_prompt
from mplus_ray.model.memory.step_ranges import StepRanges
from mplus_ray.model.object_store.object_store import ObjectStore
from tests.readers import (
    Listener,
    Tenants,
    answering,
    ask,
    asked,
    load,
    texts,
)


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

    def test_what_a_filter_leaves_out_is_neither_read_nor_named(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        chosen = replace(plans["anna"], only=StepRanges.of([(1, 3)]))
        with answering(tenants.model, tenants.files) as engine:
            every, _ = ask(engine, asked(plans["anna"], "Who?", citations=20, max_tokens=5))
            before = every.wait()
            some, _ = ask(engine, asked(chosen, "Who?", citations=20, max_tokens=5))
            assert {source.step for source in some.wait().answer.sources} == {1, 2}
            # A filter leaves the prepared memory of other questions where it is.
            again, _ = ask(engine, asked(plans["anna"], "Who?", citations=20, max_tokens=5))
            assert again.wait() == before
            assert engine.stats().device_hits == 1

    def test_a_listener_hears_only_text(self, tenants: Tenants, plans: dict[str, ReadPlan]) -> None:
        listener = Listener()
        with answering(tenants.model, tenants.files) as engine:
            engine.ask(asked(plans["anna"], "Who?", max_tokens=30), listener)
            told = listener.wait()
        assert (told.confidence, told.threshold) == (None, None)
        assert all(isinstance(event, TextDelta) and event.text for event in listener.events[:-1])
