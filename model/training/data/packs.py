"""Packs: blocks read apart, and questions of which each sees some of them.

One sequence trains many readings: a block is encoded once for all questions that see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.training.data.pack_drafts import AskedPassage, Block, Drafts
from mplus_ray.model.training.data.passages import PassageFile
from mplus_ray.model.training.data.text import Corpus
from mplus_ray.model.training.reading_phase import ReadingPhase

# What a branch is: asked of the block that answers it, of more blocks, of others only, about an
# invented fact, of several blocks in one prompt; and running text.
KINDS = ("alone", "apart", "unsaid", "fact", "prompt", "text")
_MOST = 1.3  # packs that second readings may make of one


@dataclass(frozen=True)
class Branch:
    """A question and its answer, or running text.

    Attributes:
        ids: tokens, those that are to be foretold last.
        given: how many of them are not to be foretold.
        sees: numbers of the blocks that it sees.
        kind: one of KINDS.
        start: position of its first token, counted from the end of the start rows.
        teacher: number of the branch that is asked the same with the blocks in its prompt.
    """

    ids: list[int]
    given: int
    sees: tuple[int, ...]
    kind: str
    start: int = 0
    teacher: int | None = None


@dataclass
class Pack:
    """Blocks, each by itself, and what is asked about them.

    Attributes:
        blocks: token ids of each.
        branches: the questions, and which blocks each of them sees.
    """

    blocks: list[list[int]] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.blocks)) + sum(len(branch.ids) for branch in self.branches)


class Packs:
    """Draws packs as a phase wants them."""

    def __init__(
        self,
        phase: ReadingPhase,
        config: ModelConfig,
        tokenizer: TextTokenizer,
        files: Sequence[PassageFile],
        end: int,
        corpus: Corpus | None = None,
    ) -> None:
        """
        Args:
            end: the token that ends an answer.
            corpus: running text, for a phase that wants such.
        """
        self._phase, self._corpus = phase, corpus
        self._drafts = Drafts(phase, config, tokenizer, files, end)
        self._refusal = self._drafts.answer(phase.refusal)
        self._between = tokenizer.encode("\n")

    def draw(self, rng: Random) -> Pack:
        """A pack of about as many tokens as the phase wants.

        Raises:
            InvalidInputError: no question of the files fits into a pack.
        """
        phase, draft = self._phase, self._drafts.draw(rng)
        pack = Pack([block.ids for block in draft.blocks])
        for ask in draft.asks:
            self._ask(pack, draft.blocks, ask, rng)
        if phase.text and self._corpus is not None:
            span = self._corpus.span(rng, max(2, round(phase.text * phase.pack)))
            pack.branches.append(Branch(span, 1, (), "text"))
        return pack

    def _ask(self, pack: Pack, blocks: Sequence[Block], ask: AskedPassage, rng: Random) -> None:
        """A branch for a question, and sometimes one with the same blocks in its prompt."""
        phase, dice, every = self._phase, rng.random(), range(len(blocks))
        kind, answer = "fact" if ask.invented else "apart", ask.answer
        if dice < phase.unanswerable:
            kind, answer = "unsaid", self._refusal
            others = [at for at in every if at not in ask.own and ask.said not in blocks[at].text]
            count = max(1, rng.choice(phase.distractors))
            sees = self._drawn(blocks, others, ask.title, count, rng)
        elif dice < phase.unanswerable + phase.alone:
            sees, kind = ask.gold, kind if ask.invented else "alone"
        else:
            others = [at for at in every if at not in ask.gold]
            count = rng.choice(phase.distractors)
            sees = ask.gold + self._drawn(blocks, others, ask.title, count, rng)
        teacher = None
        if len(sees) > 1 and rng.random() < phase.prompt and pack.tokens < _MOST * phase.pack:
            teacher = len(pack.branches)
            shuffled = rng.sample(sees, len(sees))
            given = [i for at in shuffled for i in (*pack.blocks[at], *self._between)]
            given += ask.prompt
            pack.branches.append(Branch(given + answer, len(given), (), "prompt"))
        start = max((len(pack.blocks[at]) for at in sees), default=0)
        ids = ask.prompt + answer
        pack.branches.append(Branch(ids, len(ask.prompt), sees, kind, start, teacher))

    def _drawn(
        self, blocks: Sequence[Block], others: Sequence[int], title: str, count: int, rng: Random
    ) -> tuple[int, ...]:
        """So many of other blocks, as far as there are; of the same title sooner than others."""
        hard = [at for at in others if blocks[at].title == title]
        rest = [at for at in others if blocks[at].title != title]
        drawn: list[int] = []
        while len(drawn) < count and (hard or rest):
            side = hard if hard and (not rest or rng.random() < self._phase.hard) else rest
            drawn.append(side.pop(rng.randrange(len(side))))
        return tuple(drawn)
