"""Packs of blocks and questions: who sees what, and how passages become blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from mplus_ray.model.corpus.held_out import is_held_out_for_reading
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.training.data.invented_passages import strew
from mplus_ray.model.training.data.packs import Branch, Pack, Packs
from mplus_ray.model.training.data.passages import BlockCutter, TitledPassage, load_reading
from mplus_ray.model.training.phases.reading import ReadingBatch
from mplus_ray.model.training.reading_phase import QuestionFile, ReadingPhase
from mplus_ray.pipeline.chunking.chunker import chunk_document
from mplus_ray.pipeline.chunking.headers import Headings, with_header
from tests.checkpoints import tiny_config, write_tokenizer
from tests.reading import KEEPERS, TOWNS, write_questions

CONFIG = tiny_config(
    chunk_tokens=96, header_tokens=8, prompt_template="\nQuestion: {question}\nAnswer:"
)
PHASE = ReadingPhase(name="test", task="reading", tokens=0, pack=700)
END = 2


@pytest.fixture
def tokenizer(tmp_path: Path) -> TextTokenizer:
    write_tokenizer(tmp_path)
    return TextTokenizer.load(tmp_path)


@pytest.fixture
def packs(tmp_path: Path, tokenizer: TextTokenizer):
    write_questions(tmp_path)
    files = load_reading(tmp_path, [QuestionFile(file="questions.jsonl")], held_out=False)

    def of(**changes: Any) -> list[Pack]:
        drawer = Packs(replace(PHASE, **changes), CONFIG, tokenizer, files, END)
        return [drawer.draw(Random(seed)) for seed in range(40)]

    return of


def _branches(packs: Sequence[Pack]) -> list[tuple[Pack, Branch]]:
    return [(pack, branch) for pack in packs for branch in pack.branches]


def _text(tokenizer: TextTokenizer, ids: Sequence[int]) -> str:
    return tokenizer.decode([i for i in ids if i != END])


def test_an_answer_is_in_what_its_question_sees_and_a_refusal_is_not(packs, tokenizer) -> None:
    kinds = set()
    for pack, branch in _branches(packs()):
        answer = _text(tokenizer, branch.ids[branch.given :]).strip()
        question = _text(tokenizer, branch.ids[: branch.given])
        seen = [_text(tokenizer, pack.blocks[at]) for at in branch.sees]
        assert branch.ids[-1] == END
        assert branch.start == max((len(pack.blocks[at]) for at in branch.sees), default=0)
        about = next((town for town in TOWNS if f"of {town}?" in question), None)
        kinds.add(branch.kind)
        if branch.kind == "unsaid":
            assert answer == "not said"
            assert about is None or not any(f"{question.split()[3]} of {about}" in s for s in seen)
        else:
            assert any(answer in block for block in seen)
            assert branch.kind == "apart" or len(seen) == 1
    assert kinds == {"alone", "apart", "unsaid"}


def test_the_shares_say_what_is_asked(packs) -> None:
    alone = _branches(packs(alone=1.0, unanswerable=0.0))
    assert all(branch.kind == "alone" and len(branch.sees) == 1 for _, branch in alone)
    unsaid = _branches(packs(alone=0.0, unanswerable=1.0))
    assert all(branch.kind == "unsaid" for _, branch in unsaid)
    numbers = _branches(packs(numbers=1.0, unanswerable=0.0))
    assert all(any(i >= 48 + 3 for i in branch.ids) for _, branch in numbers)
    facts = _branches(packs(facts=1.0, unanswerable=0.0))
    assert all(branch.kind == "fact" for _, branch in facts)


def test_distractors_are_of_the_same_title_as_far_as_it_is_wanted(packs, tokenizer) -> None:
    def near(hard: float) -> float:
        hits = []
        drawn = packs(
            pack=1600, alone=0, unanswerable=0, hard=hard, distractors=(1,), passages=(2,)
        )
        for pack, branch in _branches(drawn):
            if len(branch.sees) == 2:
                one, other = (_text(tokenizer, pack.blocks[at]) for at in branch.sees)
                hits.append([t for t in TOWNS if t in one] == [t for t in TOWNS if t in other])
        return sum(hits) / len(hits)

    assert near(1.0) > 0.8
    assert near(0.0) < 0.2


def test_a_second_reading_has_the_same_blocks_in_its_prompt(packs, tokenizer) -> None:
    drawn = packs(prompt=1.0, alone=0.0, unanswerable=0.0, distractors=(1,))
    paired = 0
    for pack, branch in _branches(drawn):
        if branch.teacher is None:
            continue
        teacher = pack.branches[branch.teacher]
        assert (teacher.kind, teacher.sees, teacher.start) == ("prompt", (), 0)
        assert teacher.ids[teacher.given :] == branch.ids[branch.given :]
        prompt = _text(tokenizer, teacher.ids)
        assert all(_text(tokenizer, pack.blocks[at]) in prompt for at in branch.sees)
        paired += 1
    assert paired > 20
    batch = ReadingBatch.of(drawn[:3], 5)
    wanted = batch.branches.ids[:, 1:][batch.kinds >= 0]
    own, teachers = batch.pairs
    assert torch.equal(wanted[own], wanted[teachers])
    assert batch.pairs.shape[1] > 0


def test_packs_are_about_as_long_as_wanted_and_depend_on_the_draws_alone(packs) -> None:
    sizes = [pack.tokens for pack in packs()]
    assert max(sizes) < 1.5 * PHASE.pack
    assert sum(sizes) / len(sizes) > 0.4 * PHASE.pack
    assert packs() == packs()


@pytest.mark.parametrize(
    "text",
    [
        "Short.",
        "The mill was built in 1704. It is kept by Mara, who lives beside it with two dogs. "
        "Nobody else has a key! There was a fire in 1780, after which it was built again.",
        "A paragraph that ends here.\n\nAnother one follows it and it is long enough to be cut "
        "somewhere, since no block has more than ninety-six tokens of one byte each.",
        "Onewordwithoutanyspace" * 12,
        "Mill of Brelin. A text that begins with its title has no header in its first block, but "
        "in those that follow it stands before the text as always, cut to what there is room for.",
    ],
)
@pytest.mark.parametrize("title", ["Mill", "Mill of Brelin", ""])
def test_passages_are_cut_as_documents_are(tokenizer, text: str, title: str) -> None:
    tokenizer.chunk_tokens, tokenizer.header_tokens = CONFIG.chunk_tokens, CONFIG.header_tokens
    headings = Headings(title)
    spans = chunk_document(text, headings, tokenizer)
    expected = [
        with_header(tokenizer, headings.at(text, s.start), text[s.start : s.end]) for s in spans
    ]
    found = BlockCutter(tokenizer, CONFIG).cut(TitledPassage(title, text))
    assert [ids for ids, _ in found] == expected
    assert [piece for _, piece in found] == [text[s.start : s.end] for s in spans]


def test_titles_that_are_held_out_are_on_one_side_only(tmp_path: Path) -> None:
    write_questions(tmp_path)
    files = [QuestionFile(file="questions.jsonl", held_out=3)]
    sides = [load_reading(tmp_path, files, held_out)[0].titles.keys() for held_out in (True, False)]
    assert sides[0] == {town for town in TOWNS if is_held_out_for_reading(town, 3)}
    assert sides[0]
    assert set(TOWNS) == sides[0] | sides[1]
    assert not sides[0] & sides[1]
    everything = [QuestionFile(file="questions.jsonl", held_out=1)]
    with pytest.raises(InvalidInputError, match=r"questions\.jsonl"):
        load_reading(tmp_path, everything, held_out=False)


def test_the_answer_given_most_often_is_trained_and_all_count(tmp_path: Path) -> None:
    write_questions(tmp_path)
    (file,) = load_reading(tmp_path, [QuestionFile(file="questions.jsonl")], held_out=False)
    question = file.titles["Brelin"][0].questions[0]
    assert question.answers == (KEEPERS[0], f"by {KEEPERS[0]}")


def test_a_line_that_is_no_question_is_named(tmp_path: Path) -> None:
    path = write_questions(tmp_path)
    path.write_text(path.read_text() + '{"title": "x", "context": "y"}\n')
    with pytest.raises(InvalidInputError, match=r"line 49 .*question"):
        load_reading(tmp_path, [QuestionFile(file=path.name)], held_out=False)


def test_invented_facts_stand_in_the_text_with_what_bears_them_out() -> None:
    around = TitledPassage("Mill", "One. Two. Three. Four.")
    answers = set()
    for seed in range(60):
        passage = strew(Random(seed), around, yes_no=0.5)
        for question in passage.questions:
            assert question.invented
            assert question.evidence in passage.text
            answers.add(question.answers[0])
            if question.text.startswith("Yes or no"):
                assert question.answers[0] in ("yes", "no")
            else:
                assert question.answers[0].lower() in question.evidence.lower()
    assert {"yes", "no"} < answers


def test_a_question_that_fits_nowhere_is_told(tmp_path: Path, tokenizer) -> None:
    write_questions(tmp_path)
    path = tmp_path / "questions.jsonl"
    path.write_text(path.read_text().replace("Who", "W" * 70).replace("When", "W" * 70))
    files = load_reading(tmp_path, [QuestionFile(file=path.name)], held_out=False)
    with pytest.raises(InvalidInputError, match="at most 60 tokens"):
        Packs(PHASE, CONFIG, tokenizer, files, END).draw(Random(0))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"alone": 1.2}, "alone is 1.2"),
        ({"alone": 0.7, "unanswerable": 0.5}, "together"),
        ({"text": 1.0}, "nothing to ask"),
        ({"batch": 0}, "batch is 0"),
        ({"passages": (0, 1)}, "passages"),
        ({"distractors": ()}, "distractors"),
    ],
)
def test_impossible_phases_are_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInputError, match=word):
        replace(PHASE, **changes)
