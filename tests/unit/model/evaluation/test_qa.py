"""Passages, and questions about them."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.citations import citations
from mplus_ray.model.evaluation.data.passages import PassagePlan, lay_out, plain_cut
from mplus_ray.model.evaluation.data.questions import Question, QuestionedPassage
from mplus_ray.model.evaluation.data.text import RunningText
from mplus_ray.model.evaluation.qa import qa
from tests.unit.model.evaluation.told import SIZE, passages


class TestPassages:
    def test_every_context_is_told_once_and_never_to_follow_itself(self, mplus: MPlus) -> None:
        plan = PassagePlan([0, 400], limit=None, tenants=2)
        logs = lay_out(passages(), plain_cut(mplus.tokenizer, SIZE), plan)
        own = [[logs.context(d) for d in told] for told in logs.told]
        assert sorted(chain.from_iterable(own)) == sorted(p.context for p in passages()[:6])
        assert logs.unanswered == 1
        for contexts, rest in zip(own, logs.others, strict=True):
            follow = {"".join(c.text for c in next(rest).chunks) for _ in range(30)}
            assert follow == {p.context for p in passages()} - set(contexts)

    def test_a_limit_counts_questions(self, mplus: MPlus) -> None:
        plan = PassagePlan([0], limit=3, tenants=4)
        logs = lay_out(passages(), plain_cut(mplus.tokenizer, SIZE), plan)
        assert sum(len(d.questions) for told in logs.told for d in told) == 3

    def test_running_text_may_follow_instead(self, mplus: MPlus, text: RunningText) -> None:
        cut = plain_cut(mplus.tokenizer, SIZE)
        logs = lay_out(passages()[:1], cut, PassagePlan([0], tenants=1), text)
        taken = next(logs.others[0]).chunks[0].text
        assert taken in mplus.tokenizer.decode(text.ids.tolist() * 2)

    def test_one_passage_alone_cannot_wait(self, mplus: MPlus) -> None:
        plan = PassagePlan([0, 50])
        logs = lay_out(passages()[:1], plain_cut(mplus.tokenizer, SIZE), plan)
        with pytest.raises(InvalidInputError, match="not enough other text"):
            qa(mplus, logs, plan)

    def test_qa(self, mplus: MPlus) -> None:
        plan = PassagePlan([0, 300], limit=None, tenants=2)

        def measure() -> dict[str, Any]:
            logs = lay_out(passages(), plain_cut(mplus.tokenizer, SIZE), plan)
            return qa(mplus, logs, plan)

        result = measure()
        assert result == measure()
        assert result["questions_without_answer"] == 1
        assert set(result["arms"]) == {"mplus", "context", "none", "bm25"}
        for arm, points in result["arms"].items():
            assert list(points) == ["0", "300"]
            for entry in points.values():
                assert entry["n"] == 7
                assert {"exact", "low", "high", "f1", "in_output"} <= set(entry)
            if arm in ("context", "none"):
                assert points["0"] == points["300"]
        json.dumps(result)

    def test_citations_beside_bm25(self, mplus: MPlus) -> None:
        """BM25 must find a word that stands in one chunk only, at any distance."""
        plan = PassagePlan([0, 300], limit=None, tenants=2)
        logs = lay_out(passages(), plain_cut(mplus.tokenizer, SIZE), plan)
        result = citations(mplus, logs, plan)
        for level in ("arms", "documents"):
            for distance in ("0", "300"):
                assert result[level]["bm25"][distance]["hit@1"] == 1.0
                found = result[level]["retriever"][distance]
                assert found["n"] == 7
                assert found["hit@1"] <= found["hit@3"]

    def test_an_answer_in_no_single_chunk_counts_for_documents_only(self, mplus: MPlus) -> None:
        passage = QuestionedPassage(
            "", "About the yacht.", [Question("the yacht?", ("somewhere else",))]
        )
        plan = PassagePlan([0], tenants=1)
        logs = lay_out([passage], plain_cut(mplus.tokenizer, SIZE), plan)
        result = citations(mplus, logs, plan)
        assert result["arms"]["bm25"]["0"]["n"] == 0
        assert result["arms"]["bm25"]["0"]["hit@1"] is None
        assert result["documents"]["bm25"]["0"]["hit@1"] == 1.0
