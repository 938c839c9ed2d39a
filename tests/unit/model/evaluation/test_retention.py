"""Facts, and for how many steps they are remembered."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.facts import WAYS, tell_fact
from mplus_ray.model.evaluation.data.telling import ToldDocument
from mplus_ray.model.evaluation.data.text import RunningText
from mplus_ray.model.evaluation.retention import RetentionPlan, pool_only, retention
from mplus_ray.model.evaluation.scoring.asking import ask
from tests.unit.model.evaluation.told import SIZE, memory_of, piece


class TestFacts:
    @pytest.mark.parametrize("way", WAYS)
    def test_the_answer_is_told_and_fits_into_chunks(
        self, mplus: MPlus, text: RunningText, way: str
    ) -> None:
        rng = Random(4)
        reader = text.reader(rng)
        for _ in range(20):
            told = tell_fact(way, rng, reader, mplus.tokenizer, SIZE)
            (question,) = told[-1].questions
            assert not any(d.questions for d in told[:-1])
            assert question.answers[0].casefold() in told[-1].chunks[0].text.casefold()
            sizes = [len(chunk.ids) for d in told for chunk in d.chunks]
            assert max(sizes) <= SIZE
            assert way in ("sentence", "restated") or set(sizes) == {SIZE}

    def test_sentences_that_never_fit(self, mplus: MPlus, text: RunningText) -> None:
        rng = Random(0)
        with pytest.raises(InvalidInputError, match="does not fit"):
            tell_fact("prose", rng, text.reader(rng), mplus.tokenizer, 4)


class TestRetention:
    def test_the_shape_is_the_contract(self, mplus: MPlus, text: RunningText) -> None:
        memorized: list[int] = []
        plan = RetentionPlan([700, 0], questions=5, tenants=2, seed=1)
        result = retention(mplus, text, plan, memorized.append)
        assert set(result["arms"]) == {"mplus", "memoryllm", "none"}
        for points in result["arms"].values():
            assert list(points) == ["0", "700"]
            for entry in points.values():
                assert set(entry) == {"exact", "low", "high", "n"}
                assert entry["n"] == 5
                assert 0 <= entry["low"] <= entry["exact"] <= entry["high"] <= 1
        assert sum(memorized) == pytest.approx(plan.tokens(SIZE), rel=0.5)
        assert result == retention(mplus, text, plan)
        json.dumps(result)

    def test_what_was_just_told_is_read_in_the_pool(self, mplus: MPlus, text: RunningText) -> None:
        result = retention(mplus, text, RetentionPlan([0], questions=4, tenants=1))
        assert result["read"]["0"]["block"] == result["read"]["0"]["rows"] == 1.0

    def test_a_model_that_repeats_the_fact_scores(
        self, mplus: MPlus, text: RunningText, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The whole way from fact to figure, with answers looked up in the log of the tenant."""
        from mplus_ray.model.evaluation import retention as module

        facts: dict[str, str] = {}

        def remember(*arguments: Any) -> list[ToldDocument]:
            told = tell_fact(*arguments)
            facts[told[-1].questions[0].text] = told[-1].questions[0].answers[0]
            return told

        def know(mplus: MPlus, views: Any, questions: Any, **options: Any) -> Any:
            answers = ask(mplus, views, questions, **options)
            for view, question, asked in zip(views, questions, answers, strict=True):
                pool = view.memory.membership.pool
                known = pool.shape[1] > 0 and len(view.retrievable[0]) > 0
                object.__setattr__(asked.answer, "text", facts[question] if known else "?")
            return answers

        monkeypatch.setattr(module, "tell_fact", remember)
        monkeypatch.setattr(module, "ask", know)
        arms = retention(mplus, text, RetentionPlan([2000], questions=4, tenants=2))["arms"]
        assert {arm: points["2000"]["exact"] for arm, points in arms.items()} == {
            "mplus": 1.0,
            "memoryllm": 0.0,
            "none": 0.0,
        }

    def test_the_pool_alone_has_no_long_term_rows(self, mplus: MPlus) -> None:
        memory = memory_of(mplus, [piece(mplus, "x" * 9)] * 9, 0)
        alone = pool_only(memory)
        assert len(memory.membership.retrievable(0)) > 0
        assert len(alone.membership.retrievable(0)) == 0
        assert np.array_equal(alone.membership.pool, memory.membership.pool)

    @pytest.mark.parametrize(
        "plan", [RetentionPlan([]), RetentionPlan([-1]), RetentionPlan([0], questions=0)]
    )
    def test_nothing_to_measure(self, mplus: MPlus, text: RunningText, plan: RetentionPlan) -> None:
        with pytest.raises(InvalidInputError):
            retention(mplus, text, plan)
