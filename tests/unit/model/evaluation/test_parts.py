"""Evaluation without a model: files, scores, intervals, BM25 and the confidence."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from mplus_ray.model.errors import CheckpointError, DocumentError, InvalidInputError
from mplus_ray.model.evaluation.data.questions import (
    SHIPPED,
    Question,
    QuestionedPassage,
    answerable,
    draw,
    read_questions,
)
from mplus_ray.model.evaluation.scoring.bm25 import BM25, words
from mplus_ray.model.evaluation.scoring.intervals import mean_bounds, mean_of, share, wilson
from mplus_ray.model.evaluation.scoring.squad import exact_match, f1, holds, normalize
from mplus_ray.model.generation.confidence import (
    FEATURES,
    FILE,
    Confidence,
    Evidence,
    auroc,
    balanced_accuracy,
    best_threshold,
)


def row(**changes: object) -> dict[str, object]:
    return {"title": "T", "context": "C", "question": "Q?", "answers": ["A"], **changes}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


class TestQuestions:
    def test_a_context_with_many_questions_is_one_passage(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "q.jsonl",
            row(question="first?"),
            row(context="other", question="second?"),
            row(question="third?"),
        )
        first, second = read_questions(path)
        assert [q.text for q in first.questions] == ["first?", "third?"]
        assert [q.text for q in second.questions] == ["second?"]

    def test_answers_may_be_many_repeated_or_missing(self, tmp_path: Path) -> None:
        rows = [row(answers=[" x ", "x", "y", ""]), row(answers=[]), row(answers=None)]
        del (missing := row())["answers"]
        (passage,) = read_questions(write(tmp_path / "q.jsonl", *rows, missing))
        assert [q.answers for q in passage.questions] == [("x", "y"), (), (), ()]

    def test_unicode_a_byte_order_mark_and_blank_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "q.jsonl"
        line = json.dumps(row(context="a\u2028b 東京 é"), ensure_ascii=False)
        path.write_bytes("\ufeff".encode() + f"\n{line}\r\n\n".encode())
        (passage,) = read_questions(path)
        assert passage.context == "a\u2028b 東京 é"

    def test_extra_fields_and_no_title(self, tmp_path: Path) -> None:
        (passage,) = read_questions(write(tmp_path / "q.jsonl", row(title=None, kind="explicit")))
        assert passage.title == ""

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"title": "T"}, "line 2 has no context"),
            (row(context=7), "line 2: context is not a text"),
            (row(question="  "), "line 2: question is empty"),
            (row(answers="A"), "line 2: answers is not a list of texts"),
            (row(answers=["A", 1]), "line 2: answers is not a list of texts"),
            (row(title=["T"]), "line 2: title is not a text"),
            (["T", "C"], "line 2 is not a JSON object"),
        ],
    )
    def test_a_bad_line_is_named_with_its_field(
        self, tmp_path: Path, bad: object, message: str
    ) -> None:
        with pytest.raises(DocumentError, match=message):
            read_questions(write(tmp_path / "q.jsonl", row(), bad))

    def test_broken_json_names_the_line(self, tmp_path: Path) -> None:
        path = tmp_path / "q.jsonl"
        path.write_text(json.dumps(row()) + '\n{"title": ')
        with pytest.raises(DocumentError, match="line 2 is not valid JSON"):
            read_questions(path)

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"])
    def test_nothing_to_read(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "q.jsonl"
        path.write_bytes(content)
        with pytest.raises(DocumentError, match=r"no questions|not UTF-8"):
            read_questions(path)
        with pytest.raises(DocumentError, match="cannot be read"):
            read_questions(tmp_path / "absent.jsonl")

    def test_only_questions_with_answers_can_be_scored(self) -> None:
        passages = [
            QuestionedPassage("", "one", [Question("a", ("x",)), Question("b", ())]),
            QuestionedPassage("", "two", [Question("c", ())]),
        ]
        kept, missing = answerable(passages)
        assert (missing, [len(p.questions) for p in kept]) == (2, [1, 0])
        with pytest.raises(InvalidInputError, match="none of the questions"):
            answerable(passages[1:])

    def test_draw_takes_questions_and_not_passages(self) -> None:
        passages = [
            QuestionedPassage("", str(n), [Question(f"{n}.{k}", ("x",)) for k in range(5)])
            for n in range(20)
        ]
        drawn = draw(passages, 30, Random(3))
        texts = [q.text for p in drawn for q in p.questions]
        assert len(texts) == len(set(texts)) == 30
        assert len({p.context for p in drawn}) == len(drawn)
        assert all(q.text.startswith(f"{p.context}.") for p in drawn for q in p.questions)
        assert drawn == draw(passages, 30, Random(3)) != draw(passages, 30, Random(4))
        assert sum(len(p.questions) for p in draw(passages, None, Random(0))) == 100

    def test_what_ships_has_its_answers_in_its_contexts(self) -> None:
        passages = read_questions(SHIPPED)
        assert len(passages) == 25
        for passage in passages:
            for question in passage.questions:
                assert holds(passage.context, question.answers), question


class TestScoring:
    @pytest.mark.parametrize(
        ("text", "normal"),
        [
            ("The  Denver Broncos.", "denver broncos"),
            ("Levi's Stadium", "levis stadium"),
            ("24-10", "2410"),
            ("24–10", "24–10"),
            ("Zu\u0308rich", "zürich"),
            ("5 °C", "5 °c"),
            ("The", "the"),
            ("!", "!"),
            ("", ""),
        ],
    )
    def test_normalize(self, text: str, normal: str) -> None:
        assert normalize(text) == normal

    def test_the_best_answer_counts(self) -> None:
        answers = ["Santa Clara, California", "Levi's Stadium"]
        assert exact_match("levis stadium", answers)
        assert not exact_match("stadium", answers)
        assert f1("the stadium of Levi's", answers) == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
        assert f1("nowhere", answers) == 0.0
        assert f1("California", answers) == pytest.approx(0.5)

    def test_an_answer_is_held_as_whole_words(self) -> None:
        assert holds("It was in 1990, they say", ["1990"])
        assert holds("at No.—Wall-street", ["nowhere", "wall street"])
        assert holds("IN ZU\u0308RICH", ["Zürich"])
        assert not holds("It was in 19901", ["1990"])
        assert not holds("anything", [])
        assert not holds("anything!", ["!", ""])

    def test_repeated_words_count_as_often_as_they_stand(self) -> None:
        assert f1("a b b", ["b b b"]) == pytest.approx(2 * 1 * (2 / 3) / (1 + 2 / 3))


class TestIntervals:
    @pytest.mark.parametrize(
        ("hits", "n", "bounds"),
        [
            (0, 10, (0.0, 0.2775)),
            (5, 10, (0.2366, 0.7634)),
            (10, 10, (0.7225, 1.0)),
            (0, 0, (0, 1)),
        ],
    )
    def test_wilson(self, hits: int, n: int, bounds: tuple[float, float]) -> None:
        assert wilson(hits, n) == pytest.approx(bounds, abs=1e-4)

    def test_a_share_of_nothing_is_unknown(self) -> None:
        assert share([], "exact") == {"exact": None, "low": 0.0, "high": 1.0, "n": 0}

    def test_bounds_of_a_mean_hold_it_19_times_in_20(self) -> None:
        rng = Random(0)
        held = 0
        for _ in range(400):
            low, high = mean_bounds([rng.random() for _ in range(60)])
            held += low <= 0.5 <= high
        assert 360 <= held <= 395

    def test_one_value_says_nothing_about_the_spread(self) -> None:
        assert mean_of([0.5], "f1") == {"f1": 0.5, "f1_low": 0.0, "f1_high": 1.0}


def okapi(query: str, texts: list[str], number: int) -> float:
    """The formula, written down once more without an index."""
    mean = sum(len(words(t)) for t in texts) / len(texts)
    mine = words(texts[number])
    score = 0.0
    for word in set(words(query)):
        having = sum(word in words(t) for t in texts)
        tf = mine.count(word)
        idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        score += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(mine) / mean))
    return score


class TestBM25:
    texts = [
        " ".join(random.Random(n).choices("red green blue ÉTÉ x y", k=4 + n)) for n in range(9)
    ]

    def index(self, count: int) -> BM25:
        index = BM25()
        for text in self.texts[:count]:
            index.add(text)
        return index

    @pytest.mark.parametrize("query", ["red", "green blue", "été X", "red red blue"])
    def test_the_order_is_that_of_the_formula(self, query: str) -> None:
        scores = [okapi(query, self.texts, n) for n in range(9)]
        order = [n for n in sorted(range(9), key=lambda n: -scores[n]) if scores[n] > 0]
        assert self.index(9).best(query, 9) == order

    def test_a_search_in_the_past_is_one_of_that_time(self) -> None:
        for end in range(10):
            then = self.index(end)
            assert self.index(9).best("red y", 5, end) == then.best("red y", 5)

    def test_texts_with_no_word_of_it_are_not_found(self) -> None:
        assert self.index(9).best("nothing", 3) == []
        assert BM25().best("red", 3) == []


def evidence(value: float, noise: float = 0.0) -> Evidence:
    return Evidence.of([0.0, 1.0 + value, 0.5 + noise], [-1.0 + value], 1.0 - value)


class TestConfidence:
    def test_evidence(self) -> None:
        found = Evidence.of([1.0, 4.0, 2.0, 1.0], [-0.5, -1.5], 0.7)
        assert (found.best_vote, found.margin) == (4.0, 2.0)
        assert found.standing_out == pytest.approx(2.0 / math.sqrt(1.5))
        assert (found.mean_logprob, found.least_logprob) == (-1.0, -1.5)
        assert found.certainty == -0.7

    def test_with_no_block_or_one_nothing_stands_out(self) -> None:
        for votes in ([], [3.0]):
            found = Evidence.of(votes, [], 0.0)
            assert (found.margin, found.standing_out, found.mean_logprob) == (0.0, 0.0, 0.0)

    def test_it_tells_apart_what_can_be_told_apart(self) -> None:
        rng = Random(1)
        stored = [n % 2 == 0 for n in range(200)]
        shown = [evidence(rng.gauss(2.0 * kind, 1.0), rng.random()) for kind in stored]
        confidence = Confidence.fit(shown, stored)
        scores = [confidence(one) for one in shown]
        assert all(0 <= score <= 1 for score in scores)
        assert auroc(scores, stored) > 0.85
        assert balanced_accuracy(scores, stored, confidence.threshold) > 0.75

    def test_a_fit_that_makes_no_error_is_finite(self) -> None:
        stored = [True] * 5 + [False] * 5
        confidence = Confidence.fit([evidence(9.0 * kind) for kind in stored], stored)
        assert all(math.isfinite(weight) for weight in confidence.weights)
        assert confidence(evidence(9.0)) > confidence.threshold > confidence(evidence(0.0))
        assert 0 <= confidence(evidence(-1e12)) <= confidence(evidence(1e12)) <= 1

    def test_both_kinds_are_needed(self) -> None:
        with pytest.raises(InvalidInputError, match="both kinds"):
            Confidence.fit([evidence(1.0)] * 3, [True] * 3)

    def test_it_is_read_back_as_it_was(self, tmp_path: Path) -> None:
        assert Confidence.load(tmp_path) is None
        stored = [True, False, True, False]
        made = Confidence.fit([evidence(float(k)) for k in stored], stored, FEATURES[:2], "abc")
        made = replace(made, fewest=7)
        made.save(tmp_path / FILE)
        assert Confidence.load(tmp_path) == made

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "[]",
            '{"features": ["luck"], "weights": [1], "bias": 0, "threshold": 0, "fingerprint": ""}',
            '{"features": ["margin"], "weights": [], "bias": 0, "threshold": 0, "fingerprint": ""}',
        ],
    )
    def test_a_damaged_one_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / FILE).write_text(text)
        with pytest.raises(CheckpointError):
            Confidence.load(tmp_path)

    def test_auroc_counts_pairs(self) -> None:
        rng = Random(2)
        scores = [float(rng.randrange(6)) for _ in range(40)]
        stored = [rng.random() < 0.4 for _ in scores]
        pairs = [
            1.0 if a > b else 0.5 * (a == b)
            for a, x in zip(scores, stored, strict=True)
            for b, y in zip(scores, stored, strict=True)
            if x and not y
        ]
        assert auroc(scores, stored) == pytest.approx(sum(pairs) / len(pairs))

    def test_no_threshold_is_better(self) -> None:
        rng = Random(5)
        stored = [rng.random() < 0.3 for _ in range(50)]
        scores = [rng.gauss(float(kind), 1.0) for kind in stored]
        best = balanced_accuracy(scores, stored, best_threshold(scores, stored))
        assert best == pytest.approx(max(balanced_accuracy(scores, stored, s) for s in scores))
