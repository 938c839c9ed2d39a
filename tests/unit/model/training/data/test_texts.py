"""Facts, questions and documents: what is asked can be answered from what was written."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from random import Random

import numpy as np
import pytest
from tokenizers import Tokenizer

from mplus_ray.model.corpus import invented, values
from mplus_ray.model.corpus.facts import (
    HELD_OUT,
    UNKNOWN,
    Unseen,
    draw_fact,
    draw_facts,
    draw_unanswerable,
    draw_update,
    relations,
)
from mplus_ray.model.training.data.documents import Documents
from mplus_ray.model.training.data.questions import load_passages
from mplus_ray.model.training.data.text import (
    EOS,
    Corpus,
    answer_ids,
    question_ids,
    train_tokenizer,
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    rng = Random(0)
    return train_tokenizer((draw_fact(rng).statement for _ in range(300)), 600)


@pytest.fixture
def documents(tokenizer: Tokenizer) -> Documents:
    ids = np.array(tokenizer.encode("It was a dark and quiet evening. " * 50).ids, dtype=np.uint16)
    return Documents(tokenizer, Corpus(ids), [])


def test_there_are_enough_relations_and_phrasings() -> None:
    assert len(relations()) >= 40
    for relation in relations():
        say, ask = relation.phrasings(held_out=False)
        assert min(len(say), len(ask)) >= 8, relation.name
        assert all("{n}" in s and "{v}" in s for s in relation.say), relation.name
        assert all("{n}" in q and "{v}" not in q for q in relation.ask), relation.name
        assert len(set(relation.say)) == len(relation.say), relation.name


def test_held_out_phrasings_are_never_trained_on() -> None:
    for relation in relations():
        trained, held_out = relation.phrasings(False), relation.phrasings(True)
        assert len(held_out[0]) == len(held_out[1]) == HELD_OUT
        assert not set(trained[0]) & set(held_out[0])
        assert not set(trained[1]) & set(held_out[1])


def test_no_phrasing_trained_on_is_a_held_out_one_but_for_case_and_stops() -> None:
    def plain(phrase: str) -> str:
        return "".join(c for c in phrase.lower() if c.isalnum() or c in " {}'")

    for relation in relations():
        for trained, held_out in zip(
            relation.phrasings(False), relation.phrasings(True), strict=True
        ):
            assert not {plain(one) for one in trained} & {plain(one) for one in held_out}


def test_invented_relations_ask_for_every_kind_of_value() -> None:
    rng = Random(1)
    asked: dict[str, set[str]] = defaultdict(set)
    for _ in range(5000):
        kind = values.any_kind(rng)
        say, ask = invented.phrases(rng, kind)
        assert say.count("{n}") == say.count("{v}") == ask.count("{n}") == 1
        filled = say.replace("{n}", "").replace("{v}", "") + ask.replace("{n}", "")
        assert "{" not in filled
        asked[kind].add(ask.split(" ")[0])
    assert "Who" in asked["person"]
    assert "When" in asked["date"]
    assert "Where" in asked["town"]


def test_a_blurred_question_keeps_the_name() -> None:
    question, rng = "On what day does {n}'s market open?", Random(2)
    blurred = {invented.blurred(rng, question) for _ in range(50)}
    assert len(blurred) > 40
    assert all("{n}'s" in one for one in blurred)


@pytest.mark.parametrize("unseen", ["nothing", "questions", "everything"])
def test_a_statement_holds_the_answer(unseen: Unseen) -> None:
    rng = Random(1)
    for _ in range(200):
        fact = draw_fact(rng, unseen)
        assert fact.answer.lower() in fact.statement.lower()
        assert "{" not in fact.statement + fact.question


def test_draws_depend_on_the_generator_only() -> None:
    assert draw_facts(Random(3), 3) == draw_facts(Random(3), 3)
    assert draw_facts(Random(3), 3) != draw_facts(Random(4), 3)


def test_an_update_overrides_and_a_stranger_is_unknown() -> None:
    older, newer = draw_update(Random(2))
    assert newer.answer in newer.statement
    assert older != newer.statement
    assert draw_unanswerable(Random(2)).answer == UNKNOWN


def test_names_read_the_same_at_the_start_of_a_document_and_in_a_question(
    tokenizer: Tokenizer,
) -> None:
    start = tokenizer.encode("Maren Tolva came.").ids
    assert tokenizer.encode(" Maren Tolva came.").ids == start
    assert start[:3] == tokenizer.encode("and Maren Tolva").ids[1:][:3]
    assert answer_ids(tokenizer, "Brelin")[-1] == EOS
    assert tokenizer.decode(question_ids(tokenizer, "Who?")).strip() == "Question: Who? Answer:"


@pytest.mark.parametrize("length", [20, 48, 128])
def test_an_asked_fact_stands_in_the_chunk_it_is_said_to_stand_in(
    documents: Documents, tokenizer: Tokenizer, length: int
) -> None:
    rng, asked = Random(5), 0
    for _ in range(30):
        document = documents.draw(rng, 2, length)
        assert [len(chunk) for chunk in document.chunks] == [length, length]
        for ask in document.asks:
            if ask.kind == "fact" and ask.chunk >= 0:
                answer = tokenizer.decode(ask.target).strip().lower()
                assert answer in tokenizer.decode(document.chunks[ask.chunk]).lower()
                asked += 1
    assert asked


def test_real_questions_point_at_their_answer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    row = {
        "title": "a",
        "context": "The market in Tolvik is held on Friday, and the mayor is Anna Brel.",
        "question": "Who is the mayor?",
        "answers": ["Anna Brel"],
    }
    absent = {**row, "answers": ["nobody at all"]}
    path = tmp_path / "qa.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in (row, absent)))

    (passage,) = load_passages([path], tokenizer)

    ((_, answer, token),) = passage.questions
    found = tokenizer.decode(passage.ids[token : token + len(answer) - 1])
    assert found.strip() == "Anna Brel"
