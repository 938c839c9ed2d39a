"""How many bytes reading a memory takes, known from its plan before anything is opened.

On a CPU both tiers are the same RAM under two budgets. Mapped files are not counted: they lie in
the page cache, which the system takes back when it needs it.

Legend: L layers, K rows a step, N pool rows, K0 retrieved rows, G key/value heads, e head dim,
s retriever key width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.open_memory import BASE_EVERY, end_of
from mplus_ray.actors.reading.residency import Bytes
from mplus_ray.model.index.block_index import index_bytes
from mplus_ray.model.index.word_index import POSTING_BYTES

if TYPE_CHECKING:
    from mplus_ray.model import MPlus

_ID = 8  # bytes of a row id
_LANES = 32  # coarse keys are filled up to whole vectors, see `model.index.int8_keys`
_BATCH = 512  # bytes a step's batch of ids takes beside the ids


class Footprint:
    """Bytes of the parts of a memory for one model, none less than what is really held."""

    def __init__(self, model: MPlus) -> None:
        network = model.networks.reader
        self._config = config = network.config
        self._genesis = model.empty_memory().membership
        self._number = network.dtype.itemsize
        self._row = 2 * config.num_key_value_heads * config.head_dim * self._number
        self._on_cpu = network.device.type == "cpu"
        self._bos = config.first_rows

    def rows(self, plan: ReadPlan) -> Bytes:
        """An opened memory: retriever keys, and the ids of which row is where."""
        config = self._config
        rows = sum(shard.steps for shard in plan.shards) * config.num_tokens
        key = 0
        if config.has_retriever:
            key = config.selector_hidden_dim * self._number
            if self._on_cpu and config.retrieval == "rows":
                width = config.selector_hidden_dim
                key += width + -width % _LANES + 2  # int8 copy and its scale
        keys = config.num_hidden_layers * rows * key
        steps = end_of(plan)
        memberships = 3 + steps // BASE_EVERY
        ids = memberships * config.pool_rows + steps * config.num_tokens
        host = config.num_hidden_layers * ids * _ID + steps * _BATCH
        if config.votes != "layers":
            host += steps * config.num_tokens * POSTING_BYTES
        if self._on_cpu and config.has_retriever and config.retrieval == "blocks":
            host += index_bytes(config, steps)
        return Bytes(0, keys + host) if self._on_cpu else Bytes(keys, host)

    def view(self, plan: ReadPlan) -> Bytes:
        """The rotated pool, and which rows may be retrieved."""
        config = self._config
        layers, own = config.num_hidden_layers, plan.step * config.num_tokens
        born = max(len(rows) for rows in self._genesis.long_term)
        born += self._genesis.pool.shape[1]
        pool = min(config.pool_rows, own + self._genesis.pool.shape[1])
        attended = pool if config.pool_attended else 0
        reads = 2 if config.has_retriever and config.retrieval == "blocks" else 1  # one alone
        device = layers * (attended + reads * self._bos) * self._row
        if config.has_long_term and config.retrieval == "rows":
            device += layers * (own + born)  # a flag for every row
        readable = sum(shard.steps for shard in plan.shards) * config.num_tokens + born
        host = 3 * layers * (readable + pool) * _ID + 2 * plan.step
        return Bytes(device, host)

    def question(self, prompt_tokens: int, max_tokens: int) -> Bytes:
        """What a question fetches, and its own keys and values up to its last token."""
        config = self._config
        rows = self._bos + config.retrieved_rows + prompt_tokens + max_tokens
        return Bytes(device=config.num_hidden_layers * rows * self._row)
