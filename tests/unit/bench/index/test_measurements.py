"""`bench.index`: the same questions every time, and both ways to elect beside the exact one."""

from __future__ import annotations

import json

import pytest

from mplus_ray.bench.index.run import measure
from mplus_ray.bench.index.world import QuestionSource
from mplus_ray.model.errors import InvalidInputError
from tests.unit.model.index.test_block_index import blocks, filled, questions


def test_both_ways_are_measured_against_scoring_everything():
    keys = blocks(320)
    found = measure(filled(keys), list(questions(keys, 3)), 20_000)
    assert (found["tokens"], found["blocks"], found["rows_a_layer"]) == (20_000, 320, 20_480)
    assert found["copies"]["recall"] == {"mean": 1.0, "worst": 1.0}
    assert found["lists"]["bytes"] > found["copies"]["bytes"] > 0
    for name in ("copies", "lists"):
        assert found[name]["ms"]["n"] == found[name]["exact_ms"]["n"] == 3
        assert found[name]["speedup"] > 0


def test_questions_come_from_the_file_in_an_order_of_their_own(tmp_path):
    path = tmp_path / "questions.jsonl"
    lines = [json.dumps({"question": f"Who was the {n}th king?"}) for n in range(50)]
    path.write_text("\n".join(lines))
    asked = QuestionSource(questions=path).asked(10)
    assert len(set(asked)) == 10
    assert asked == QuestionSource(questions=path).asked(10)
    path.write_text("")
    with pytest.raises(InvalidInputError, match="has no questions"):
        QuestionSource(questions=path).asked(10)


def test_without_files_it_is_the_demo_that_is_read():
    asked = QuestionSource().asked(20)
    assert len(asked) == 20
    assert all(30 < len(question) < 120 for question in asked)
