"""M+ in the plainest torch: one sequence at a time, hidden rows kept, nothing shared or cached.

The mathematics of shared/golden/README.md once more, written apart from `model/` and importing
nothing of it but the config. What `model/` does fast must be what this does slowly.

Legend: L layers, K rows a step, d hidden size, H query heads, G key/value heads, e head dim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mplus_ray.model.config import ModelConfig


@dataclass
class Row:
    """One memory row of one layer."""

    birth: int  # step · K + i; negative for rows that came with the checkpoint
    hidden: Tensor  # [d]
    counter: float = 0.0


@dataclass
class Tenant:
    """Lists of rows per layer, changed in place."""

    pool: list[list[Row]]
    long_term: list[list[Row]]  # merged
    waiting: list[list[Row]]  # dropped since the last merge
    born: list[list[Row]]  # every row ever written, for block votes
    step: int = 0

    def retrievable(self, layer: int) -> list[Row]:
        return self.long_term[layer] + self.waiting[layer]


@dataclass
class Reading:
    logits: Tensor  # [n, vocab]
    retrieved: list[list[Row]] = field(default_factory=list)


class Reference:
    """The model from the tensors of an official checkpoint."""

    def __init__(self, config: ModelConfig, tensors: dict[str, Tensor]) -> None:
        self.config = config
        self.tensors = tensors
        self.frequencies = _frequencies(config)

    # --- weights ---------------------------------------------------------------------------

    def weight(self, name: str, role: str) -> Tensor:
        t, lora = self.tensors, self.config.lora_config
        base = f"{name}.base_layer.weight"
        if base not in t:
            return t[f"{name}.weight"]
        assert lora is not None
        reads = role == "read" and self.config.add_decoder_lora
        adapter = "decoder_adapter" if reads else "default"
        a, b = t[f"{name}.lora_A.{adapter}.weight"], t[f"{name}.lora_B.{adapter}.weight"]
        return t[base] + (lora.lora_alpha / lora.r) * (b @ a)

    def linear(self, x: Tensor, name: str, role: str) -> Tensor:
        out = x @ self.weight(name, role).T
        bias = self.tensors.get(f"{name}.bias")
        return out if bias is None else out + bias

    def norm(self, x: Tensor, name: str) -> Tensor:
        scale = (x.pow(2).mean(-1, keepdim=True) + self.config.rms_norm_eps).rsqrt()
        return x * scale * self.tensors[f"{name}.weight"]

    def selector(self, x: Tensor, layer: int, side: str) -> Tensor:
        name = f"model.layers.{layer}.self_attn.{side}"
        if self.config.num_selector_layers == 1:
            return x @ self.tensors[f"{name}.0.weight"].T
        inner = x @ self.tensors[f"{name}.0.weight"].T
        return (inner * inner.sigmoid()) @ self.tensors[f"{name}.2.weight"].T

    def key(self, row: Row, layer: int) -> Tensor:
        normed = self.norm(row.hidden, f"model.layers.{layer}.input_layernorm")
        return self.selector(normed, layer, "key_proj")

    def start(self, layer: int) -> Tensor:
        """The layer's bos row [1, d] or no row [0, d]."""
        if not self.config.add_bos_embedding:
            return torch.zeros(0, self.config.hidden_size)
        return self.tensors["bos_embedding"][layer]

    # --- one decoder layer -----------------------------------------------------------------

    def heads(self, x: Tensor, name: str, role: str, norm: str | None) -> Tensor:
        """[n, d] → [n, heads, e]."""
        out = self.linear(x, name, role).view(len(x), -1, self.config.head_dim)
        return self.norm(out, norm) if norm is not None and self.config.qk_norm else out

    def turn(self, x: Tensor) -> Tensor:
        """Rotate [n, heads, e] to positions 0 … n - 1, pair by pair (i, i + e/2)."""
        half = self.config.head_dim // 2
        angles = torch.arange(len(x), dtype=torch.float32)[:, None] * self.frequencies
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        first, second = x[..., :half], x[..., half:]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    def layer(self, x: Tensor, index: int, role: str, seen: Tensor) -> Tensor:
        """x [S, d] through a whole layer; seen[i, j] says whether i attends to j."""
        name = f"model.layers.{index}"
        h = self.norm(x, f"{name}.input_layernorm")
        attn = f"{name}.self_attn"
        q = self.turn(self.heads(h, f"{attn}.q_proj", role, f"{attn}.q_norm"))
        k = self.turn(self.heads(h, f"{attn}.k_proj", role, f"{attn}.k_norm"))
        v = self.heads(h, f"{attn}.v_proj", role, None)
        shared = self.config.num_attention_heads // self.config.num_key_value_heads
        outs = []
        for head in range(self.config.num_attention_heads):
            scores = q[:, head] @ k[:, head // shared].T / math.sqrt(self.config.head_dim)
            weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
            outs.append(weights @ v[:, head // shared])
        x = x + self.linear(torch.cat(outs, dim=-1), f"{attn}.o_proj", role)
        h = self.norm(x, f"{name}.post_attention_layernorm")
        gate, up = (self.linear(h, f"{name}.mlp.{part}", role) for part in ("gate_proj", "up_proj"))
        return x + self.linear(gate * gate.sigmoid() * up, f"{name}.mlp.down_proj", role)

    def embed(self, ids: Sequence[int]) -> Tensor:
        return self.tensors["model.embed_tokens.weight"][list(ids)]

    def logits(self, x: Tensor) -> Tensor:
        head = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        return self.norm(x, "model.norm") @ self.tensors[f"{head}.weight"].T

    # --- memory ----------------------------------------------------------------------------

    def tenant(self) -> Tenant:
        layers = self.config.num_hidden_layers
        pools: list[list[list[Row]]] = [[[] for _ in range(layers)] for _ in range(4)]
        tenant = Tenant(pools[0], pools[1], pools[2], pools[3])
        pool = self.tensors.get("memory")
        if pool is None:
            return tenant
        for layer in range(layers):
            size = pool.shape[1]
            tenant.pool[layer] = [Row(i - size, pool[layer, i]) for i in range(size)]
            if self.config.has_long_term and f"ltm.{layer}" in self.tensors:
                rows = self.tensors[f"ltm.{layer}"]
                counts = self.tensors[f"ltm_recall_frequencies.{layer}"]
                first = -size - len(rows)
                tenant.long_term[layer] = [
                    Row(first + i, row, float(count))
                    for i, (row, count) in enumerate(zip(rows, counts, strict=True))
                ]
        return tenant

    @torch.no_grad()
    def memorize(
        self, tenant: Tenant, chunk: Sequence[int], drops: Sequence[Sequence[int]]
    ) -> Tensor:
        """One step; drops[layer] are pool positions. Returns the new rows [L, K, d]."""
        size = self.config.num_tokens
        x = self.embed(chunk)
        new = []
        for layer in range(self.config.num_hidden_layers):
            bos = self.start(layer)
            if tenant.pool[layer]:
                before = torch.stack([row.hidden for row in tenant.pool[layer][-size:]])
            else:  # nothing to borrow from: the start row stands in, or zeros
                stand_in = bos if len(bos) else torch.zeros(1, x.shape[1])
                before = stand_in.expand(max(0, size - len(chunk)), -1)
            whole = torch.cat([bos, before, x])
            whole[-size:] += self.tensors["new_memory_positional_emb"][0, 0]
            total = len(whole)
            out = self.layer(
                whole, layer, "write", torch.ones(total, total, dtype=torch.bool).tril()
            )
            new.append(out[-size:])
            x = out[-len(chunk) :]
        for layer, rows in enumerate(new):
            self._store(tenant, layer, rows, set(map(int, drops[layer])))
        tenant.step += 1
        if self.config.has_long_term and tenant.step % self.config.update_ltm_frequency == 0:
            for layer in range(self.config.num_hidden_layers):
                self._merge(tenant, layer)
        return torch.stack(new)

    def _store(self, tenant: Tenant, layer: int, rows: Tensor, drops: set[int]) -> None:
        pool, size = tenant.pool[layer], self.config.num_tokens
        born = [Row(tenant.step * size + i, row) for i, row in enumerate(rows)]
        if self.config.has_long_term:
            tenant.waiting[layer] += [row for i, row in enumerate(pool) if i in drops]
        tenant.pool[layer] = [row for i, row in enumerate(pool) if i not in drops] + born
        tenant.born[layer] += born

    def _merge(self, tenant: Tenant, layer: int) -> None:
        for row in tenant.waiting[layer]:
            row.counter = float(self.config.initial_rf_when_moving_stm_to_ltm)
        rows = tenant.retrievable(layer)
        for row in rows:
            row.counter -= self.config.decay_frequency
        alive = [row for row in rows if row.counter > 0.01]
        if len(alive) > self.config.retrieved_rows:
            rows = alive
        else:
            for row in rows:
                row.counter += self.config.decay_frequency
        tenant.long_term[layer], tenant.waiting[layer] = rows, []

    # --- reading ---------------------------------------------------------------------------

    @torch.no_grad()
    def read(self, tenant: Tenant, ids: Sequence[int], question: int | None = None) -> Reading:
        """Logits of all tokens; only the first `question` of them (all) decide what is fetched."""
        asked = len(ids) if question is None else question
        blocks = self._best_blocks(tenant, ids[:asked])
        x = self.embed(ids)
        reading = Reading(x)
        for layer in range(self.config.num_hidden_layers):
            h = self.norm(x, f"model.layers.{layer}.input_layernorm")
            if blocks is None:
                rows = self._best_rows(tenant, layer, h[:asked])
            else:
                size = self.config.num_tokens
                rows = [r for r in self._standing(tenant, layer) if r.birth // size in blocks]
                rows.sort(key=lambda row: row.birth)
            reading.retrieved.append(rows)
            pool = tenant.pool[layer] if self.config.pool_attended else []
            hidden = [row.hidden for row in rows + pool]
            parts = [self.start(layer), *(row[None] for row in hidden), x]
            x = self._own(torch.cat(parts), len(ids), layer)
        reading.logits = self.logits(x)
        return reading

    def _own(self, whole: Tensor, own: int, layer: int) -> Tensor:
        """The last `own` positions after a layer; the ones before are memory, always seen."""
        total = len(whole)
        seen = torch.ones(total, total, dtype=torch.bool).tril()
        window = self.config.sliding_window
        if window is not None:
            first = total - own
            for i in range(first, total):
                seen[i, first : max(first, i - window + 1)] = False
        return self.layer(whole, layer, "read", seen)[-own:]

    def _best_rows(self, tenant: Tenant, layer: int, h: Tensor) -> list[Row]:
        rows = tenant.retrievable(layer)
        wanted = self.config.retrieved_rows
        if not self.config.has_long_term or not rows:
            return []
        queries = self.selector(h, layer, "query_proj")
        scored = [(float((queries @ self.key(row, layer)).sigmoid().mean()), row) for row in rows]
        best = sorted(scored, key=lambda pair: -pair[0])[:wanted]
        return sorted((row for _, row in best), key=lambda row: row.birth)

    def _best_blocks(self, tenant: Tenant, question: Sequence[int]) -> set[int] | None:
        if self.config.retrieval != "blocks" or not self.config.has_long_term:
            return None
        votes: dict[int, float] = {}
        size, layers = self.config.num_tokens, self.config.num_hidden_layers
        standing = {
            row.birth // size for layer in range(layers) for row in self._standing(tenant, layer)
        }
        x = self.embed(question)
        for layer in range(layers):
            h = self.norm(x, f"model.layers.{layer}.input_layernorm")
            queries = self.selector(h, layer, "query_proj")
            for block in standing:
                if block < 0:
                    continue
                rows = tenant.born[layer][block * size : (block + 1) * size]
                keys = torch.stack([self.key(row, layer) for row in rows])
                best = (queries @ keys.T).amax(1).mean() / math.sqrt(keys.shape[1])
                votes[block] = votes.get(block, 0.0) + float(best)
            x = self._own(torch.cat([self.start(layer), x]), len(question), layer)
        newest = sorted(votes)[len(votes) - min(len(votes), self.config.num_recent_blocks) :]
        gap = self.config.max_vote_gap
        least = -math.inf if gap is None or not votes else max(votes.values()) - gap
        close = [block for block in votes.keys() - newest if votes[block] >= least]
        best_first = newest + sorted(close, key=lambda block: -votes[block])
        return set(best_first[: self.config.num_ltm_blocks])

    def _standing(self, tenant: Tenant, layer: int) -> list[Row]:
        """The rows that may be retrieved."""
        pool = [] if self.config.pool_attended else tenant.pool[layer]
        return tenant.retrievable(layer) + pool


def _frequencies(config: ModelConfig) -> Tensor:
    exponents = torch.arange(0, config.head_dim, 2).float() / config.head_dim
    plain = config.rope_theta**-exponents
    scaling = config.rope_scaling
    if scaling is None:
        return plain
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "linear":
        return plain / scaling["factor"]
    assert kind == "llama3"
    out = []
    for frequency in plain.tolist():
        wavelength = 2 * math.pi / frequency
        turns = scaling["original_max_position_embeddings"] / wavelength
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        if turns < low:
            out.append(frequency / scaling["factor"])
        elif turns > high:
            out.append(frequency)
        else:
            smooth = (turns - low) / (high - low)
            out.append((1 - smooth) * frequency / scaling["factor"] + smooth * frequency)
    return torch.tensor(out)
