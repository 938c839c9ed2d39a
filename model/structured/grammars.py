"""Which tokens an answer of a given form may go on with: llguidance's masks over the vocabulary.

A grammar is compiled once and kept; each answer goes through a copy of its own. What is kept is of
one owner: somebody else's question would otherwise show by its time that a schema was used before.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from numpy.typing import NDArray

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.structured.constraint import Constraint
from mplus_ray.model.structured.limits import parser_limits, reason

KEPT = 32  # grammars, of some 100 KB each and 8 MB at most


class TokenMask:
    """One answer on its way through a grammar.

    Attributes:
        complete: nothing can follow, not even an end.
    """

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._bits = allocate_token_bitmask(1, vocabulary)
        self.complete = False

    def allowed(self) -> NDArray[np.bool_]:
        """[vocab], which tokens may come next; an end among them where the answer may end.

        Raises:
            InvalidInputError: the form takes too much to follow.
        """
        fill_next_token_bitmask(self._matcher, self._bits, 0)
        self._check()
        bits = np.unpackbits(self._bits[0].view(np.uint8), bitorder="little")
        return bits[: self._vocabulary].astype(bool)

    def take(self, token: int) -> None:
        """Go on with a token that is allowed."""
        self._matcher.consume_token(token)
        self._check()
        self.complete = self._matcher.is_stopped()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise _refused(self._matcher)


class Grammar:
    """A compiled constraint."""

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    def mask(self) -> TokenMask:
        """For one answer, from its beginning."""
        return TokenMask(self._matcher.deep_copy(), self._vocabulary)


class Grammars:
    """Compiles constraints for a checkpoint's tokens, and keeps the ones used last. Any thread."""

    def __init__(self, tokenizer: TextTokenizer, config: ModelConfig) -> None:
        self._source = tokenizer
        self._config = config
        self._kept: OrderedDict[tuple[str, Constraint], Grammar] = OrderedDict()
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._tokenizer: LLTokenizer | None = None

    def compile(self, constraint: Constraint, owner: str = "") -> Grammar:
        """The grammar of a constraint; some milliseconds, but the first takes a second or two.

        Args:
            owner: whose it is; what was compiled for another one is not used.

        Raises:
            InvalidInputError: it cannot be compiled within the limits, and why.
        """
        key = owner, constraint
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        lark = constraint.lark(self._config.refusal)
        matcher = LLMatcher(
            self._tokens(), LLMatcher.grammar_from_lark(lark), log_level=0, limits=parser_limits()
        )
        if matcher.is_error():
            raise _refused(matcher)
        made = Grammar(matcher, self._config.vocab_size)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    def _tokens(self) -> LLTokenizer:
        with self._reading:
            if self._tokenizer is None:
                ends = list(self._config.eos_token_ids) or None
                try:
                    self._tokenizer = LLTokenizer(
                        self._source.definition, n_vocab=self._config.vocab_size, eos_token=ends
                    )
                except ValueError as error:
                    raise InvalidInputError(
                        f"answers of a given form cannot be had from this checkpoint: its "
                        f"tokenizer is of a kind that grammars do not read ({error})"
                    ) from error
            return self._tokenizer


def _refused(matcher: LLMatcher) -> InvalidInputError:
    return InvalidInputError(f"the form of the answer cannot be followed: {reason(matcher)}")
