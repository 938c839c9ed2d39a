"""What `mplus eval relevance` fits: scores that come true on documents it was not fitted to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.questions import Question
from mplus_ray.model.evaluation.data.telling import Chunk, ToldDocument
from mplus_ray.model.evaluation.relevance import LabelledHit, _fit, relevance
from tests.checkpoints import INPUT_ROWS, write_checkpoint


def told(mplus: MPlus, count: int) -> list[ToldDocument]:
    """Documents with a word of their own, and one question that names it."""
    documents = []
    for number in range(count):
        word = "".join(chr(ord("a") + (number * k) % 26) for k in (1, 3, 5, 7, 11)) + str(number)
        text = f"The {word} is in box {number}."
        question = Question(f"Where is the {word}?", (f"box {number}",))
        chunk = Chunk(text, mplus.tokenizer.encode(text))
        documents.append(ToldDocument([chunk], (question,)))
    return documents


def test_scores_come_true_on_the_other_half(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, **INPUT_ROWS)
    mplus = MPlus.load(tmp_path, device="cpu")
    memorized: list[int] = []
    result, fitted = relevance(mplus, told(mplus, 40), advance=memorized.append)
    assert len(memorized) == 40
    assert fitted.fingerprint == mplus.fingerprint
    assert min(fitted.weights) >= 0
    assert set(result["by_size"]) == {"4", "16", "20"}
    assert result["n"] == sum(entry["n"] for entry in result["bins"])
    # A word that one document has finds it, and nothing else is likely.
    assert result["brier"] < 0.2 * result["brier_constant"]
    assert result["bins"][-1]["right"] > 0.95
    assert result["bins"][0]["right"] < 0.05
    again, same = relevance(mplus, told(mplus, 40))
    assert (again, same) == (result, fitted)


def test_a_fit_finds_the_odds_and_no_weight_below_0() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4000, 3))
    odds = 2.0 * rows[:, 0] - 1.5 * rows[:, 2] - 1.0
    right = rng.random(4000) < 1 / (1 + np.exp(-odds))
    found = [LabelledHit(0, 4, row, bool(yes)) for row, yes in zip(rows, right, strict=True)]
    fitted = _fit(found, "a")
    assert fitted.weights[2] == 0
    assert fitted.weights[0] == pytest.approx(1.7, abs=0.3)


def test_too_few_documents_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, **INPUT_ROWS)
    mplus = MPlus.load(tmp_path, device="cpu")
    with pytest.raises(InvalidInputError, match="16 are needed"):
        relevance(mplus, told(mplus, 15))
