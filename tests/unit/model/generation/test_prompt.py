"""How a question is asked."""

from __future__ import annotations

import json

import pytest

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.prompt import conversation_prompt, prompt_room, question_prompt
from mplus_ray.model.generation.tokenizer import TextTokenizer
from tests.checkpoints import tiny_config, write_tokenizer

CHAT = "<bos>{% for m in messages %}{{ m.content }}<eos>{% endfor %}"


@pytest.fixture(scope="module")
def definition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return json.loads((folder / "tokenizer.json").read_text())


@pytest.fixture
def plain(definition):
    return TextTokenizer(definition, {})


@pytest.fixture
def chatty(definition):
    return TextTokenizer(definition, {"chat_template": CHAT})


def test_a_plain_prompt(plain):
    ids = question_prompt(plain, tiny_config(), "  Who?\n")
    assert plain.decode(ids) == "Question: Who?\nAnswer:"


def test_the_checkpoints_own_template_comes_first(chatty):
    config = tiny_config(prompt_template="Ask {question} now")
    assert chatty.decode(question_prompt(chatty, config, "Who?")) == "Ask Who? now"


def test_special_tokens_of_the_template_are_special_and_of_the_question_text(plain):
    config = tiny_config(prompt_template="<bos>Q {question}<eos>")
    ids = question_prompt(plain, config, "a<eos>b")
    assert ids == [1, *plain.encode("Q "), *plain.encode("a<eos>b"), 2]


def test_the_chat_template_and_its_bos(chatty):
    expected = [*chatty.encode("a<eos>"), 2]
    assert question_prompt(chatty, tiny_config(), "a<eos>") == expected, "every layer has a bos row"
    config = tiny_config(add_bos_embedding=False)
    assert question_prompt(chatty, config, "a<eos>") == [1, *expected]


@pytest.mark.parametrize("template", [None, "A {question} B", "<bos>{question}"])
@pytest.mark.parametrize("question", ["{question}", "{question}{question}", "{0}", "%s \\1"])
def test_a_question_about_braces_is_a_question(plain, template, question):
    ids = question_prompt(plain, tiny_config(prompt_template=template), question)
    assert question in plain.decode(ids)


@pytest.mark.parametrize("question", ["", " ", "\n\t "])
def test_an_empty_question_is_refused(plain, chatty, question):
    for tokenizer in (plain, chatty):
        with pytest.raises(InvalidInputError, match="question is empty"):
            question_prompt(tokenizer, tiny_config(), question)


TALK = [
    ("system", "Be brief."),
    ("user", "Who?"),
    ("assistant", "Maren."),
    ("user", "Where?"),
    ("assistant", "Dorvas."),
    ("user", "When?"),
]


def talk(tokenizer, room, messages=TALK, **changes):
    """The conversation's text where a prompt may have so many tokens."""
    config = tiny_config(**changes)
    more = room - prompt_room(config, 10)
    positions = config.max_position_embeddings + more
    return tokenizer.decode(
        conversation_prompt(
            tokenizer, tiny_config(**changes, max_position_embeddings=positions), messages, 10
        )
    )


def test_a_conversation_in_the_chat_template(chatty):
    assert talk(chatty, 100) == "Be brief.Who?Maren.Where?Dorvas.When?"
    alone = [("user", " When? ")]
    ids = conversation_prompt(chatty, tiny_config(), alone, 10)
    assert ids == question_prompt(chatty, tiny_config(), "When?")


def test_without_a_chat_template_the_last_exchange_stands_before_the_question(chatty, plain):
    own = {"prompt_template": "Ask {question} now"}
    for tokenizer, changes, question in (
        (chatty, own, "Ask When? now"),
        (plain, {}, "Question: When?\nAnswer:"),
    ):
        said = talk(tokenizer, 200, **changes)
        before = question.replace("When?", "Where?")
        assert said == f"{before} Dorvas.\n{question}"
        ids = conversation_prompt(tokenizer, tiny_config(**changes), TALK, 10)
        assert ids[-len(question) :] == question_prompt(tokenizer, tiny_config(**changes), "When?")


@pytest.mark.parametrize(
    ("room", "kept"),
    [
        (43, "Be brief.Who?Maren.Where?Dorvas.When?"),
        (42, "Be brief.Where?Dorvas.When?"),
        (31, "Be brief.Where?Dorvas.When?"),
        (30, "Be brief.When?"),
        (16, "Be brief.When?"),
        (15, "When?"),
        (6, "When?"),
    ],
)
def test_what_was_said_longest_ago_is_left_out_first(chatty, room, kept):
    """A byte a token, and one at the end of every message."""
    assert talk(chatty, room) == kept


def test_long_conversations_lose_no_more_than_they_must(chatty):
    messages = [("user", "ab"), ("assistant", "c")] * 300 + [("user", "Who?")]
    for room in range(5, 400, 13):
        said = talk(chatty, room, messages)
        pairs = (room - 5) // 5
        assert said == "abc" * min(pairs, 300) + "Who?"


@pytest.mark.parametrize("room", [5, 0, -3])
def test_a_question_too_long_by_itself(chatty, room):
    said = f"question has 6 tokens .* answer of 10 tokens this model can read {max(room, 0)}$"
    for messages in (TALK, TALK[-1:]):
        with pytest.raises(InvalidInputError, match=said):
            talk(chatty, room, messages)


def test_positions_of_the_memory_are_not_free():
    """bos, 8 retrieved and 16 pool rows before the prompt; where a backbone's own field is less
    than the memory, it cannot mean it."""
    assert prompt_room(tiny_config(max_position_embeddings=100), 10) == 65
    assert prompt_room(tiny_config(max_position_embeddings=100, add_bos_embedding=False), 10) == 66
    assert prompt_room(tiny_config(max_position_embeddings=20), 10) == 10
    without = {"retrieval": "blocks", "pool_attended": False}
    assert prompt_room(tiny_config(max_position_embeddings=100, **without), 10) == 81


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "must end in a message of the user"),
        (TALK[:3], "must end in a message of the user"),
        ([("tool", "x"), ("user", "Who?")], "no role 'tool'; there are system"),
        ([("user", "Who?"), ("user", " ")], "question is empty"),
    ],
)
def test_impossible_conversations(plain, messages, said):
    with pytest.raises(InvalidInputError, match=said):
        conversation_prompt(plain, tiny_config(), messages, 10)


def test_a_question_about_something_else_is_read_alone(plain):
    config = tiny_config(max_position_embeddings=500)
    messages = [*TALK[:-1], ("user", "Where does Pavel Strand live?")]
    alone = question_prompt(plain, config, "Where does Pavel Strand live?")
    assert conversation_prompt(plain, config, messages, 10) == alone
