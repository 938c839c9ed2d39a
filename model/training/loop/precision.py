"""Which numbers training computes with: bfloat16 where the machine multiplies it fast."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def is_mixed(precision: Precision, device: torch.device) -> bool:
    """Whether products are taken in bfloat16.

    Args:
        precision: "auto" takes bfloat16 on CUDA and on CPUs with AVX-512 bf16; elsewhere it is
            emulated, several times slower than float32.
    """
    fast = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return precision == "bfloat16" or (precision == "auto" and fast)


def mixed(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which products are taken in bfloat16, or one that changes nothing."""
    enabled = is_mixed(precision, device)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
