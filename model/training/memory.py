"""Phases 2 and 3: write documents into rows, answer from rows alone, find the right block.

A step writes fresh documents with gradients through all their chunks, and asks about them among
detached rows of earlier steps, dropped and split between pool and retrieved blocks as at run time.
"""

from __future__ import annotations

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from model.blocks import layer_scores
from model.network import Network
from model.training.bank import Bank
from model.training.documents import Ask, Document, Documents
from model.training.layout import Layout
from model.training.passes import block_keys, question_queries, write
from model.training.reading import read
from model.training.recipe import MemoryPhase
from model.training.step import Step
from model.training.text import PAD

# Weight of an answer's first token, which needs the fact; the rest mostly follows from it.
_FIRST, _REST, _RECALLED = 10.0, 3.0, 1.0
_SHORT = 16, 64  # tokens of a short chunk
_RETRIEVERS = 24  # questions a step that the retriever learns from
_READ_BUDGET = 5_000_000  # prompt tokens × shared rows of one step: bounds time and memory


class MemoryTask:
    def __init__(self, phase: MemoryPhase, documents: Documents) -> None:
        self.phase, self.documents = phase, documents
        self.bank = Bank(max(*phase.pool_blocks, phase.negatives, 32))

    def loss(self, network: Network, rng: Random) -> Step:
        config, phase = network.config, self.phase
        chunks = rng.choice(phase.chunks)
        short = rng.random() < phase.short
        length = rng.randrange(*_SHORT) if short else config.chunk_tokens
        count = max(2, phase.documents // chunks)
        drawn = [self.documents.draw(rng, chunks, length) for _ in range(count)]
        fresh = self._write(network, drawn, rng)
        blocks = fresh.flatten(0, 1)

        beside = rng.choice(phase.retrieved)
        pool = min(rng.choice(phase.pool_blocks), len(self.bank) - beside)
        layout = Layout.draw(rng, max(0, pool), beside if pool >= 0 else 0)
        asks = self._asks(drawn, rng, layout.pool * config.num_tokens)
        owners = torch.tensor([owner for owner, _ in asks])
        ids, weights, prompts = _pad([ask for _, ask in asks])
        targets = torch.tensor(
            [owner * chunks + ask.chunk if ask.chunk >= 0 else -1 for owner, ask in asks]
        )
        negatives = self.bank.sample(rng, phase.negatives)
        some = slice(_RETRIEVERS)
        votes = _votes(network, ids[some], prompts[some], blocks, negatives)
        retrieval, found = _contrast(votes, targets[some])

        own = fresh[owners].transpose(1, 2).flatten(2, 3)
        others = self.bank.sample(rng, layout.pool + layout.beside)
        others = blocks[:0] if others is None else others
        if negatives is not None:
            hard = _hardest(votes[:, len(blocks) :], layout.beside // 2)
            others[: len(hard)] = negatives[hard]
        around = layout.place(own, others, config.num_tokens)
        hidden = read(network, ids[:, :-1], around)
        wanted = weights[:, 1:] > 0
        logits, labels = network.logits(hidden[wanted]).float(), ids[:, 1:][wanted]
        losses, importance = F.cross_entropy(logits, labels, reduction="none"), weights[:, 1:]
        importance = importance[wanted]
        answering = (losses * importance).sum() / importance.sum()
        self.bank.add(blocks)
        hits = logits.argmax(-1) == labels
        return Step(
            answering + phase.retriever_weight * retrieval,
            count * chunks * length + ids.numel() + ids[some].numel(),
            {
                "answering": answering.item(),
                "retrieval": retrieval.item(),
                "found": found,
                **_accuracies(asks, hits, wanted),
            },
        )

    def _write(self, network: Network, drawn: list[Document], rng: Random) -> Tensor:
        """Fresh blocks [B, chunks, L, K, d], after an empty memory or after others' blocks."""
        before = self.bank.sample(rng, len(drawn)) if rng.random() < 0.7 else None
        previous = before if before is not None and len(before) == len(drawn) else None
        blocks = []
        for number in range(len(drawn[0].chunks)):
            ids = torch.tensor([document.chunks[number] for document in drawn])
            previous = write(network, ids, previous)
            blocks.append(previous)
        return torch.stack(blocks, dim=1)

    def _asks(self, drawn: list[Document], rng: Random, rows: int) -> list[tuple[int, Ask]]:
        """(document, question) pairs, as many as the read budget allows."""
        asks = []
        for owner, document in enumerate(drawn):
            some = rng.sample(document.asks, min(self.phase.questions, len(document.asks)))
            asks += [(owner, ask) for ask in some]
        rng.shuffle(asks)
        longest = max(len(ask.prompt) + len(ask.target) for _, ask in asks)
        return asks[: max(4, _READ_BUDGET // (longest * max(rows, 1)))]


def _votes(
    network: Network, ids: Tensor, prompts: Tensor, blocks: Tensor, negatives: Tensor | None
) -> Tensor:
    """The layers' votes [Q, B] of questions [Q, n] of `prompts` [Q] tokens, negatives last."""
    if negatives is not None:
        blocks = torch.cat([blocks, negatives])
    asked = ids[:, : int(prompts.max())]
    inside = torch.arange(asked.shape[1]) < prompts[:, None]
    weights = inside / prompts[:, None]
    votes = [
        layer_scores(queries, keys, weights).float()
        for queries, keys in zip(
            question_queries(network, asked), block_keys(network, blocks), strict=True
        )
    ]
    return torch.stack(votes).sum(0)


def _contrast(votes: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """InfoNCE over all blocks with the layers' vote inside, and how often the best is right."""
    known = targets >= 0
    if not known.any():
        return votes.sum() * 0, float("nan")
    found = (votes.argmax(1) == targets)[known].float().mean().item()
    return F.cross_entropy(votes[known], targets[known]), found


def _hardest(votes: Tensor, count: int) -> list[int]:
    """Of other blocks, the best by the votes [Q, B] of as many questions: what would be fetched."""
    return votes[:count].argmax(1).unique().tolist()


def _pad(asks: list[Ask]) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids [Q, n], loss weights [Q, n] and prompt lengths [Q]."""
    longest = max(len(ask.prompt) + len(ask.target) for ask in asks)
    ids = torch.full((len(asks), longest), PAD)
    weights = torch.zeros(len(asks), longest)
    for row, ask in enumerate(asks):
        end = len(ask.prompt) + len(ask.target)
        ids[row, :end] = torch.tensor(ask.prompt + ask.target)
        plain = ask.kind in ("recall", "following")
        weights[row, len(ask.prompt) : end] = _RECALLED if plain else _REST
        if not plain:
            weights[row, len(ask.prompt)] = _FIRST
    return ids, weights, torch.tensor([len(ask.prompt) for ask in asks])


def _accuracies(asks: list[tuple[int, Ask]], hits: Tensor, wanted: Tensor) -> dict[str, float]:
    """Share of the wanted tokens that are right, by kind of question, and of whole answers."""
    wrong = torch.zeros_like(wanted).masked_scatter(wanted, ~hits)
    result = {}
    for kind in ("fact", "real", "recall", "following"):
        mine = torch.tensor([ask.kind == kind for _, ask in asks])
        result[kind] = 1 - wrong[mine].sum().item() / max(1, wanted[mine].sum().item())
        if kind == "fact":
            result["exact"] = 1 - wrong[mine].any(1).float().mean().item()
        if not mine.any():
            result[kind] = float("nan")
    return result
