"""A sequence on its way through the read pass: its memory, what it retrieved, its own tokens.

Legend: n new tokens, G key/value heads, e head dim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mplus_ray.model.generation.memory_view import MemoryView, Pair
from mplus_ray.model.ids import Ids

_NOTHING = np.empty(0, dtype=np.int64)


@dataclass
class Reading:
    """One sequence being read: what it retrieved, and its own keys and values.

    Attributes:
        view: the memory that is read.
        fetched: keys and values of the retrieved rows, by layer.
        retrieved: [n] ids of those rows, by layer.
        own: its own rotated keys and values [G, length, e], by layer.
        own_start: position of its first token.
        votes: [steps], how well each step's block fits, summed over layers; None if nobody voted.
        found: [steps], the votes before earlier statements stood back; None if none did.
        length: tokens read so far.
    """

    view: MemoryView
    own: list[Pair] = field(default_factory=list)
    fetched: list[Pair] = field(default_factory=list)
    retrieved: list[Ids] = field(default_factory=list)
    own_start: int = 0
    votes: Tensor | None = None
    found: Tensor | None = None
    length: int = 0

    @classmethod
    def of(cls, view: MemoryView) -> Reading:
        """Of a memory of which nothing is retrieved yet."""
        return cls(view, own_start=view.own_start([]))

    def fetch(self, retrieved: Sequence[Ids]) -> None:
        """Take the keys and values of these rows, for the layers that come next."""
        self.own_start = max(self.own_start, self.view.own_start(retrieved))
        for ids in retrieved:
            self.fetched.append(self.view.fetch(len(self.fetched), ids))
            self.retrieved.append(ids)

    def fetch_nothing(self) -> None:
        """Nothing is retrieved in any layer."""
        self.fetch([_NOTHING] * self.view.network.config.num_hidden_layers)

    @property
    def memory_rows(self) -> int:
        """Rows attended per layer, at most."""
        return max(
            (
                len(pool) + len(retrieved)
                for pool, retrieved in zip(self.view.pool_ids, self.retrieved, strict=False)
            ),
            default=0,
        )

    @property
    def known_votes(self) -> Tensor:
        """[steps], the layers' mean vote for each step's block; -inf where nothing of it can be
        read, in the pool or the long-term memory."""
        if self.votes is None:
            return torch.empty(0)
        return self._known(self.votes) / self.view.network.config.num_hidden_layers

    @property
    def found_votes(self) -> Tensor:
        """[steps], the votes as a search has them: of all layers together, and of a statement that
        was true before as of any other; -inf where nothing can be read."""
        votes = self.votes if self.found is None else self.found
        return torch.empty(0) if votes is None else self._known(votes)

    def _known(self, votes: Tensor) -> Tensor:
        known = torch.from_numpy(self.view.known_steps[: len(votes)])
        return votes.masked_fill(~known.to(votes.device), -torch.inf)

    def see(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Add own rotated keys and values [n, G, e]."""
        k, v = k.transpose(0, 1), v.transpose(0, 1)
        if layer == len(self.own):
            self.own.append((k, v))
        else:
            before_k, before_v = self.own[layer]
            self.own[layer] = torch.cat([before_k, k], dim=1), torch.cat([before_v, v], dim=1)

    def vote(self, votes: Tensor) -> None:
        """Add one layer's votes [steps]."""
        self.votes = votes if self.votes is None else self.votes + votes
