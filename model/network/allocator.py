"""The C allocator's habits, for passes that make and free many large tensors on a CPU."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = -1


def keep_freed_memory() -> bool:
    """Have this process keep what it frees, for the next tensor of that size.

    By default glibc returns large blocks to the kernel at once, and every layer's tensors are
    mapped and zeroed anew: a fifth of the time of a write pass. Returns whether it took effect;
    other C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))
