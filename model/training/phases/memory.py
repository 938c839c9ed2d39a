"""Phases 2 and 3: write documents into rows, answer from rows alone, find the right block.

A step writes fresh documents with gradients through their last chunks, and asks about them among
detached rows of earlier steps, dropped and split between pool and retrieved blocks as at run time.

Legend: D documents, Q questions, L layers, K rows a block, d hidden size, n tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import torch
from torch import Tensor

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.training.data.asking import QuestionBatch, accuracies
from mplus_ray.model.training.data.documents import Ask, TrainingDocument
from mplus_ray.model.training.network.passes import write
from mplus_ray.model.training.network.read_pass import read, read_asking
from mplus_ray.model.training.phases import retrieval
from mplus_ray.model.training.phases.bank import Bank
from mplus_ray.model.training.phases.layout import Layout
from mplus_ray.model.training.phases.token_losses import token_losses
from mplus_ray.model.training.recipe import MemoryPhase
from mplus_ray.model.training.task import Draws, Roles, Step

_SHORT = 16, 64  # tokens of a short chunk
_READ_BUDGET = 5_000_000  # prompt tokens × shared rows of one step: bounds time and memory


class Drawn(Protocol):
    """Where documents come from: `Documents`, or something round it."""

    def draw_many(
        self, rng: Random, count: int, chunks: int, length: int
    ) -> list[TrainingDocument]: ...


@dataclass(frozen=True)
class MemoryBatch:
    """What a step writes and asks.

    Attributes:
        chunks: [chunks, D, n] token ids.
        asked: the questions.
        pool, beside: other blocks wanted in the pool, and among the retrieved ones.
    """

    chunks: Tensor
    asked: QuestionBatch
    pool: int
    beside: int


class MemoryTask:
    def __init__(self, phase: MemoryPhase, config: ModelConfig, documents: Drawn) -> None:
        self.phase, self.config, self.documents = phase, config, documents
        self.bank = Bank(max(*phase.pool_blocks, phase.negatives, phase.documents, 32))

    def state(self) -> dict[str, Any]:
        return self.bank.state()

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        self.bank.restore(state, device)

    def draw(self, draws: Draws) -> MemoryBatch:
        phase, rng, common = self.phase, draws.own, draws.common
        chunks = common.choice(phase.chunks)
        short = common.random() < phase.short
        length = common.randrange(*_SHORT) if short else self.config.chunk_tokens
        beside, pool = common.choice(phase.retrieved), common.choice(phase.pool_blocks)
        drawn = self.documents.draw_many(rng, max(2, phase.documents // chunks), chunks, length)
        asks = self._asks(drawn, rng, pool * self.config.num_tokens)
        ids = torch.tensor([document.chunks for document in drawn])
        return MemoryBatch(ids.transpose(0, 1), QuestionBatch.of(asks, chunks), pool, beside)

    def loss(self, roles: Roles, batch: MemoryBatch, draws: Draws) -> Step:
        phase, rng, device = self.phase, draws.own, roles.reader.device
        asked = batch.asked.to(device)
        layout = self._layout(draws.common, batch)
        fresh = self._write(roles.writer, batch.chunks.to(device), rng)
        hidden, retrieving, found = self._read(roles.reader, fresh, asked, layout, rng)
        wanted = asked.weights[:, 1:] > 0
        losses, hits = token_losses(roles.reader, hidden[wanted], asked.ids[:, 1:][wanted])
        importance = asked.weights[:, 1:][wanted]
        answering = (losses * importance).sum() / importance.sum()
        self.bank.add(fresh.flatten(0, 1))
        return Step(
            answering + phase.retriever_weight * retrieving,
            batch.chunks.numel() + asked.ids.numel(),
            {
                "answering": answering.item(),
                "retrieval": retrieving.item() if phase.retriever_weight else float("nan"),
                "found": found,
                **accuracies(batch.asked.kinds, hits, wanted),
            },
        )

    def _layout(self, common: Random, batch: MemoryBatch) -> Layout:
        pool = min(batch.pool, len(self.bank) - batch.beside)
        return Layout.draw(common, max(0, pool), batch.beside if pool >= 0 else 0)

    def _write(self, writer: Network, chunks: Tensor, rng: Random) -> Tensor:
        """Fresh blocks [D, chunks, L, K, d], after an empty memory or after others' blocks."""
        count = chunks.shape[1]
        before = self.bank.sample(rng, count) if rng.random() < 0.7 else None
        previous = before if before is not None and len(before) == count else None
        blocks = []
        through = self.phase.gradient_chunks or len(chunks)
        for number, ids in enumerate(chunks):
            through_this = number >= len(chunks) - through
            with torch.set_grad_enabled(torch.is_grad_enabled() and through_this):
                previous = write(writer, ids, previous)
            blocks.append(previous)
        return torch.stack(blocks, dim=1)

    def _asks(self, drawn: list[TrainingDocument], rng: Random, rows: int) -> list[tuple[int, Ask]]:
        """(document, question) pairs, as many as the read budget allows."""
        asks = []
        for owner, document in enumerate(drawn):
            some = rng.sample(document.asks, min(self.phase.questions, len(document.asks)))
            asks += [(owner, ask) for ask in some]
        if not asks:  # short chunks, and no statement fitted: recall one of them
            chunk = drawn[0].chunks[0]
            asks = [(0, Ask(chunk[:1], chunk[1:], 0, "recall"))]
        rng.shuffle(asks)
        longest = max(len(ask.prompt) + len(ask.target) for _, ask in asks)
        return asks[: max(4, _READ_BUDGET // (longest * max(rows, 1)))]

    def _read(
        self, reader: Network, fresh: Tensor, asked: QuestionBatch, layout: Layout, rng: Random
    ) -> tuple[Tensor, Tensor, float]:
        """Last hidden states [Q, n - 1, d], the retriever's loss, and the share that it found."""
        phase, blocks, ids = self.phase, fresh.flatten(0, 1), asked.ids[:, :-1]
        own = fresh.transpose(1, 2).flatten(2, 3)
        others = self.bank.sample(rng, layout.pool + layout.beside)
        others = blocks[:0] if others is None else others
        size = reader.config.num_tokens
        if not phase.retriever_weight:
            hidden = read(reader, ids, layout.place(own, asked.owners, others, size))
            return hidden, hidden.new_zeros(()), float("nan")

        negatives = self.bank.sample(rng, phase.negatives)
        known = blocks if negatives is None else torch.cat([blocks, negatives])
        some = asked.first(phase.retriever_questions)
        if reader.config.retrieval == "rows":
            hidden, queries = read_asking(
                reader, ids, layout.place(own, asked.owners, others, size)
            )
            queries = [layer[: phase.retriever_questions] for layer in queries]
            return hidden, *retrieval.row_loss(reader, queries, some.prompts, known, some.targets)
        votes = retrieval.votes(reader, some.ids, some.prompts, known)
        if negatives is not None:
            hard = retrieval.hardest(votes[:, len(blocks) :], layout.beside // 2)
            others[: len(hard)] = negatives[hard]
        hidden = read(reader, ids, layout.place(own, asked.owners, others, size))
        return hidden, *retrieval.contrast(votes, some.targets)
