"""Questions of a step as tensors, and how well they were answered.

Legend: Q questions, n tokens of the longest with its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from mplus_ray.model.training.data.documents import Ask
from mplus_ray.model.training.data.text import PAD

# Weight of an answer's first token, which needs the fact; the rest mostly follows from it.
_FIRST, _REST, _PLAIN = 10.0, 3.0, 1.0
_KINDS = ("fact", "real", "recall", "following")
_PLAIN_KINDS = ("recall", "following")


@dataclass(frozen=True)
class QuestionBatch:
    """Questions with their answers.

    Attributes:
        ids: [Q, n] prompt and answer.
        weights: [Q, n] of each token in the loss; 0 for prompts.
        prompts: [Q] lengths of the prompts.
        owners: [Q] the document asked about.
        targets: [Q] the fresh block that holds the answer, -1 if none does.
        kinds: [Q] what is asked for, by its number.
    """

    ids: Tensor
    weights: Tensor
    prompts: Tensor
    owners: Tensor
    targets: Tensor
    kinds: Tensor

    @classmethod
    def of(cls, asks: Sequence[tuple[int, Ask]], chunks: int) -> QuestionBatch:
        """Of (document, question) pairs, where every document has so many chunks."""
        longest = max(len(ask.prompt) + len(ask.target) for _, ask in asks)
        ids = np.full((len(asks), longest), PAD)
        weights = np.zeros((len(asks), longest), np.float32)
        for row, (_, ask) in enumerate(asks):
            start, end = len(ask.prompt), len(ask.prompt) + len(ask.target)
            ids[row, :end] = ask.prompt + ask.target
            plain = ask.kind in _PLAIN_KINDS
            weights[row, start:end] = _PLAIN if plain else _REST
            if not plain:
                weights[row, start] = _FIRST
        targets = [owner * chunks + ask.chunk if ask.chunk >= 0 else -1 for owner, ask in asks]
        return cls(
            torch.from_numpy(ids),
            torch.from_numpy(weights),
            torch.tensor([len(ask.prompt) for _, ask in asks]),
            torch.tensor([owner for owner, _ in asks]),
            torch.tensor(targets),
            torch.tensor([_KINDS.index(ask.kind) for _, ask in asks]),
        )

    def to(self, device: torch.device) -> QuestionBatch:
        """These tensors on a device."""
        return self._map(lambda part: part.to(device))

    def first(self, count: int) -> QuestionBatch:
        """The first `count` of them."""
        return self._map(lambda part: part[:count])

    def _map(self, change: Callable[[Tensor], Tensor]) -> QuestionBatch:
        return QuestionBatch(*(change(getattr(self, field.name)) for field in fields(self)))


def accuracies(kinds: Tensor, hits: Tensor, wanted: Tensor) -> dict[str, float]:
    """Share of the wanted tokens that are right, by kind of question, and of whole answers.

    Args:
        kinds: [Q], see `QuestionBatch`.
        hits: whether each wanted token is right, in the order of `wanted` [Q, n - 1].
    """
    wanted = wanted.cpu()
    wrong = torch.zeros_like(wanted).masked_scatter(wanted, ~hits.cpu())
    result = {}
    for number, kind in enumerate(_KINDS):
        mine = kinds == number
        result[kind] = 1 - wrong[mine].sum().item() / max(1, wanted[mine].sum().item())
        if kind == "fact":
            result["exact"] = 1 - wrong[mine].any(1).float().mean().item()
        if not mine.any():
            result[kind] = float("nan")
    return result
