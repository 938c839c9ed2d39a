"""The Llama-family decoder that M+ is built on, as weights and per-layer steps.

It holds no tenant: memory rows come in as arguments and go out as results.

Legend: n tokens, d hidden size, H query heads, G key/value heads, e head dim, s retriever key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.network.rope import Rotary


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Selector(nn.Sequential):
    """The retriever's projector of one side (M+, section 3.3): one layer, or two with SiLU."""

    def __init__(self, config: ModelConfig) -> None:
        inner, width = config.selector_inner, config.selector_hidden_dim
        if config.num_selector_layers == 1:
            super().__init__(nn.Linear(config.hidden_size, width, bias=False))
        else:
            super().__init__(
                nn.Linear(config.hidden_size, inner, bias=False),
                nn.SiLU(),
                nn.Linear(inner, width, bias=False),
            )


class Attention(nn.Module):
    """Projections only; who attends to what is decided by the write and the read pass."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, e = config.hidden_size, config.head_dim
        bias = config.attention_bias
        self.q_proj = nn.Linear(d, config.num_attention_heads * e, bias=bias)
        self.k_proj = nn.Linear(d, config.num_key_value_heads * e, bias=bias)
        self.v_proj = nn.Linear(d, config.num_key_value_heads * e, bias=bias)
        self.o_proj = nn.Linear(config.num_attention_heads * e, d, bias=False)
        if config.qk_norm:
            self.q_norm = RMSNorm(e, config.rms_norm_eps)
            self.k_norm = RMSNorm(e, config.rms_norm_eps)
        if config.has_retriever:
            self.query_proj = Selector(config)
            self.key_proj = Selector(config)
        self.head_dim = e
        self.qk_norm = config.qk_norm

    def queries(self, h: Tensor) -> Tensor:
        """[..., n, d] normed hidden states → un-rotated queries [..., n, H, e]."""
        q = self.q_proj(h).unflatten(-1, (-1, self.head_dim))
        return self.q_norm(q) if self.qk_norm else q

    def keys(self, h: Tensor) -> Tensor:
        """[..., n, d] normed hidden states → un-rotated keys [..., n, G, e]."""
        k = self.k_proj(h).unflatten(-1, (-1, self.head_dim))
        return self.k_norm(k) if self.qk_norm else k

    def values(self, h: Tensor) -> Tensor:
        """[..., n, d] normed hidden states → values [..., n, G, e]."""
        return self.v_proj(h).unflatten(-1, (-1, self.head_dim))

    def keys_values(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """[..., n, d] normed hidden states → un-rotated keys and values [..., n, G, e]."""
        return self.keys(h), self.values(h)


class MLP(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, f = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(d, f, bias=False)
        self.up_proj = nn.Linear(d, f, bias=False)
        self.down_proj = nn.Linear(f, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """One layer's weights; what is computed with them is the write, the read or a training pass.

    Attributes:
        recompute: training computes activations again for the gradients instead of keeping them.
    """

    recompute = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, step: Callable[..., Any], *inputs: Any) -> Any:
        """`step(layer, *inputs)` as one call of this module, round which sharded weights come."""
        return step(self, *inputs)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Residual x [..., n, d] and attention output [..., n, H, e] → layer output."""
        x = x + self.self_attn.o_proj(attended.flatten(-2))
        return x + self.mlp(for_products(self.post_attention_layernorm(x)))


def for_products(h: Tensor) -> Tensor:
    """h in what products are taken in under autocast, which else casts it for each of them."""
    kind = h.device.type
    return h.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else h


class Backbone(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        # Zeros until `initialize` or a checkpoint fills them: drawing numbers on the meta device
        # imports torch's compiler, which takes longer than loading a small checkpoint.
        embedding = torch.zeros(config.vocab_size, config.hidden_size)
        self.embed_tokens = nn.Embedding.from_pretrained(embedding, freeze=False)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Network(nn.Module):
    """The weights of one role (write or read), adapters already merged in.

    Parameter names are the official checkpoint's, so loading needs no renaming.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Backbone(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        d = config.hidden_size
        self.new_memory_positional_emb = nn.Parameter(torch.zeros(1, 1, d))
        self.bos_embedding: nn.Parameter | None = None
        if config.add_bos_embedding:
            shape = (config.num_hidden_layers, config.start_rows, d)
            self.bos_embedding = nn.Parameter(torch.zeros(shape))
        self.rotary = Rotary(config)

    @property
    def layers(self) -> list[Layer]:
        return list(self.model.layers)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        return self.layers[0].input_layernorm.weight.device  # loaded whatever is left out

    @property
    def dtype(self) -> torch.dtype:
        return self.layers[0].input_layernorm.weight.dtype

    @property
    def can_answer(self) -> bool:
        """False where only what memorizing needs was loaded."""
        return not self.model.norm.weight.is_meta

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids [n] → hidden states [n, d]."""
        return F.embedding(ids, self.model.embed_tokens.weight)

    def logits(self, x: Tensor) -> Tensor:
        """Last hidden states [..., d] → logits [..., vocab]."""
        out: Tensor = self.lm_head(self.model.norm(x))
        return out

    def bos(self, layer: int) -> Tensor:
        """The layer's start rows, [P, d], or [0, d] for a model without any."""
        if self.bos_embedding is None:
            return self.model.embed_tokens.weight.new_empty(0, self.config.hidden_size)
        return self.bos_embedding[layer]

    def stand_in(self, layer: int) -> Tensor:
        """The row [1, d] that takes the place of a missing earlier row: bos, or zeros."""
        if self.bos_embedding is None:
            return self.model.embed_tokens.weight.new_zeros(1, self.config.hidden_size)
        return self.bos_embedding[layer, :1]

    def initialize(self, seed: int) -> None:
        """Fresh weights, N(0, 0.02²), residual projections scaled by 1/√(2L) (GPT-2)."""
        generator = torch.Generator().manual_seed(seed)
        residual = 0.02 / (2 * self.config.num_hidden_layers) ** 0.5
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.dim() < 2 or name == "new_memory_positional_emb":
                    continue
                std = residual if name.endswith(("o_proj.weight", "down_proj.weight")) else 0.02
                weight.copy_(torch.randn(weight.shape, generator=generator) * std)
