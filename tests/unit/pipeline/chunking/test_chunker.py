"""Chunking loses nothing, repeats nothing and never exceeds its limit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mplus_ray.pipeline.chunking.chunker import Span, chunk_document
from mplus_ray.pipeline.chunking.headers import Headings
from tests.unit.fakes import FakeTokenizer


def spans_of(text: str, tokenizer: FakeTokenizer) -> list[Span]:
    return chunk_document(text, Headings(""), tokenizer)


def pieces(text: str, limit: int) -> list[str]:
    return [text[span.start : span.end] for span in spans_of(text, FakeTokenizer(limit))]


def assert_whole(text: str, spans: list[Span], limit: int) -> None:
    position = 0
    for span in spans:
        assert not text[position : span.start].strip(), "content between two chunks"
        assert text[span.start : span.end].strip() == text[span.start : span.end]
        assert span.start < span.end
        assert 0 < span.tokens <= limit
        position = span.end
    assert not text[position:].strip(), "content after the last chunk"


WORDS = st.sampled_from(
    ["a", "Tolva", "incomprehensible", "3.14", "\n\n", "\n", " ", ". ", "! ", "。", "\t", "é"]
)


@settings(deadline=None)
@given(st.lists(WORDS | st.text(max_size=5), max_size=80).map("".join), st.integers(1, 40))
def test_spans_cover_the_content_exactly_once(text: str, limit: int) -> None:
    assert_whole(text, spans_of(text, FakeTokenizer(limit)), limit)


def test_empty_text_has_no_chunks() -> None:
    assert pieces("", 8) == []
    assert pieces(" \n\t ", 8) == []


def test_one_token_is_one_chunk() -> None:
    assert spans_of("yes", FakeTokenizer(512)) == [Span(0, 3, 1)]


def test_a_text_that_fits_is_one_chunk() -> None:
    assert pieces("One line.\n\nAnother.", 512) == ["One line.\n\nAnother."]


def test_cuts_between_paragraphs_before_sentences() -> None:
    text = "One two three. Four five.\n\nSix seven. Eight nine ten eleven."
    assert pieces(text, 12)[0] == "One two three. Four five."


def test_cuts_between_sentences_before_words() -> None:
    text = 'She said "go home." He went away and never came back again.'
    assert pieces(text, 10)[0] == 'She said "go home."'


def test_cuts_between_words_before_letters() -> None:
    assert pieces("one two six ten all", 3) == ["one two six", "ten all"]


def test_a_decimal_point_is_no_sentence_end() -> None:
    assert pieces("a b c d 3.14 e f g h i", 7)[0] == "a b c d"


def test_cuts_after_a_sentence_of_a_script_without_spaces() -> None:
    assert pieces("我们走。你们来了吗我不知道", 2)[0] == "我们走。"


def test_a_border_just_behind_the_last_token_is_used() -> None:
    assert pieces("one two. six", 3) == ["one two.", "six"]


@pytest.mark.parametrize("unit", ["x", "漢", "ab-", "1", "  x", "\n"])
def test_work_is_bounded_per_chunk_whatever_the_line(unit: str) -> None:
    text = unit * 50_000
    tokenizer = FakeTokenizer(64)
    assert_whole(text, spans_of(text, tokenizer), 64)
    assert tokenizer.longest_call <= 8 * 64


def test_chunks_of_an_unbroken_line_are_full() -> None:
    spans = spans_of("x" * 60_000, FakeTokenizer(50))
    assert {span.tokens for span in spans[:-1]} == {50}


class SplitCharacters(FakeTokenizer):
    """Three tokens for every character, all with the character's own offsets."""

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        offsets = [(i, i + 1) for i in range(len(text)) for _ in range(3)]
        return [0] * len(offsets), offsets


def test_a_character_of_several_tokens_is_never_split() -> None:
    spans = spans_of("汉" * 10, SplitCharacters(8))
    assert_whole("汉" * 10, spans, 8)
    assert {span.tokens for span in spans} == {6}


class LongerAtTheEnd(FakeTokenizer):
    """A cut text has more tokens than the same characters inside a longer one."""

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        offsets = [(i, i + 1) for i in range(len(text))]
        return [0] * (len(text) + 1), [*offsets, (len(text), len(text))]


def test_tokens_that_a_cut_adds_are_counted() -> None:
    assert_whole("x" * 100, spans_of("x" * 100, LongerAtTheEnd(10)), 10)
