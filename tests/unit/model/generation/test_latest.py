"""Of statements about the same that answer a question, the latest is read; nothing else moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mplus_ray.model import MPlus
from mplus_ray.model.generation.latest import answering_odds
from mplus_ray.model.memory.step_order import StepOrder
from tests.checkpoints import INPUT_ROWS, write_checkpoint

TEXTS = (
    "Anna lives in Brelin.",
    "Bela lives in Dorvas.",
    "Anna lives in Kastel.",
    "Anna sings of the owl.",
    "Cora lives in Tresk.",
)
ALWAYS, NEVER = -1e6, 1e6  # odds from which on every block answers, and none does


def load(folder: Path, **changes: Any) -> MPlus:
    settings = {"refusal": " no", "max_vote_gap": 50.0, "num_ltm_blocks": 3, **INPUT_ROWS}
    write_checkpoint(folder, **{**settings, **changes})
    return MPlus.load(folder, device="cpu")


def first(mplus: MPlus, question: str, **view: Any) -> list[int]:
    """The steps that an answer draws on, the best first."""
    memory = mplus.empty_memory()
    for text in TEXTS:
        memory = mplus.memorize(memory, text)
    answer = mplus.ask(mplus.view(memory, **view), question, max_tokens=1)
    return [source.step for source in answer.sources]


def test_the_latest_that_answers_comes_before_all(tmp_path: Path) -> None:
    mplus = load(tmp_path, latest_odds=ALWAYS)
    assert first(mplus, "Where does Anna live?")[0] == 3, "every block answers, says this model"
    assert first(mplus, "Where does Bela live?")[0] == 1, "nothing else is about Bela"
    forgotten = first(mplus, "Where does Anna live?", forgotten=[(3, 4)])
    assert forgotten[0] == 2


def test_what_happened_earlier_is_not_the_latest(tmp_path: Path) -> None:
    mplus = load(tmp_path, latest_odds=ALWAYS)
    earlier = StepOrder.of([(2, 4, -1.0)])
    assert first(mplus, "Where does Anna live?", order=earlier)[0] == 0


@pytest.mark.parametrize("odds", [None, NEVER])
def test_without_two_that_answer_votes_stand(tmp_path: Path, odds: float | None) -> None:
    mplus = load(tmp_path, latest_odds=odds)
    assert first(mplus, "Where does Anna live?")[0] in (0, 2)


def test_long_blocks_are_read_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mplus_ray.model.generation.latest._LONGEST", 3)
    mplus = load(tmp_path, latest_odds=ALWAYS)
    assert first(mplus, "Where does Anna live?")[0] in (0, 2)


def test_answers_do_not_depend_on_what_is_asked_beside(tmp_path: Path) -> None:
    mplus = load(tmp_path, latest_odds=ALWAYS)
    memory = mplus.empty_memory()
    for text in TEXTS:
        memory = mplus.memorize(memory, text)
    questions = ["Where does Anna live?", "Where does Bela live?", "Who sings?"]
    together = mplus.ask_many([memory] * 3, questions, max_tokens=4)
    assert [one.text for one in together] == [
        mplus.ask(memory, question, max_tokens=4).text for question in questions
    ]


def test_odds_are_of_any_other_beginning() -> None:
    logits = torch.tensor([0.5, 0.25, 0.25]).log()
    assert answering_odds(logits, 0) == pytest.approx(0.0, abs=1e-6)
    assert answering_odds(logits, 1) == pytest.approx(float(torch.tensor(3.0).log()))


def test_it_needs_a_refusal_and_a_gap(tmp_path: Path) -> None:
    for missing in ({"refusal": None}, {"max_vote_gap": None}):
        with pytest.raises(Exception, match="latest_odds"):
            load(tmp_path, latest_odds=1.0, **missing)
