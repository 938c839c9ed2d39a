"""Reading phases: answers from blocks that were encoded apart.

The loss is the cross entropy of answers, the divergence of some of them from what the same model
says with the same blocks in one prompt, and a little running text.

Legend: B packs, n tokens of blocks, m tokens of branches, S branches, N blocks, d hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mplus_ray.model.training.data.packs import KINDS, Pack, Packs
from mplus_ray.model.training.network.apart_pass import Segments, read_apart
from mplus_ray.model.training.phases.token_losses import divergences, token_losses
from mplus_ray.model.training.reading_phase import ReadingPhase
from mplus_ray.model.training.task import Draws, Roles, Step

_MULTIPLE = 8  # tokens of a sequence are padded to such a number, which fused attention likes
_TEXT = KINDS.index("text")


@dataclass(frozen=True)
class ReadingBatch:
    """Packs as tensors.

    Attributes:
        blocks, branches: the two packed sequences.
        sees: [B, S, N], which blocks each branch sees.
        kinds: [B, m - 1] the kind of branch of which the next token is to be foretold, by its
            number; -1: it is not.
        answers: [B, m - 1] the number of the branch among all, to tell whole answers.
        pairs: [2, K] of tokens to be foretold, counted over all, one and its teacher.
        tokens: of all packs, without padding.
    """

    blocks: Segments
    branches: Segments
    sees: Tensor
    kinds: Tensor
    answers: Tensor
    pairs: Tensor
    tokens: int

    @classmethod
    def of(cls, packs: Sequence[Pack], start_rows: int) -> ReadingBatch:
        blocks = _lane(
            [[(ids, start_rows) for ids in pack.blocks] for pack in packs], extra=start_rows
        )
        branches = _lane(
            [[(b.ids, start_rows + b.start) for b in pack.branches] for pack in packs], extra=0
        )
        most = max(len(pack.branches) for pack in packs)
        sees = torch.zeros(len(packs), most, max(len(p.blocks) for p in packs), dtype=torch.bool)
        kinds = torch.full((len(packs), branches.ids.shape[1] - 1), -1)
        answers = torch.zeros_like(kinds)
        pairs: list[tuple[int, int]] = []
        counted = number = 0
        for row, pack in enumerate(packs):
            firsts, at = [], 0
            for index, branch in enumerate(pack.branches):
                sees[row, index, list(branch.sees)] = True
                wanted = slice(at + branch.given - 1, at + len(branch.ids) - 1)
                kinds[row, wanted] = KINDS.index(branch.kind)
                answers[row, wanted] = number
                firsts.append(counted)
                size = len(branch.ids) - branch.given
                if branch.teacher is not None:
                    teacher = firsts[branch.teacher]
                    pairs += [(counted + i, teacher + i) for i in range(size)]
                at, counted, number = at + len(branch.ids), counted + size, number + 1
        paired = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).T
        tokens = sum(pack.tokens for pack in packs)
        return cls(blocks, branches, sees, kinds, answers, paired, tokens)


def _lane(packs: Sequence[Sequence[tuple[list[int], int]]], extra: int) -> Segments:
    """Pieces (tokens, position of the first) one behind the other, a row for each pack.

    Args:
        extra: of what stands before the sequence when it is attended.
    """
    longest = max(sum(len(ids) for ids, _ in pieces) for pieces in packs)
    longest += -(longest + extra) % _MULTIPLE
    parts = [torch.full((len(packs), longest), fill) for fill in (0, 0, -1)]
    for row, pieces in enumerate(packs):
        at = 0
        for number, (ids, start) in enumerate(pieces):
            end = at + len(ids)
            parts[0][row, at:end] = torch.tensor(ids)
            parts[1][row, at:end] = torch.arange(start, start + len(ids))
            parts[2][row, at:end] = number
            at = end
    return Segments(*parts)


class ReadingTask:
    """Packs and their loss; there is nothing to keep from one step to the next."""

    def __init__(self, phase: ReadingPhase, packs: Packs, start_rows: int) -> None:
        self.phase, self.packs, self.start_rows = phase, packs, start_rows

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Every batch is drawn anew, so there is nothing to restore."""

    def draw(self, draws: Draws) -> ReadingBatch:
        packs = [self.packs.draw(draws.own) for _ in range(self.phase.batch)]
        return ReadingBatch.of(packs, self.start_rows)

    def loss(self, roles: Roles, batch: ReadingBatch, draws: Draws) -> Step:
        reader, device = roles.reader, roles.reader.device
        branches = batch.branches.to(device)
        hidden = read_apart(roles, batch.blocks.to(device), branches, batch.sees.to(device))
        wanted = (batch.kinds >= 0).to(device)
        hidden, targets = hidden[:, :-1][wanted], branches.ids[:, 1:][wanted]
        losses, hits = token_losses(reader, hidden, targets)
        kinds = batch.kinds[batch.kinds >= 0]
        text = (kinds == _TEXT).to(device)
        answering, reading_on = _mean(losses[~text]), _mean(losses[text])
        loss = answering + self.phase.text_weight * reading_on
        apart = hidden.new_zeros(())
        if self.phase.divergence and batch.pairs.numel():
            own, teacher = batch.pairs.to(device)
            apart = divergences(reader, hidden[own], hidden[teacher].detach()).mean()
            loss = loss + self.phase.divergence * apart
        parts = {
            "answering": answering.item(),
            "divergence": apart.item() if batch.pairs.numel() else float("nan"),
            **_by_kind(batch, losses.detach().float().cpu(), hits.cpu(), kinds),
        }
        return Step(loss, batch.tokens, parts)


def _mean(losses: Tensor) -> Tensor:
    """Of none it is 0."""
    return losses.sum() / max(1, len(losses))


def _by_kind(batch: ReadingBatch, losses: Tensor, hits: Tensor, kinds: Tensor) -> dict[str, float]:
    """Loss by kind of branch, and the share of answers with every token the likeliest."""
    parts = {name: losses[kinds == number].mean().item() for number, name in enumerate(KINDS)}
    answers = batch.answers[batch.kinds >= 0]
    wrong = torch.zeros(int(answers.max()) + 1).index_add_(0, answers, (~hits).float())
    for name, among in (("exact", ("alone", "apart", "fact")), ("refused", ("unsaid",))):
        numbers = [KINDS.index(kind) for kind in among]
        asked = answers[torch.isin(kinds, torch.tensor(numbers))].unique()
        parts[name] = (wrong[asked] == 0).float().mean().item()
    return parts
