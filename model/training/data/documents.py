"""Documents to memorize and what can be asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tokenizers import Tokenizer

from mplus_ray.model.corpus.facts import Fact, Unseen, draw_facts, draw_unanswerable, draw_update
from mplus_ray.model.training.data.questions import TrainingPassage
from mplus_ray.model.training.data.text import Corpus, answer_ids, question_ids

_TOKENS_PER_GROUP = 32  # of facts about one entity, so that several share a long chunk
_UPDATED, _UPDATED_LATER = 0.15, 0.45  # shares of facts overridden in one chunk, in several
_CUE, _RECALLED = 8, 24  # tokens given and wanted when text is to be recalled
_GIVEN = 32, 96  # tokens of what comes next that are given,
_FOLLOWING = 64  # and that are to be foretold


@dataclass(frozen=True)
class Ask:
    """A prompt, the tokens that must follow, and the chunk that holds them (-1: none does).

    Attributes:
        prompt: token ids.
        target: token ids of the answer.
        chunk: its number in the document.
    """

    prompt: list[int]
    target: list[int]
    chunk: int
    kind: str  # "fact", "real", "recall" or "following"


@dataclass(frozen=True)
class TrainingDocument:
    """A document to be written, and what is asked of it.

    Attributes:
        asks: what is asked of it.
    """

    chunks: list[list[int]]  # all of one length
    asks: list[Ask]


class Documents:
    """Draws documents; the shares say how many are real passages and how many plain text."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        corpus: Corpus,
        passages: list[TrainingPassage],
        real: float = 0.08,
        recall: float = 0.06,
        following: float = 0.0,
        unseen: Unseen = "nothing",
    ) -> None:
        self.tokenizer, self.corpus, self.passages = tokenizer, corpus, passages
        self.real, self.recall, self.following = real, recall, following
        self.unseen = unseen

    def draw_many(
        self, rng: Random, count: int, chunks: int, length: int
    ) -> list[TrainingDocument]:
        """The documents of one step. Text that goes on has long prompts, so it goes together."""
        if rng.random() < self.following:
            given = rng.randrange(*_GIVEN)
            return [self._followed(rng, chunks, length, given) for _ in range(count)]
        return [self.draw(rng, chunks, length) for _ in range(count)]

    def draw(self, rng: Random, chunks: int, length: int) -> TrainingDocument:
        """A document of `chunks` chunks of `length` tokens."""
        kind = rng.random()
        if kind < self.recall and length > _CUE:
            return self._text(rng, chunks, length)
        if kind < self.recall + self.real and self.passages and length > 2 * _CUE:
            return self._passage(rng, chunks, length)
        return self.facts(rng, chunks, length)

    def facts(self, rng: Random, chunks: int, length: int) -> TrainingDocument:
        """Statements scattered over running text."""
        statements: list[list[list[int]]] = [[] for _ in range(chunks)]
        asks = []
        for _ in range(rng.randrange(1, 2 + length // _TOKENS_PER_GROUP)):
            for fact, where in self._group(rng, chunks, length, statements):
                asks.append(self.ask(fact, where))
        if rng.random() < 0.03:
            asks.append(self.ask(draw_unanswerable(rng, self.unseen), -1))
        return TrainingDocument([self._fill(rng, s, length) for s in statements], asks)

    def ask(self, fact: Fact, chunk: int) -> Ask:
        prompt = question_ids(self.tokenizer, fact.question)
        return Ask(prompt, answer_ids(self.tokenizer, fact.answer), chunk, "fact")

    def _group(
        self, rng: Random, chunks: int, length: int, statements: list[list[list[int]]]
    ) -> list[tuple[Fact, int]]:
        """A fact a chunk about one entity, or a fact that a later one overrides."""
        wanted: list[tuple[str, Fact | None, int]] = []
        if rng.random() < (_UPDATED if chunks == 1 else _UPDATED_LATER):
            older, newer = draw_update(rng, self.unseen)
            first, last = sorted(rng.choices(range(chunks), k=2))
            if first == last and chunks > 1 and rng.random() < 0.7:
                first, last = 0, chunks - 1
            wanted = [(older, None, first), (newer.statement, newer, last)]
        else:
            facts = draw_facts(rng, rng.randrange(1, chunks + 2), self.unseen)
            wanted = [(f.statement, f, rng.randrange(chunks)) for f in facts]
        placed = []
        for text, fact, chunk in wanted:
            ids = self.tokenizer.encode(text).ids
            if sum(map(len, statements[chunk])) + len(ids) <= length:
                statements[chunk].append(ids)
                if fact is not None:
                    placed.append((fact, chunk))
        return placed

    def _fill(self, rng: Random, statements: list[list[int]], length: int) -> list[int]:
        """The statements in order, with text before, between and after them."""
        free = length - sum(map(len, statements))
        cuts = sorted(rng.randrange(free + 1) for _ in statements)
        chunk: list[int] = []
        position = 0
        for cut, statement in zip(cuts, statements, strict=True):
            chunk += self.corpus.span(rng, cut - position) + statement
            position = cut
        return chunk + self.corpus.span(rng, free - position)

    def _text(self, rng: Random, chunks: int, length: int) -> TrainingDocument:
        """Running text, to be recalled from its first words."""
        ids = self.corpus.span(rng, chunks * length)
        parts = [ids[i * length : (i + 1) * length] for i in range(chunks)]
        asks = []
        for _ in range(4):
            chunk = rng.randrange(chunks)
            start = rng.randrange(max(1, length - _CUE - _RECALLED))
            span = parts[chunk][start : start + _CUE + _RECALLED]
            asks.append(Ask(span[:_CUE], span[_CUE:], chunk, "recall"))
        return TrainingDocument(parts, asks)

    def _followed(self, rng: Random, chunks: int, length: int, given: int) -> TrainingDocument:
        """Running text that goes on in the prompt; the block just before it is to be found."""
        ids = self.corpus.span(rng, chunks * length + given + _FOLLOWING)
        parts = [ids[i * length : (i + 1) * length] for i in range(chunks)]
        rest = ids[chunks * length :]
        return TrainingDocument(parts, [Ask(rest[:given], rest[given:], chunks - 1, "following")])

    def _passage(self, rng: Random, chunks: int, length: int) -> TrainingDocument:
        """A window of a real passage around an answer, and the questions it can answer."""
        passage, total = rng.choice(self.passages), chunks * length
        anchor = rng.choice(passage.questions)[2]
        start = max(0, min(anchor - rng.randrange(total // 4, total), len(passage.ids) - total))
        start = min(start, anchor)
        ids = passage.ids[start : start + total]
        ids = ids + self.corpus.span(rng, total - len(ids))
        parts = [ids[i * length : (i + 1) * length] for i in range(chunks)]
        asks = [
            Ask(prompt, target, (where - start) // length, "real")
            for prompt, target, where in passage.questions
            if start <= where and where + len(target) <= start + total
        ]
        return TrainingDocument(parts, asks)
