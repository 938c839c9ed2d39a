"""What a turn wants, by its form."""

from __future__ import annotations

import pytest

from mplus_ray.model.generation.turn_kind import (
    TurnKind,
    asks,
    kind_of,
    last_answered,
    leans_on_another,
)

ASKED = [("user", "Where was Maren Tolva born?"), ("assistant", "Brelin")]


@pytest.mark.parametrize(
    "turn",
    [
        "Hello!",
        "hi there",
        "Good morning",
        "Hi, how are you?",
        "Thanks a lot!",
        "Thank you very much.",
        "That is great, thanks",
        "ok",
        "Goodbye",
        "Good night, see you later",
        "…",
        "👍",
    ],
)
def test_what_asks_nothing(turn: str) -> None:
    assert kind_of([("user", turn)]) is TurnKind.TALK
    assert kind_of([*ASKED, ("user", turn)]) is TurnKind.TALK


@pytest.mark.parametrize(
    "turn",
    [
        "Where does Maren Tolva live?",
        "capital of Iceland",
        "Tell me about the cello.",
        "My name is Bob.",
        "Who said that the raven is black?",
        "What does the document say about Brelin?",
        "Is the horse called Gunpowder?",
        "What happened in the morning?",
        "Wo wohnt Maren?",
        "马伦住在哪里？",  # noqa: RUF001
        "42?",
    ],
)
def test_what_is_put_to_memory(turn: str) -> None:
    assert kind_of([("user", turn)]) is TurnKind.MEMORY
    assert kind_of([*ASKED, ("user", turn)]) is TurnKind.MEMORY


@pytest.mark.parametrize(
    "turn", ["And when?", "Why?", "Where is he from?", "What did she say?", "How old is she?"]
)
def test_a_question_that_lives_on_the_one_before_is_put_to_memory(turn: str) -> None:
    assert kind_of([*ASKED, ("user", turn)]) is TurnKind.MEMORY


@pytest.mark.parametrize(
    "turn",
    [
        "Who told you that?",
        "Where is that from?",
        "Where does that come from?",
        "How do you know?",
        "What is your source?",
        "Which document says so?",
        "Where did you read that?",
        "Sources?",
        "Who says so?",
    ],
)
def test_what_asks_where_an_answer_came_from(turn: str) -> None:
    assert kind_of([*ASKED, ("user", turn)]) is TurnKind.SOURCE
    assert kind_of([("user", turn)]) is not TurnKind.SOURCE, "nothing was answered yet"


@pytest.mark.parametrize("turn", ["Who are you?", "What can you do?", "What are you?"])
def test_what_asks_about_the_assistant(turn: str) -> None:
    assert kind_of([("user", turn)]) is TurnKind.ASSISTANT
    assert kind_of([*ASKED, ("user", turn)]) is TurnKind.ASSISTANT


def test_the_form_of_a_question() -> None:
    assert asks("Where does she live")
    assert asks("Maren?")
    assert not asks("My name is Bob")
    assert not asks("")


class TestLastAnswered:
    def test_it_is_the_last_question_to_memory(self) -> None:
        talk = [
            ("user", "Hello"),
            ("assistant", "Hello!"),
            *ASKED,
            ("user", "Thanks!"),
            ("assistant", "You are welcome."),
            ("user", "Who told you that?"),
        ]
        assert last_answered(talk) == 2

    def test_a_question_without_a_reply_has_none(self) -> None:
        assert last_answered([("user", "Where is Brelin?"), ("user", "Who told you?")]) is None

    def test_the_source_of_a_source_is_the_same(self) -> None:
        talk = [*ASKED, ("user", "Who told you that?"), ("assistant", "Household: “…”")]
        assert last_answered([*talk, ("user", "Which document?")]) == 0

    def test_nothing_was_asked(self) -> None:
        assert last_answered([("user", "Hello"), ("assistant", "Hello!"), ("user", "Who?")]) is None


@pytest.mark.parametrize(
    ("question", "leans"),
    [
        ("And when was she born?", True),
        ("Why?", True),
        ("What was she the first female recipient of?", True),
        ("And the king of Thebes?", True),
        ("Whom did they defeat?", True),
        ("Where does Maren Tolva live?", False),
        ("What is it called when people in society rebel against unfair laws?", False),
        ("When was the game played?", False),
    ],
)
def test_what_cannot_be_understood_alone(question: str, leans: bool) -> None:
    assert leans_on_another(question) is leans
