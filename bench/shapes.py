"""The shapes that are measured, and how much arithmetic and memory they ask for.

Legend: L layers, d hidden size, K rows a block, N pool rows, K0 retrieved rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mplus_ray.model.config import ModelConfig

PAPER: dict[str, Any] = {
    "num_tokens": 256,
    "num_blocks": 50,
    "num_ltm_blocks": 10,
    "chunk_tokens": 512,
    "selector_hidden_dim": 256,
    "decay_frequency": 0.0,  # nothing expires, so that the long-term memory has the size asked for
}

SMALL = ModelConfig(
    vocab_size=8192,
    hidden_size=512,
    intermediate_size=1536,
    num_hidden_layers=8,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=64,
    rope_theta=500_000.0,
    **PAPER,
)

LLAMA_8B = ModelConfig(
    vocab_size=128_256,
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=128,
    rope_theta=500_000.0,
    **PAPER,
)


@dataclass(frozen=True)
class Work:
    """What a pass cannot do without: floating-point operations, and bytes read once.

    Attributes:
        flops: floating-point operations.
        bytes: that have to be read.
    """

    flops: float
    bytes: float = 0.0

    def fraction(self, ms: float, gflops: float, gbps: float) -> float:
        """Share of the roofline that a measured time reaches."""
        floor = max(self.flops / gflops, self.bytes / gbps) / 1e6
        return floor / ms


def memorize_work(config: ModelConfig, tokens: int) -> Work:
    """One chunk: the last layer computes its K row positions only."""
    size, e = config.num_tokens, config.head_dim
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    seen = 1 + size
    total = 0.0
    for layer in range(config.num_hidden_layers):
        queries = size if layer == config.num_hidden_layers - 1 else tokens
        total += 2 * queries * _per_query(config)
        total += 2 * (seen + tokens) * 2 * config.hidden_size * groups * e
        pairs = queries * (seen + tokens) - queries * (queries - 1) / 2
        total += 4 * pairs * heads * e
        total += 2 * size * (2 * config.hidden_size * groups * e + _selector(config))
    return Work(total)


def question_work(config: ModelConfig, tokens: int, long_term: int, itemsize: int) -> Work:
    """A prompt up to its first token: scoring every long-term row, attending K0 + N of them."""
    e, heads, groups = config.head_dim, config.num_attention_heads, config.num_key_value_heads
    rows = config.pool_rows + min(config.retrieved_rows, long_term)
    total = read = 0.0
    for layer in range(config.num_hidden_layers):
        queries = 1 if layer == config.num_hidden_layers - 1 else tokens
        total += 2 * queries * _per_query(config)
        total += 2 * tokens * (2 * config.hidden_size * groups * e + _selector(config))
        total += 2 * tokens * config.selector_hidden_dim * (long_term + config.pool_rows)
        total += 4 * queries * rows * heads * e
        read += itemsize * config.selector_hidden_dim * (long_term + config.pool_rows)
        read += itemsize * 2 * groups * e * rows
    total += 2 * config.hidden_size * config.vocab_size
    return Work(total, read)


def decode_work(config: ModelConfig, itemsize: int) -> Work:
    """One token: every weight and every attended row is read once."""
    weights = config.num_hidden_layers * (
        _per_query(config) + 2 * config.hidden_size * config.num_key_value_heads * config.head_dim
    )
    weights += config.hidden_size * config.vocab_size
    rows = config.pool_rows + config.retrieved_rows
    kept = 2 * rows * config.num_key_value_heads * config.head_dim * config.num_hidden_layers
    heads = config.num_attention_heads * config.head_dim
    flops = 2 * weights + 4 * rows * heads * config.num_hidden_layers
    return Work(flops, itemsize * (weights + kept))


def bytes_per_tenant(config: ModelConfig, steps: int, itemsize: int) -> dict[str, int]:
    """What one tenant costs each role after `steps` chunks."""
    layers = config.num_hidden_layers
    row = 2 * config.num_key_value_heads * config.head_dim
    long_term = max(0, steps * config.num_tokens - config.pool_rows)
    ids = layers * (8 * config.pool_rows + 12 * long_term)
    return {
        "writer_block": layers * config.num_tokens * config.hidden_size * itemsize,
        "writer_index_sets": ids,
        "reader_pool": layers * config.pool_rows * row * itemsize,
        "reader_retriever_keys": layers * long_term * config.selector_hidden_dim * itemsize,
        "stored_rows_per_step": layers
        * config.num_tokens
        * (row + config.selector_hidden_dim)
        * itemsize,
    }


def _per_query(config: ModelConfig) -> float:
    """Weights that a query position meets: q, o and the MLP."""
    d = config.hidden_size
    return 2 * d * config.num_attention_heads * config.head_dim + 3 * d * config.intermediate_size


def _selector(config: ModelConfig) -> float:
    if config.num_selector_layers == 1:
        return config.hidden_size * config.selector_hidden_dim
    return config.selector_inner * (config.hidden_size + config.selector_hidden_dim)
