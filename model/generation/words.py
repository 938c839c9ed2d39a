"""The words of chunks and prompts, by which blocks are found (`model.index.word_index`)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.generation.prompt import PLAIN, QUESTION
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.index.stems import EMPTY, STEMS

_WORD = re.compile(r"\w+")


class Words:
    """Token ids as the words that are compared (`model.index.stems`)."""

    def __init__(self, tokenizer: TextTokenizer, config: ModelConfig) -> None:
        self._tokenizer = tokenizer
        before_and_after = (config.prompt_template or PLAIN).replace(QUESTION, " ")
        self._template = set(STEMS.of(before_and_after))

    def of_chunk(self, ids: Sequence[int]) -> list[str]:
        """Words of a chunk, its title and section included."""
        return STEMS.of(self._tokenizer.decode(ids))

    def telling(self, ids: Sequence[int]) -> list[str]:
        """Words of a chunk in order, without those that every question has."""
        return [word for word in self.of_chunk(ids) if word not in EMPTY]

    def names(self, ids: Sequence[int]) -> set[str]:
        """Words that begin with a capital, which in English are names, or begin a sentence."""
        text = self._tokenizer.decode(ids)
        found = (word for word in _WORD.findall(text) if word[0].isupper())
        return {STEMS.one(word.casefold()) for word in found}

    def of_prompt(self, ids: Sequence[int]) -> list[str]:
        """Words of a prompt without those that every prompt has, or every question."""
        words = STEMS.of(self._tokenizer.decode(ids))
        return [word for word in words if word not in self._template and word not in EMPTY]
