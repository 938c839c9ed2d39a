"""Phases 2 and 3: write documents into rows, answer from rows alone, find the right block.

A step writes fresh documents with gradients through their last chunks, and asks about them among
detached rows of earlier steps, dropped and split between pool and retrieved blocks as at run time.

Legend: D documents, Q questions, L layers, K rows a block, d hidden size, n tokens.
"""

from __future__ import annotations

from random import Random
from typing import Any, Protocol

import torch
from torch import Tensor

from model.network import Network
from model.training import retrieval
from model.training.asking import Asked, accuracies
from model.training.bank import Bank
from model.training.documents import Ask, Document
from model.training.head import token_losses
from model.training.layout import Layout
from model.training.passes import write
from model.training.reading import read, read_asking
from model.training.recipe import MemoryPhase
from model.training.step import Draws, Roles, Step

_SHORT = 16, 64  # tokens of a short chunk
_RETRIEVERS = 24  # questions a step that the retriever learns from
_READ_BUDGET = 5_000_000  # prompt tokens × shared rows of one step: bounds time and memory


class Drawn(Protocol):
    """Where documents come from: `Documents`, or something round it."""

    def draw_many(self, rng: Random, count: int, chunks: int, length: int) -> list[Document]: ...


class MemoryTask:
    def __init__(self, phase: MemoryPhase, documents: Drawn) -> None:
        self.phase, self.documents = phase, documents
        self.bank = Bank(max(*phase.pool_blocks, phase.negatives, 32))

    def state(self) -> dict[str, Any]:
        return self.bank.state()

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        self.bank.restore(state, device)

    def loss(self, roles: Roles, draws: Draws) -> Step:
        phase, rng, common = self.phase, draws.own, draws.common
        config, device = roles.reader.config, roles.reader.device
        chunks = common.choice(phase.chunks)
        short = common.random() < phase.short
        length = common.randrange(*_SHORT) if short else config.chunk_tokens
        layout = self._layout(common)

        drawn = self.documents.draw_many(rng, max(2, phase.documents // chunks), chunks, length)
        fresh = self._write(roles.writer, drawn, rng)
        asks = self._asks(drawn, rng, layout.pool * config.num_tokens)
        asked = Asked.of(asks, chunks, device)
        hidden, retrieving, found = self._read(roles.reader, fresh, asked, layout, rng)
        wanted = asked.weights[:, 1:] > 0
        losses, hits = token_losses(roles.reader, hidden[wanted], asked.ids[:, 1:][wanted])
        importance = asked.weights[:, 1:][wanted]
        answering = (losses * importance).sum() / importance.sum()
        self.bank.add(fresh.flatten(0, 1))
        return Step(
            answering + phase.retriever_weight * retrieving,
            len(drawn) * chunks * length + asked.ids.numel(),
            {
                "answering": answering.item(),
                "retrieval": retrieving.item() if phase.retriever_weight else float("nan"),
                "found": found,
                **accuracies(asks, hits, wanted),
            },
        )

    def _layout(self, common: Random) -> Layout:
        beside = common.choice(self.phase.retrieved)
        pool = min(common.choice(self.phase.pool_blocks), len(self.bank) - beside)
        return Layout.draw(common, max(0, pool), beside if pool >= 0 else 0)

    def _write(self, writer: Network, drawn: list[Document], rng: Random) -> Tensor:
        """Fresh blocks [D, chunks, L, K, d], after an empty memory or after others' blocks."""
        before = self.bank.sample(rng, len(drawn)) if rng.random() < 0.7 else None
        previous = before if before is not None and len(before) == len(drawn) else None
        blocks, chunks = [], len(drawn[0].chunks)
        through = self.phase.gradient_chunks or chunks
        for number in range(chunks):
            ids = torch.tensor([document.chunks[number] for document in drawn])
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= chunks - through):
                previous = write(writer, ids.to(writer.device), previous)
            blocks.append(previous)
        return torch.stack(blocks, dim=1)

    def _asks(self, drawn: list[Document], rng: Random, rows: int) -> list[tuple[int, Ask]]:
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
        self, reader: Network, fresh: Tensor, asked: Asked, layout: Layout, rng: Random
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
        some = asked.first(_RETRIEVERS)
        if reader.config.retrieval == "rows":
            hidden, queries = read_asking(
                reader, ids, layout.place(own, asked.owners, others, size)
            )
            queries = [layer[:_RETRIEVERS] for layer in queries]
            return hidden, *retrieval.row_loss(reader, queries, some.prompts, known, some.targets)
        votes = retrieval.votes(reader, some.ids, some.prompts, known)
        if negatives is not None:
            hard = retrieval.hardest(votes[:, len(blocks) :], layout.beside // 2)
            others[: len(hard)] = negatives[hard]
        hidden = read(reader, ids, layout.place(own, asked.owners, others, size))
        return hidden, *retrieval.contrast(votes, some.targets)
