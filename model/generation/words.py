"""The words of chunks and prompts, by which blocks are found (`model.index.word_index`)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from snowballstemmer import stemmer

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.generation.prompt import PLAIN, QUESTION
from mplus_ray.model.generation.tokenizer import TextTokenizer

_WORD = re.compile(r"\w+")
_MOST_STEMS = 1 << 17  # kept; a language has about as many words in use


class Words:
    """Token ids as the words that are compared: lower case, any script, English endings off."""

    def __init__(self, tokenizer: TextTokenizer, config: ModelConfig) -> None:
        self._tokenizer = tokenizer
        self._stem = stemmer("english")
        self._stems: dict[str, str] = {}
        before_and_after = (config.prompt_template or PLAIN).replace(QUESTION, " ")
        self._template = set(self._of(before_and_after))

    def of_chunk(self, ids: Sequence[int]) -> list[str]:
        """Words of a chunk, its title and section included."""
        return self._of(self._tokenizer.decode(ids))

    def of_prompt(self, ids: Sequence[int]) -> list[str]:
        """Words of a prompt without those that every prompt has."""
        return [
            word for word in self._of(self._tokenizer.decode(ids)) if word not in self._template
        ]

    def _of(self, text: str) -> list[str]:
        words = _WORD.findall(text.casefold())
        for word in words:
            if word not in self._stems:
                if len(self._stems) >= _MOST_STEMS:
                    self._stems.clear()
                self._stems[word] = self._stem.stemWord(word)
        return [self._stems[word] for word in words]
