"""A checkpoint, loaded for measuring."""

from __future__ import annotations

import os

import torch

from mplus_ray.model.mplus import MPlus

_SMALL = 1024  # hidden size


def load(source: str) -> MPlus:
    """Load it, and give a small one a single thread on a CPU.

    The products of a small network are too short to share: with a second thread one waits for the
    other, and where cores are shared with other work that wait is twenty times the product.
    OMP_NUM_THREADS says otherwise.
    """
    mplus = MPlus.load(source)
    on_cpu = mplus.networks.reader.device.type == "cpu"
    if on_cpu and mplus.config.hidden_size < _SMALL and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    return mplus
