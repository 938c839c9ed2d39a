"""Memory and prompts are asked the same, and what memory reads is what a prompt would have held."""

from __future__ import annotations

import json

import pytest
import torch

from mplus_ray.bench.rag.arms import arms_of
from mplus_ray.bench.rag.run import main
from mplus_ray.bench.rag.texts import tell_passages
from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.questions import read_questions
from mplus_ray.model.generation.read_pass import begin
from tests.checkpoints import INPUT_ROWS, write_checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    write_checkpoint(tmp_path / "model", **INPUT_ROWS)
    return tmp_path / "model"


@pytest.fixture
def data(tmp_path):
    rows = [
        {"title": "Ferries", "context": "The ferry leaves at nine.", "question": "When does it go?",
         "answers": ["at nine"]},
        {"title": "Lamps", "context": "Odo keeps the lamp.", "question": "Who keeps the lamp?",
         "answers": ["Odo"]},
        {"title": "Rocks", "context": "Basalt is dark.", "question": "Why?", "answers": []},
    ]  # fmt: skip
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_arm_answers_every_question(checkpoint, data):
    told: list[int] = []
    result = main(str(checkpoint), data, 10, 50, told.append)
    assert result["questions"] == 2
    assert result["memory_tokens"] == sum(told) >= 50
    memory, bm25, right = result["arms"].values()
    assert memory["times_first"] == 1
    assert memory["prompt_tokens"] < right["prompt_tokens"] <= bm25["prompt_tokens"]
    assert all(0 <= arm["f1"] <= 1 for arm in result["arms"].values())


def test_one_passage_in_memory_is_the_passage_in_the_prompt(checkpoint, data):
    mplus = MPlus.load(checkpoint, precision="float32")
    passage = read_questions(data)[0]
    told = tell_passages(mplus, [passage], 1, 1, lambda tokens: None)
    memory, _, right = arms_of(mplus, told, 1)
    found = [
        begin(mplus.networks.reader, [view], [torch.tensor(prompt)])[1][0]
        for view, prompt in (arm.start("When does it go?", 0) for arm in (memory, right))
    ]
    assert torch.allclose(found[0], found[1], atol=1e-5)


def test_too_little_text_is_said(checkpoint, data):
    with pytest.raises(InvalidInputError, match="larger file"):
        main(str(checkpoint), data, 10, 10_000)


def test_without_a_size_a_small_file_is_all_of_the_memory(checkpoint, data):
    result = main(str(checkpoint), data, 10, None)
    assert result["questions"] == 2
    assert result["memory_tokens"] > 50
