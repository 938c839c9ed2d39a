"""How much a reader may hold by default: a share of its machine's memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mplus_ray.model import MPlus

_GROUP = Path("/sys/fs/cgroup/memory.max")
_OF_MEMORY = 8  # a tier that lies in RAM takes one part in so many
_OF_DEVICE = 2  # the rest of what weights leave free is for what a pass computes


def default_device_bytes(model: MPlus) -> int:
    """Of memories on the device of a loaded model; on a CPU that is RAM."""
    device = model.networks.reader.device
    if device.type != "cuda":
        return memory_bytes() // _OF_MEMORY
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free) // _OF_DEVICE


def default_host_bytes() -> int:
    """Of memories in RAM."""
    return memory_bytes() // _OF_MEMORY


def memory_bytes(group: Path = _GROUP) -> int:
    """RAM that this process may use: the machine's, or its control group's if that is less."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no such file, or "max"
        found = min(found, int(group.read_text()))
    return found
