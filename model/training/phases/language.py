"""Phase 1: language modelling in which facts stated earlier are asked for later."""

from __future__ import annotations

from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from mplus_ray.model.corpus.facts import (
    Fact,
    draw_fact,
    draw_facts,
    draw_unanswerable,
    draw_update,
)
from mplus_ray.model.training.data.text import PAD, Corpus, answer_ids, question_ids
from mplus_ray.model.training.network.passes import language
from mplus_ray.model.training.phases.token_losses import token_losses
from mplus_ray.model.training.recipe import LanguagePhase
from mplus_ray.model.training.task import Draws, Roles, Step

ANSWER_WEIGHT, REPEAT_WEIGHT, FIRST_WEIGHT = 5.0, 2.0, 10.0
_TOKENS_PER_ENTITY = 48  # so that the questions find room after the facts


class LanguageTask:
    """Batches of `phase.length` tokens; each token carries the weight of its loss."""

    def __init__(self, phase: LanguagePhase, tokenizer: Tokenizer, corpus: Corpus) -> None:
        self.phase, self.tokenizer, self.corpus = phase, tokenizer, corpus

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Every batch is drawn anew, so there is nothing to restore."""

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        return self.batch(draws.own)

    def loss(self, roles: Roles, batch: tuple[Tensor, Tensor], draws: Draws) -> Step:
        network = roles.reader
        ids, weights = (part.to(network.device) for part in batch)
        hidden = language(network, ids[:, :-1])
        counted = weights[:, 1:] > 0
        targets, weights = ids[:, 1:][counted], weights[:, 1:][counted]
        losses, hit = token_losses(network, hidden[counted], targets)
        plain, answers = weights == 1.0, weights == ANSWER_WEIGHT
        hits = hit.float()
        return Step(
            (losses * weights).sum() / weights.sum(),
            ids.numel(),
            {
                "text": losses[plain].mean().item(),
                "first": hits[weights == FIRST_WEIGHT].mean().item(),
                "repeat": hits[weights == REPEAT_WEIGHT].mean().item(),
                "answer": losses[answers].mean().item(),
                "accuracy": hits[answers].mean().item(),
            },
        )

    def batch(self, rng: Random) -> tuple[Tensor, Tensor]:
        """(ids, weights), each [batch, length + 1]."""
        ids, weights = [], []
        for _ in range(self.phase.batch):
            kind, wanted = rng.random(), self.phase.length + 1
            if kind < self.phase.text:
                sequence = [(i, 1.0) for i in self.corpus.span(rng, wanted)]
            elif kind < self.phase.text + self.phase.repeat:
                sequence = self._repeated(rng, wanted)
            elif kind < self.phase.text + self.phase.repeat + self.phase.interleaved:
                sequence = self._interleaved(rng, wanted)
            else:
                sequence = self._facts(rng, wanted)
            sequence += [(PAD, 0.0)] * (wanted - len(sequence))
            ids.append([i for i, _ in sequence[:wanted]])
            weights.append([w for _, w in sequence[:wanted]])
        return torch.tensor(ids), torch.tensor(weights)

    def _repeated(self, rng: Random, wanted: int) -> list[tuple[int, float]]:
        """A span of text again and again; copying is the root of recall."""
        length = rng.randrange(8, wanted // 2)
        span = self.corpus.span(rng, length)
        copies = [(i, REPEAT_WEIGHT) for i in span] * (wanted // length)
        return [(i, 1.0) for i in span] + copies

    def _interleaved(self, rng: Random, wanted: int) -> list[tuple[int, float]]:
        """Statements and questions in turn; every question once, so no answer is seen before."""
        sequence: list[tuple[int, float]] = []
        pending: list[Fact] = []
        while len(sequence) < wanted:
            if pending and (len(pending) > 2 or rng.random() < 0.5):
                fact = pending.pop(rng.randrange(len(pending)))
                first, *rest = answer_ids(self.tokenizer, fact.answer)
                sequence += [(i, 0.0) for i in question_ids(self.tokenizer, fact.question)]
                sequence += [(first, FIRST_WEIGHT), *((i, 1.0) for i in rest)]
            else:
                pending.append(draw_fact(rng))
                sequence += [(i, 0.0) for i in self.tokenizer.encode(pending[-1].statement).ids]
        return sequence

    def _facts(self, rng: Random, wanted: int) -> list[tuple[int, float]]:
        """Facts in running text, then questions about them in random order."""
        facts: list[Fact] = []
        sequence: list[tuple[int, float]] = []
        for _ in range(rng.randint(1, max(1, wanted // _TOKENS_PER_ENTITY))):
            older = ""
            if rng.random() < 0.1:
                older, fact = draw_update(rng)
                about = [fact]
            else:
                about = draw_facts(rng, rng.choice((1, 1, 2)))
            statements = [older] * bool(older) + [f.statement for f in about]
            for statement in statements:
                sequence += [(i, 1.0) for i in self.tokenizer.encode(" " + statement).ids]
                if rng.random() < 0.4:
                    sequence += [(i, 1.0) for i in self.corpus.span(rng, rng.randrange(5, 25))]
            facts += about
        if rng.random() < 0.2:
            facts.append(draw_unanswerable(rng))
        rng.shuffle(facts)
        while len(sequence) < wanted:
            fact = rng.choice(facts)
            sequence += [(i, 1.0) for i in question_ids(self.tokenizer, fact.question)]
            sequence += [(i, ANSWER_WEIGHT) for i in answer_ids(self.tokenizer, fact.answer)]
        return sequence
