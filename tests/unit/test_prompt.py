"""How a question is asked."""

from __future__ import annotations

import json

import pytest

from model.errors import InvalidInputError
from model.prompt import question_prompt
from model.text import TextTokenizer
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
