"""A memory as a reader holds it: the pool rotated to its positions, the rest found on demand.

Where a checkpoint does not attend to its whole pool, pool and long-term memory are one to the
reader: everything is found on demand, and nothing is kept rotated.

The pool always starts at position `origin` = bos + K0. Retrieved rows are laid down to the left
of it and bos to the left of them, so the pool's rotation never depends on the question; RoPE
sees differences only, and with K0 rows these are the official positions.

Legend: G key/value heads, e head dim, N pool rows, m retrieved rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mplus_ray.model.generation.words import Words
from mplus_ray.model.ids import Ids
from mplus_ray.model.memory.membership import steps_of
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.memory.step_order import StepOrder
from mplus_ray.model.memory.step_ranges import StepRanges, readable_steps
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.network.rope import rotate
from mplus_ray.model.retrieval.retriever import Candidates

Pair = tuple[Tensor, Tensor]  # rotated keys and values, [G, rows, e] each

_AS_THEY_CAME = StepOrder()


class MemoryView:
    """What one step of one tenant's memory looks like to the read role. It never changes."""

    def __init__(
        self,
        network: Network,
        memory: Memory,
        forgotten: Sequence[tuple[int, int]] = (),
        words: Words | None = None,
        only: StepRanges | None = None,
        order: StepOrder = _AS_THEY_CAME,
    ) -> None:
        """
        Args:
            forgotten: steps [first, end) whose rows are not to be read, nor named as a source.
            words: of the checkpoint's tokenizer, where words vote for blocks.
            only: if given, the steps whose rows may be read; the memory is as if the others were
                forgotten.
            order: of the steps in time.
        """
        self.memory = memory
        self._readable = readable_steps(memory.step, forgotten, only)
        self.network = network
        config = network.config
        self.words = words
        self.order = order
        self.bos_rows = config.first_rows
        self.origin = self.bos_rows + config.retrieved_rows
        self.pool_ids = [self._known(ids) for ids in self._attended_pool()]
        with torch.no_grad():
            self._bos = [self._encode_bos(index) for index in range(config.num_hidden_layers)]
            self.pool = [
                self._place(memory.store.gather(index, ids), self.origin)
                for index, ids in enumerate(self.pool_ids)
            ]

    @cached_property
    def without_memory(self) -> MemoryView:
        """A view of nothing remembered, for reading a question alone."""
        blank = self.memory.membership.without_memory()
        return MemoryView(self.network, replace(self.memory, membership=blank))

    def fetch(self, layer: int, ids: Ids) -> Pair:
        """The part to the left of the pool: [start rows | rows `ids`], oldest first."""
        rows = self.memory.store.gather(layer, ids).to(self.network.dtype)
        rows = torch.cat([self._bos[layer], rows])
        if self.network.config.block_positions == "contiguous":
            return self._place(rows, self.origin - len(rows))
        places = np.concatenate([np.arange(self.bos_rows), self._places(ids)])
        return self._at(rows, torch.from_numpy(places).to(rows.device))

    def own_start(self, retrieved: Sequence[Ids]) -> int:
        """The position of a prompt's first token, behind all that it reads of memory.

        Args:
            retrieved: row ids of every layer.
        """
        if self.network.config.block_positions == "contiguous":
            return self.origin + self._attended_pool().shape[1]
        return 1 + max(
            (int(self._places(ids).max()) for ids in retrieved if len(ids)),
            default=(self.bos_rows - 1),
        )

    def _places(self, ids: Ids) -> Ids:
        """Positions of rows of which each block begins right after the start rows."""
        return self.bos_rows + ids % self.network.config.num_tokens

    @cached_property
    def retrievable(self) -> list[Ids]:
        """Row ids of every layer that may be retrieved, oldest first."""
        membership, config = self.memory.membership, self.network.config
        if membership.is_all:
            everything = self.memory.store.present(np.arange(membership.step * config.num_tokens))
            return [self._known(everything)] * config.num_hidden_layers
        rows = [membership.retrievable(layer) for layer in range(len(membership.pool))]
        if not config.pool_attended:
            rows = [np.concatenate(parts) for parts in zip(rows, membership.pool, strict=True)]
        # Runs of them ascend already, which a stable sort makes use of.
        known = [np.sort(self._known(ids), kind="stable") for ids in rows]
        return [self.memory.store.present(ids) for ids in known]

    @cached_property
    def candidates(self) -> list[Candidates]:
        """The readable steps as the retriever looks at them."""
        store, end = self.memory.store, self.memory.step * self.network.config.num_tokens
        return [
            Candidates.of(ids, store.first, max(end, store.first), store.device)
            for ids in self.retrievable
        ]

    @cached_property
    def known_steps(self) -> NDArray[np.bool_]:
        """[steps], true where a row of the step can be read at all."""
        rows = (*self.pool_ids, *self.retrievable)
        return steps_of(rows, self.memory.step, self.network.config.num_tokens)

    @cached_property
    def eligible_steps(self) -> NDArray[np.bool_]:
        """[steps], true where a row of the step may be retrieved."""
        return steps_of(self.retrievable, self.memory.step, self.network.config.num_tokens)

    def prepare(self) -> MemoryView:
        """Compute now what the first question would have to wait for; returns itself."""
        config = self.network.config
        wanted = ["known_steps", "eligible_steps"]
        if config.has_retriever:
            wanted.append("without_memory" if config.retrieval == "blocks" else "candidates")
        for name in wanted:
            getattr(self, name)  # cached properties
        self.memory.store.extend_index(self.memory.step)
        if self.words is not None:
            self.memory.store.extend_words(self.memory.step, self.words.of_chunk)
        return self

    @property
    def nbytes(self) -> int:
        """Device bytes: the rotated pool, start rows, and what the retriever has been given."""
        tensors = [*self._bos, *(tensor for pair in self.pool for tensor in pair)]
        if "candidates" in vars(self):
            tensors += [candidates.barred for candidates in self.candidates]
        blank = self.without_memory.nbytes if "without_memory" in vars(self) else 0
        return blank + sum(tensor.nbytes for tensor in tensors)

    @property
    def host_bytes(self) -> int:
        """Bytes of the store's indexes, which all views of the memory share."""
        store = self.memory.store
        return sum(index.nbytes for index in (store.index, store.words) if index is not None)

    def _attended_pool(self) -> Ids:
        """[L, n] ids of the rows that every question reads."""
        pool = self.memory.membership.pool
        return pool if self.network.config.pool_attended else pool[:, :0]

    def _known(self, ids: Ids) -> Ids:
        """Without the rows that are not to be read."""
        if self._readable is None:
            return ids
        steps = ids // self.network.config.num_tokens
        # Rows that every memory begins with have no step; they say nothing of a document.
        return ids[(steps < 0) | self._readable[steps.clip(0)]]

    def _encode_bos(self, index: int) -> Tensor:
        layer = self.network.layers[index]
        normed = layer.input_layernorm(self.network.bos(index))
        return torch.stack(layer.self_attn.keys_values(normed), dim=1)  # [bos rows, 2, G, e]

    def _place(self, rows: Tensor, start: int) -> Pair:
        """Rows [n, 2, G, e] at positions start … as attention reads them."""
        return self._at(rows, torch.arange(start, start + rows.shape[0], device=rows.device))

    def _at(self, rows: Tensor, places: Tensor) -> Pair:
        """Rows [n, 2, G, e] at positions [n] as attention reads them."""
        rows = rows.to(self.network.dtype)
        end = int(places.max()) + 1 if len(places) else 0
        cos, sin = self.network.rotary.tables(end, rows)
        keys = rotate(rows[:, 0], cos[places], sin[places])
        return keys.transpose(0, 1).contiguous(), rows[:, 1].transpose(0, 1).contiguous()
