"""Many questions to many tenants at once: each answer is the one it would have alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.object_store.object_store import ObjectStore
from tests.readers import (
    RETRIEVALS,
    FarFiles,
    Listener,
    Tenants,
    answering,
    ask,
    asked,
    at,
    load,
    texts,
)
from tests.unit.actors.reading.busy import idle, tight


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
                listener, handle = ask(engine, asked(plan, question, **sampling))
                if rng.random() < 0.25:
                    if rng.random() < 0.5:
                        listener.first.wait(0.01)
                    handle.cancel()
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
