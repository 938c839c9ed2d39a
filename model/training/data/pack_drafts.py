"""What goes into a pack: passages cut into blocks, and what is asked about them, in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.prompt import question_prompt
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.training.data.invented_passages import strew
from mplus_ray.model.training.data.passages import (
    BlockCutter,
    PassageFile,
    PassageQuestion,
    TitledPassage,
)
from mplus_ray.model.training.reading_phase import ReadingPhase

_MOST_BLOCKS = 3  # of a passage; longer ones are left out
_MOST_QUESTION, _MOST_ANSWER = 60, 45  # tokens
# Shares of a pack: where it ends, how far blocks may fill it, and from where on it ends now and
# then, so that there are short ones.
_FULL, _FITTING, _ENOUGH = 0.9, 0.75, 0.4
_ENDED = 0.15
_TITLE_TRIES = 1000  # titles looked at for one pack


@dataclass(frozen=True)
class Block:
    """Tokens that are encoded by themselves.

    Attributes:
        text: what they say, without a header.
        title: of the passage.
        ids: token ids.
    """

    ids: list[int]
    text: str
    title: str


@dataclass(frozen=True)
class AskedPassage:
    """A question in tokens.

    Attributes:
        prompt, answer: its tokens, the answer's with an end.
        said: the answer in words.
        invented: whether it is about an invented fact.
        gold: numbers of the blocks that answer it.
        own: of all blocks of its passage.
        title: of its passage.
    """

    prompt: list[int]
    answer: list[int]
    said: str
    invented: bool
    gold: tuple[int, ...]
    own: range
    title: str


@dataclass
class Draft:
    """Blocks and questions of one pack.

    Attributes:
        tokens: of all of them.
        texts: of the passages, of which each is there once.
        blocks: in order.
        asks: the questions about them.
    """

    blocks: list[Block] = field(default_factory=list)
    asks: list[AskedPassage] = field(default_factory=list)
    tokens: int = 0
    texts: set[str] = field(default_factory=set)


class Drafts:
    """Draws passages as a phase wants them."""

    def __init__(
        self,
        phase: ReadingPhase,
        config: ModelConfig,
        tokenizer: TextTokenizer,
        files: Sequence[PassageFile],
        end: int,
    ) -> None:
        """
        Args:
            end: the token that ends an answer.
        """
        self._phase, self._config, self._tokenizer = phase, config, tokenizer
        self._files, self._end = files, end
        self._shares = [file.share for file in files]
        self._titles = [list(file.titles) for file in files]
        self._cutter = BlockCutter(tokenizer, config)

    def draw(self, rng: Random) -> Draft:
        """Passages of one title after the other, until a pack is about full.

        Raises:
            InvalidInputError: no question of the files fits into a pack.
        """
        draft, room = Draft(), self._phase.pack * (1 - self._phase.text)
        for _ in range(_TITLE_TRIES):
            for passage in self._of_one_title(rng):
                self._add(draft, passage, rng, _FITTING * room)
            full = draft.tokens > _FULL * room
            ended = draft.tokens > _ENOUGH * room and rng.random() < _ENDED
            if draft.asks and (full or ended):
                return draft
        if draft.asks:
            return draft
        raise InvalidInputError(
            f"phase {self._phase.name}: of {_TITLE_TRIES} titles none had a question of at most "
            f"{_MOST_QUESTION} tokens and an answer of at most {_MOST_ANSWER}"
        )

    def answer(self, text: str) -> list[int]:
        """An answer as the model must continue a question, with its end."""
        return [*self._tokenizer.encode(f" {text}"), self._end]

    def _of_one_title(self, rng: Random) -> list[TitledPassage]:
        """Some passages of one title, or one into which invented facts are strewn."""
        (at,) = rng.choices(range(len(self._files)), self._shares)
        passages = self._files[at].titles[rng.choice(self._titles[at])]
        if rng.random() < self._phase.facts:
            return [strew(rng, rng.choice(passages), self._phase.yes_no)]
        count = rng.choice(self._phase.passages)
        return rng.sample(passages, min(count, len(passages)))

    def _add(self, draft: Draft, passage: TitledPassage, rng: Random, most: float) -> None:
        """Put in a passage with what is asked about it, if that does not make it too long."""
        pieces = self._cutter.cut(passage, rng.random() < self._phase.headers)
        size = sum(len(ids) for ids, _ in pieces)
        too_long = len(pieces) > _MOST_BLOCKS or (draft.blocks and draft.tokens + size > most)
        if too_long or passage.text in draft.texts:
            return
        draft.texts.add(passage.text)
        own = range(len(draft.blocks), len(draft.blocks) + len(pieces))
        draft.blocks += [Block(ids, text, passage.title) for ids, text in pieces]
        draft.tokens += size
        for question in self._some(passage.questions, rng):
            prompt = question_prompt(self._tokenizer, self._config, question.text)
            said = question.answers[0]
            answer = self.answer(said)
            if len(prompt) > _MOST_QUESTION or len(answer) > _MOST_ANSWER:
                continue
            gold = tuple(at for at in own if question.evidence in draft.blocks[at].text)
            places = gold or tuple(own), own
            draft.asks.append(
                AskedPassage(prompt, answer, said, question.invented, *places, passage.title)
            )
            draft.tokens += len(prompt) + len(answer)

    def _some(self, questions: Sequence[PassageQuestion], rng: Random) -> list[PassageQuestion]:
        some = rng.sample(questions, min(self._phase.questions, len(questions)))
        numeric = [question for question in questions if question.is_numeric]
        if numeric and self._phase.numbers:
            some = [rng.choice(numeric) if rng.random() < self._phase.numbers else q for q in some]
        return list(dict.fromkeys(some))
