"""Forms of the model that must all behave alike, and the model beside its reference."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mplus_ray.model.checkpoint.checkpoint import Networks, load_networks
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.memory.genesis import first_memory
from mplus_ray.model.memory.memory import Memory, memorize
from tests.official import LORA, write_official
from tests.reference import Reference, Tenant

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_NO_LTM: dict[str, Any] = {"num_ltm_blocks": 0, "num_blocks": 3}

# Changes to the tiny config; "genesis" is the number of long-term rows a layer brings along.
FORMS: dict[str, dict[str, Any]] = {
    "empty start": {},
    "genesis": {"genesis": 10},
    "uneven genesis": {"genesis": 10, "uneven": True},
    "adapters": {"lora_config": LORA, "add_decoder_lora": True, "genesis": 5},
    "one adapter": {"lora_config": LORA},
    "one-layer projectors": {"num_selector_layers": 1},
    "other projector widths": {"selector_inner_dim": 6, "selector_hidden_dim": 10},
    "multi-query": {"num_key_value_heads": 1},
    "all heads": {"num_key_value_heads": 4},
    "wide heads": {"head_dim": 12},
    "K of 1": {"num_tokens": 1, "num_blocks": 7, "num_ltm_blocks": 3},
    "K of 5": {"num_tokens": 5, "num_blocks": 3, "num_ltm_blocks": 2},
    "K above the chunk": {"num_tokens": 20, "num_blocks": 4, "num_ltm_blocks": 1},
    "no retrieval": _NO_LTM,
    "memoryllm": {
        **_NO_LTM,
        "drop_memory_per_layer": False,
        "genesis": 0,
        "lora_config": LORA,
        "add_decoder_lora": True,
    },
    "blocks": {"retrieval": "blocks"},
    "blocks with genesis": {"retrieval": "blocks", "genesis": 9},
    "blocks of the pool too": {"retrieval": "blocks", "pool_attended": False},
    "the newest blocks": {
        "retrieval": "blocks",
        "pool_attended": False,
        "num_recent_blocks": 1,
    },
    "blocks with close votes": {
        "retrieval": "blocks",
        "pool_attended": False,
        "num_recent_blocks": 1,
        "max_vote_gap": 0.05,
    },
    "no block far behind": {"retrieval": "blocks", "max_vote_gap": 0.05, "genesis": 9},
    "sliding window": {"sliding_window": 3},
    "blocks and window": {"retrieval": "blocks", "sliding_window": 2},
    "no bos": {"add_bos_embedding": False},
    "query and key norms": {"qk_norm": True},
    "biases": {"attention_bias": True},
    "tied": {"tie_word_embeddings": True},
    "llama3 rope": {"rope_scaling": LLAMA3},
    "linear rope": {"rope_scaling": {"type": "linear", "factor": 3.0}},
    "quick to forget": {"initial_rf_when_moving_stm_to_ltm": 2, "update_ltm_frequency": 1},
    "half a decay": {"decay_frequency": 0.5, "initial_rf_when_moving_stm_to_ltm": 1.5},
    "one layer": {"num_hidden_layers": 1},
}


def load(folder: Path, config: ModelConfig, dtype: torch.dtype = torch.float32) -> Networks:
    return load_networks(folder, config, torch.device("cpu"), dtype, write_only=False)


def build(folder: Path, form: str, seed: int = 0) -> tuple[Networks, Reference]:
    config, tensors = write_official(folder, seed, **FORMS[form])
    return load(folder, config), Reference(config, tensors)


def first(networks: Networks, seed: int = 0, dtype: torch.dtype = torch.float32) -> Memory:
    precision = str(dtype).removeprefix("torch.")
    return first_memory(networks.reader, networks.genesis, seed, "tiny", precision)


def step(networks: Networks, memory: Memory, chunk: Sequence[int], **more: Any) -> Memory:
    return memorize(networks.writer, networks.reader, [memory], [chunk], **more)[0]


def chunks(config: ModelConfig, count: int, seed: int = 0) -> list[list[int]]:
    """Random chunks of 1 … chunk_tokens tokens; the shortest and the longest are among them."""
    rng = random.Random(seed)
    lengths = [1, config.chunk_tokens, *(rng.randint(1, config.chunk_tokens) for _ in range(count))]
    rng.shuffle(lengths)
    return [[rng.randrange(config.vocab_size) for _ in range(n)] for n in lengths[:count]]


def grow(
    networks: Networks, count: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Memory:
    memory = first(networks, seed, dtype)
    for chunk in chunks(networks.reader.config, count, seed):
        memory = step(networks, memory, chunk)
    return memory


def step_both(
    networks: Networks, reference: Reference, memory: Memory, tenant: Tenant, chunk: Sequence[int]
) -> tuple[Memory, Tensor, Tensor]:
    """The memory after the same step of both, and the new rows of either [L, K, d]."""
    drops = memory.membership.draw(memory.seed)
    after = step(networks, memory, chunk)
    assert after.last_block is not None
    theirs = reference.memorize(tenant, chunk, drops.tolist())
    return after, after.last_block, theirs


def grow_both(
    networks: Networks, reference: Reference, count: int, seed: int = 0
) -> tuple[Memory, Tenant]:
    memory, tenant = first(networks, seed), reference.tenant()
    for chunk in chunks(networks.reader.config, count, seed):
        memory, _, _ = step_both(networks, reference, memory, tenant, chunk)
    return memory, tenant


def view(networks: Networks, memory: Memory) -> MemoryView:
    return MemoryView(networks.reader, memory)


def worst(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float((ours - theirs).abs().max()) if ours.numel() else 0.0


def same_memory(one: Memory, other: Memory) -> None:
    """Bit for bit."""
    assert one.seed == other.seed
    assert one.history == other.history
    assert one.step == other.step
    a, b = one.membership, other.membership
    assert a.pool.tolist() == b.pool.tolist()
    assert [ids.tolist() for ids in a.long_term] == [ids.tolist() for ids in b.long_term]
    assert [c.tolist() for c in a.remaining] == [c.tolist() for c in b.remaining]
    assert [ids.tolist() for ids in a.dropped] == [ids.tolist() for ids in b.dropped]
    assert (one.last_block is None) == (other.last_block is None)
    if one.last_block is not None and other.last_block is not None:
        assert torch.equal(one.last_block, other.last_block)
    if one.step:
        mine, theirs = one.store.stored(0, one.step), other.store.stored(0, other.step)
        assert mine.kv.dtype == theirs.kv.dtype
        assert torch.equal(mine.kv, theirs.kv)
        assert torch.equal(mine.keys, theirs.keys)
