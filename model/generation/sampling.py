"""Choosing the next token."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.structured.constraint import Constraint

_FINITE, _ABOVE_0 = sys.float_info.max, math.nextafter(0, 1)
_GREEDY = 1e-5  # a temperature below it is 0: dividing by it would overflow


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an answer is decoded. Temperature 0 is greedy and the default.

    Attributes:
        max_tokens: at most so many tokens.
        temperature: logits are divided by it.
        top_k: only the k likeliest tokens; 0 for all.
        top_p: only the likeliest tokens that together have this probability.
        repetition_penalty: divides positive and multiplies negative logits of tokens already
            seen in prompt or answer (CTRL, Keskar et al. 2019).
        seed: makes a drawn answer repeatable.
        stop: strings that end the answer and are not part of it.
        stop_ids: token ids that do, besides the checkpoint's own.
        constraint: the form that the answer has to have; None for any.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        whole = {
            "max_tokens must be a whole number of at least 1": (self.max_tokens, 1, math.inf),
            "top_k must be a whole number of at least 0": (self.top_k, 0, math.inf),
            "seed must be a whole number from 0 to 2^63 - 1": (self.seed, 0, (1 << 63) - 1),
        }
        real = {
            "temperature must be a finite number of at least 0": (self.temperature, 0, _FINITE),
            "top_p must be above 0 and at most 1": (self.top_p, _ABOVE_0, 1),
            "repetition_penalty must be from 0.01 to 100": (self.repetition_penalty, 0.01, 100),
        }
        rules = {
            "stop must be a list of strings that are not empty": isinstance(
                self.stop, (tuple, list)
            )
            and all(isinstance(text, str) and text for text in self.stop),
            "stop_ids must be a list of token ids": all(isinstance(i, int) for i in self.stop_ids),
            "constraint must be a Constraint": isinstance(self.constraint, Constraint | None),
        }
        rules |= {rule: _within(int, *value) for rule, value in whole.items()}
        rules |= {rule: _within((int, float), *value) for rule, value in real.items()}
        broken = [rule for rule, kept in rules.items() if not kept]
        if broken:
            raise InvalidInputError("; ".join(broken))

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """From options that somebody sent.

        Raises:
            InvalidInputError: one is unknown, or has an impossible value.
        """
        known = [field.name for field in fields(cls)]
        unknown = options.keys() - set(known)
        if unknown:
            raise InvalidInputError(
                f"there is no option {', '.join(sorted(unknown))}; there are {', '.join(known)}"
            )
        return cls(**options)

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


def next_token(
    logits: Tensor,
    seen: Sequence[int],
    sampling: Sampling,
    generator: torch.Generator,
    allowed: Tensor | None = None,
) -> int:
    """The next token id, given logits [vocab] and the ids of prompt and answer so far.

    Args:
        allowed: [vocab], the tokens that may be chosen; None for all.
    """
    scores = logits.float().cpu()
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    if sampling.repetition_penalty != 1.0:
        ids = torch.tensor(sorted(set(seen)))
        old = scores[ids]
        penalty = sampling.repetition_penalty
        scores = scores.index_copy(0, ids, torch.where(old > 0, old / penalty, old * penalty))
    if sampling.temperature < _GREEDY:
        return int(scores.argmax())
    scores = scores / sampling.temperature
    if 0 < sampling.top_k < len(scores):
        scores = scores.masked_fill(scores < scores.topk(sampling.top_k).values[-1], -math.inf)
    probabilities = scores.softmax(0)
    if sampling.top_p < 1.0:
        ordered, order = probabilities.sort(descending=True)
        outside = ordered.cumsum(0) - ordered >= sampling.top_p
        outside[0] = False  # never the likeliest itself
        probabilities = probabilities.index_fill(0, order[outside], 0.0)
    return int(torch.multinomial(probabilities, 1, generator=generator))


def _within(kind: type | tuple[type, ...], value: object, least: float, most: float) -> bool:
    return isinstance(value, kind) and least <= value <= most  # type: ignore[operator]
