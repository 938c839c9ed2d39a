"""The sentence of a passage that has an answer."""

from __future__ import annotations

import pytest

from mplus_ray.actors.messages import Turn
from mplus_ray.services.api.ask.sentences import sentence_with, without_wish

TEXT = 'Maren was born in\nBrelin. Mr. Otis paid $3.5 for it! "Why?" he said. No end'


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Brelin", "Maren was born in Brelin."),
        (" brelin. ", "Maren was born in Brelin."),
        ("born in Brelin", "Maren was born in Brelin."),
        ("otis", "Mr. Otis paid $3.5 for it!"),
        ("$3.5", "Mr. Otis paid $3.5 for it!"),
        ("end", "No end"),
        ("Brel", None),
        ("Iceland", None),
        ("", None),
        (" . ", None),
    ],
)
def test_it_is_the_one_with_the_words(words: str, sentence: str | None) -> None:
    assert sentence_with(TEXT, words) == sentence


def test_a_heading_is_no_part_of_the_sentence_below_it() -> None:
    assert sentence_with("Our people\n\nMaren is from Brelin.", "Brelin") == "Maren is from Brelin."


def test_a_sentence_as_long_as_a_page_is_shown_round_the_words() -> None:
    shown = sentence_with("word " * 1000 + "Brelin " + "word " * 1000, "Brelin")
    assert shown is not None
    assert "Brelin" in shown
    assert len(shown) < 420


def test_text_without_an_end_is_no_burden() -> None:
    assert sentence_with("!?" * 200_000, "Brelin") is None


@pytest.mark.parametrize(
    ("asked", "question"),
    [
        ("Answer in a full sentence: Where was Maren born?", "Where was Maren born?"),
        ("In one sentence, where was Maren born?", "where was Maren born?"),
        ("Where was Maren born? Please answer in a complete sentence.", "Where was Maren born?"),
        ("Where was Maren born? Use full words.", None),
        ("In which sentence is Maren named?", None),
        ("Where is the word used in a sentence?", None),
        ("Where was Maren born?", None),
    ],
)
def test_whether_a_sentence_is_wished_for(asked: str, question: str | None) -> None:
    turns, wished = without_wish([Turn("user", asked)])
    assert wished is (question is not None)
    assert turns[-1].content == (question or asked)


def test_the_system_may_wish_it_for_all_turns() -> None:
    turns = (Turn("system", "Reply in full sentences."), Turn("user", "Who?"))
    assert without_wish(turns) == (turns, True)
