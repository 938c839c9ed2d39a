"""A search finds what an answer draws on, in its order, for every kind of retrieval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.checkpoint.shipped import shipped_folder
from mplus_ray.model.errors import CheckpointError, InvalidInputError
from mplus_ray.model.generation.confidence import Confidence
from mplus_ray.model.index.stems import Stems, shared_words
from mplus_ray.model.memory.step_ranges import StepRanges
from mplus_ray.model.retrieval.relevance import FEATURES, FILE, Relevance, features_of
from tests.checkpoints import INPUT_ROWS, write_checkpoint

TEXTS = [f"{name} sings of the {thing}." for name in ("Anna", "Bela") for thing in ("owl", "fox")]
FORMS: dict[str, dict[str, Any]] = {
    "rows": {},
    "blocks": {"retrieval": "blocks"},
    "no pool": {"retrieval": "blocks", "pool_attended": False},
    "words": {**INPUT_ROWS},
}


def load(folder: Path, **changes: Any) -> MPlus:
    write_checkpoint(folder, **changes)
    return MPlus.load(folder, device="cpu")


@pytest.mark.parametrize("form", FORMS)
def test_it_finds_what_an_answer_draws_on(tmp_path: Path, form: str) -> None:
    mplus = load(tmp_path, **FORMS[form])
    memory = mplus.empty_memory()
    for text in TEXTS:
        memory = mplus.memorize(memory, text)
    view = mplus.view(memory, forgotten=[(1, 2)])
    for question in ("Who sings of the owl?", "Anna"):
        found = mplus.search(view, question, limit=5)
        answer = mplus.ask(view, question, max_tokens=1)
        assert [one.step for one in found] == [source.step for source in answer.sources]
        layers = mplus.config.num_hidden_layers
        votes = [source.score * layers for source in answer.sources]
        assert [one.vote for one in found] == pytest.approx(votes, abs=1e-4)
        assert 1 not in {one.step for one in found}, "it is forgotten"
        assert {one.score for one in found} == {None}, "nothing was fitted"
        assert mplus.search(view, question, limit=1) == found[:1]


@pytest.mark.parametrize("form", FORMS)
def test_sources_of_an_answer_are_as_relevant_as_what_a_search_finds(
    tmp_path: Path, form: str
) -> None:
    plain = load(tmp_path, **FORMS[form])
    Relevance((0.5, 0.25, 0.125), -1.5, plain.fingerprint).save(tmp_path / FILE)
    mplus = MPlus.load(tmp_path, device="cpu")
    memory = mplus.empty_memory()
    for text in TEXTS:
        memory = mplus.memorize(memory, text)
    view = mplus.view(memory, forgotten=[(1, 2)])
    found = mplus.search(view, "Who sings of the owl?", limit=5)
    sources = mplus.ask(view, "Who sings of the owl?", max_tokens=1).sources
    likely = [source.relevance for source in sources]
    assert likely == pytest.approx([one.score for one in found], abs=1e-6)
    assert [source.relevance for source in plain.ask(view, "Who?", max_tokens=1).sources] == [
        None
    ] * len(sources)


@pytest.mark.parametrize("form", FORMS)
def test_what_a_filter_leaves_is_all_there_is(tmp_path: Path, form: str) -> None:
    mplus = load(tmp_path, **FORMS[form])
    memory = mplus.empty_memory()
    for text in TEXTS:
        memory = mplus.memorize(memory, text)
    steps = memory.step
    for left in ([0], [1, steps - 1], range(1, steps), []):
        gone = [(step, step + 1) for step in range(steps) if step not in left]
        forgotten = mplus.view(memory, forgotten=gone)
        only = mplus.view(memory, only=StepRanges.of((step, step + 1) for step in left))
        for question in ("Who sings of the owl?", "Anna"):
            found = mplus.search(only, question, limit=5)
            assert {one.step for one in found} <= set(left)
            assert found == mplus.search(forgotten, question, limit=5)
            answers = [mplus.ask(view, question, max_tokens=4) for view in (only, forgotten)]
            assert answers[0] == answers[1]


def test_words_find_the_passage_that_has_them(tmp_path: Path) -> None:
    mplus = load(tmp_path, **INPUT_ROWS)
    memory = mplus.empty_memory()
    for text in TEXTS:
        memory = mplus.memorize(memory, text)
    best, second, *_ = mplus.search(memory, "What does Bela sing of the owls?")
    assert TEXTS[best.step] == "Bela sings of the owl."
    assert best.vote > second.vote


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_memory_has_nothing(tmp_path: Path, form: str) -> None:
    mplus = load(tmp_path, **FORMS[form])
    assert mplus.search(mplus.empty_memory(), "Who?") == []


def test_what_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    mplus = load(tmp_path, num_ltm_blocks=0, num_blocks=3)
    memory = mplus.memorize(mplus.empty_memory(), TEXTS[0])
    with pytest.raises(InvalidInputError, match="cannot search"):
        mplus.search(memory, "Who?")
    for query, limit in (("  ", 1), ("Who?", 0)):
        with pytest.raises(InvalidInputError):
            mplus.search(memory, query, limit)


class TestScores:
    def test_they_rank_as_votes_do_and_are_probabilities(self) -> None:
        rng = np.random.default_rng(0)
        fitted = Relevance((0.7, 0.4, 0.2), -2.0)
        for size in (1, 2, 5, 300):
            votes = rng.normal(size=size) * 3
            if size > 2:
                votes[rng.integers(size)] = -np.inf
            steps = [int(s) for s in np.argsort(-votes) if np.isfinite(votes[s])]
            scores = fitted(votes, steps)
            assert scores == sorted(scores, reverse=True)
            assert all(0 < score < 1 for score in scores)

    def test_what_stands_out_scores_more(self) -> None:
        fitted = Relevance((0.5, 0.5, 0.5), -3.0)
        alone = fitted(np.array([6.0, 0.0, 0.0, 0.0]), [0])
        among_others = fitted(np.array([6.0, 5.9, 5.8, 0.0]), [0])
        assert alone > among_others

    def test_features_leave_out_what_cannot_be_read(self) -> None:
        known = np.array([3.0, 1.0, 2.0])
        more = np.array([3.0, 1.0, -np.inf, 2.0])
        assert features_of(more, [0, 3]) == pytest.approx(features_of(known, [0, 2]))
        assert features_of(known, [0])[0, 2] == 1.0  # before the second
        assert features_of(known, [1])[0, 2] == -2.0  # behind the best

    def test_they_are_kept_beside_the_checkpoint(self, tmp_path: Path) -> None:
        mplus = load(tmp_path, retrieval="blocks")
        fitted = Relevance((0.5, 0.25, 0.125), -1.5, mplus.fingerprint)
        fitted.save(tmp_path / FILE)
        assert Relevance.load(tmp_path) == fitted
        loaded = MPlus.load(tmp_path, device="cpu")
        memory = loaded.memorize(loaded.empty_memory(), TEXTS[0])
        found, *_ = loaded.search(memory, "Who sings?")
        assert found.score is not None

    def test_those_of_other_weights_say_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_checkpoint(tmp_path, retrieval="blocks")
        Relevance((1.0, 0.0, 0.0), 0.0, "others").save(tmp_path / FILE)
        assert MPlus.load(tmp_path, device="cpu").relevance is None
        assert "mplus eval relevance" in caplog.text

    @pytest.mark.parametrize("name", ["mplus-small", "mplus-tiny"])
    def test_those_that_are_shipped_belong_to_what_they_are_shipped_with(self, name: str) -> None:
        """As its confidence does, of which other tests see that it fits the weights."""
        folder = shipped_folder(name)
        assert folder is not None
        fitted, confidence = Relevance.load(folder), Confidence.load(folder)
        assert fitted is not None
        assert confidence is not None
        assert fitted.fingerprint == confidence.fingerprint
        best, other = fitted(np.array([60.0, 10.0, *[0.0] * 50]), [0, 1])
        assert best > 0.9
        assert other < 0.5

    @pytest.mark.parametrize(
        "change",
        [
            {"weights": [1.0]},
            {"weights": [1.0, -0.1, 0.0]},
            {"features": ["vote"]},
            {"bias": "much"},
            {"fingerprint": None},
        ],
        ids=str,
    )
    def test_a_file_that_is_not_one_is_refused(self, tmp_path: Path, change: Any) -> None:
        good = {"features": FEATURES, "weights": [1, 1, 1], "bias": 0, "fingerprint": "a"}
        (tmp_path / FILE).write_text(json.dumps({**good, **change}))
        with pytest.raises(CheckpointError, match="relevance"):
            Relevance.load(tmp_path)


class TestWords:
    def test_they_are_those_of_the_query(self) -> None:
        words = shared_words("Where does Maren TOLVA live, and who lives?", ["Maren", "living it."])
        assert words == ("maren", "live", "lives")

    def test_threads_share_one_stemmer(self) -> None:
        """A stemmer holds the word it is at, so two at once would get parts of each other's."""
        from concurrent.futures import ThreadPoolExecutor

        words = [f"{stem}{end}" for stem in "abcdefghij" for end in ("ications", "ings", "ed")] * 40
        texts = [" ".join(f"{word}{n}x{word}" for word in words) for n in range(8)]
        alone = [Stems().of(text) for text in texts]
        shared = Stems()
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(shared.of, texts)) == alone
