"""Running text whose next chunk is to be foretold from what memory holds of the chunks before it.

The task of the paper's first two stages (M+, section 3.4): chunk to chunk with few chunks, long
documents with many.
"""

from __future__ import annotations

from random import Random

from mplus_ray.model.training.data.documents import Ask, Documents, TrainingDocument


class Continuing:
    """Such text in a share of the steps, other documents in the rest."""

    def __init__(self, documents: Documents, share: float) -> None:
        self.documents, self.share = documents, share

    def draw_many(
        self, rng: Random, count: int, chunks: int, length: int
    ) -> list[TrainingDocument]:
        """The documents of one step, `chunks` chunks of `length` tokens each."""
        if rng.random() >= self.share:
            return self.documents.draw_many(rng, count, chunks, length)
        return [self._draw(rng, chunks, length) for _ in range(count)]

    def _draw(self, rng: Random, chunks: int, length: int) -> TrainingDocument:
        ids = self.documents.corpus.span(rng, (chunks + 1) * length)
        *parts, rest = (ids[i * length : (i + 1) * length] for i in range(chunks + 1))
        return TrainingDocument(parts, [Ask(rest[:1], rest[1:], -1, "following")])
