"""From which confidence on an answer is worth giving."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.abstention import (
    CANDIDATES,
    After,
    Sample,
    abstention,
    choose,
    collect,
    evidence_of,
)
from mplus_ray.model.evaluation.data.telling import ToldDocument
from mplus_ray.model.evaluation.data.text import RunningText
from mplus_ray.model.generation.confidence import FEATURES, Confidence, Evidence
from tests.unit.model.evaluation.told import SIZE, document, memory_of


class TestAbstention:
    def documents(self, mplus: MPlus, count: int = 12) -> list[ToldDocument]:
        rng = Random(0)
        return [
            document(mplus, f"The {rng.random()} of {n}.", asked=f"What of {n}?")
            for n in range(count)
        ]

    def test_every_question_is_asked_of_both(self, mplus: MPlus) -> None:
        samples = collect(mplus, self.documents(mplus), 0, lambda tokens: None)
        assert Counter((s.question, s.stored) for s in samples) == Counter(
            {(n, stored): 1 for n in range(12) for stored in (True, False)}
        )

    def test_the_tenant_was_told_what_is_called_stored(self, mplus: MPlus) -> None:
        documents = self.documents(mplus, 8)
        samples = collect(mplus, documents, 1, lambda tokens: None)
        order = list(range(8))
        Random(1).shuffle(order)
        for half, seed in ((order[0::2], 2), (order[1::2], 3)):
            log = [chunk for n in half for chunk in documents[n].chunks]
            view = mplus.view(memory_of(mplus, log, seed))
            for number in half:
                question = documents[number].questions[0].text
                (wanted,) = evidence_of(mplus, [view], [question])
                (found,) = [s.evidence for s in samples if s.question == number and s.stored]
                assert found.best_vote == pytest.approx(wanted.best_vote, rel=1e-4)
                assert found.mean_logprob == pytest.approx(wanted.mean_logprob, rel=1e-3)

    def test_figures(self, mplus: MPlus) -> None:
        documents = self.documents(mplus)
        result, confidence = abstention(mplus, documents, seed=2)
        assert 0 <= result["low"] <= result["auroc"] <= result["high"] <= 1
        assert result["n"] == 6
        assert result["roc"][0] == [0.0, 0.0]
        assert result["roc"][-1] == [1.0, 1.0]
        assert confidence.fingerprint == mplus.fingerprint
        names, figures = list(result["candidates"]), list(result["candidates"].values())
        chosen = names.index("+".join(result["features"]))
        assert all(figure < figures[chosen] for figure in figures[:chosen])
        assert result == abstention(mplus, documents, seed=2)[0]

    @pytest.mark.parametrize(
        ("telling", "chosen"),
        [
            ({"standing_out", "certainty"}, ("standing_out", "mean_logprob")),
            ({"certainty"}, ("certainty",)),
        ],
    )
    def test_what_is_preferred_is_chosen_unless_it_is_worse(
        self, telling: set[str], chosen: tuple[str, ...]
    ) -> None:
        rng = Random(0)
        samples = [
            Sample(
                number,
                number,
                stored,
                Evidence(*(rng.random() + 2 * (stored and name in telling) for name in FEATURES)),
            )
            for number in range(40)
            for stored in (False, True)
        ]
        kinds = [sample.stored for sample in samples]
        evidence = [sample.evidence for sample in samples]
        fitted = {names: Confidence.fit(evidence, kinds, names, "") for names in CANDIDATES}
        assert choose(fitted, samples, 0)[0] == chosen

    def test_text_may_come_between(self, mplus: MPlus, text: RunningText) -> None:
        documents, memorized = self.documents(mplus, 8), list[int]()
        collect(mplus, documents, 0, memorized.append, After(text, 500))
        told = sum(len(chunk.ids) for d in documents for chunk in d.chunks)
        assert told + 1000 <= sum(memorized) < told + 1000 + 2 * SIZE

    def test_too_few(self, mplus: MPlus) -> None:
        with pytest.raises(InvalidInputError, match="at least 8"):
            abstention(mplus, self.documents(mplus, 7))
