"""Rotary position embeddings (RoFormer, and the Llama-3.1 frequency scaling)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError


def inverse_frequencies(config: ModelConfig) -> Tensor:
    """Angles per position, [head_dim / 2] float32."""
    steps = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device="cpu")
    exponents = steps / config.head_dim
    frequencies = 1.0 / (config.rope_theta**exponents)
    scaling = config.rope_scaling or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    try:
        if kind == "default":
            return frequencies
        if kind == "linear":
            return frequencies / float(scaling["factor"])
        if kind == "llama3":
            return _llama3(frequencies, scaling)
    except KeyError as missing:
        raise CheckpointError(f"rope_scaling of type {kind!r} has no {missing}") from missing
    raise CheckpointError(
        f"rope_scaling type {kind!r} is not supported; supported: default, linear, llama3"
    )


def _llama3(frequencies: Tensor, scaling: dict[str, Any]) -> Tensor:
    """Long wavelengths slow down by `factor`, short ones stay, the ones between blend."""
    factor, low, high = (
        float(scaling[k]) for k in ("factor", "low_freq_factor", "high_freq_factor")
    )
    context = float(scaling["original_max_position_embeddings"])
    wavelength = 2 * math.pi / frequencies
    slow = frequencies / factor
    blend = (context / wavelength - low) / (high - low)
    between = (1 - blend) * slow + blend * frequencies
    scaled = torch.where(wavelength > context / low, slow, frequencies)
    return torch.where(
        (wavelength <= context / low) & (wavelength >= context / high), between, scaled
    )


class Rotary:
    """Cosines and sines by position, grown on demand, shared by all layers of a network."""

    def __init__(self, config: ModelConfig) -> None:
        self._frequencies = inverse_frequencies(config)
        nothing = torch.empty(0, config.head_dim, device="cpu")
        self._tables = nothing, nothing  # one name, so that threads never see half of a change

    def tables(self, end: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """(cos, sin), each [≥ end, head_dim], on the device and in the dtype of `like`."""
        cos, sin = self._tables
        if cos.shape[0] < end or cos.device != like.device:
            size = max(1024, 1 << (end - 1).bit_length())
            positions = torch.arange(size, dtype=torch.float32, device=like.device)
            angles = positions[:, None] * self._frequencies.to(like.device)
            angles = torch.cat([angles, angles], dim=-1)
            cos, sin = self._tables = angles.cos(), angles.sin()
        return cos.to(like.dtype), sin.to(like.dtype)

    def rotate(self, x: Tensor, start: int) -> Tensor:
        """Rotate x [..., n, heads, head_dim] to positions start … start + n - 1."""
        end = start + x.shape[-3]
        cos, sin = self.tables(end, x)
        return rotate(x, cos[start:end], sin[start:end])


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [..., n, heads, head_dim] by the angles cos, sin [n, head_dim]."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * cos[:, None, :] + turned * sin[:, None, :]
