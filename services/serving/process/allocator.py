"""How much freed memory the C library keeps for threads that may want it again."""

from __future__ import annotations

import ctypes

_ARENA_MAX = -8  # M_ARENA_MAX of mallopt(3)
_ARENAS = 2


def share_arenas() -> bool:
    """Have all threads of this process take memory from two arenas; False: it cannot be set.

    By default glibc gives threads arenas of their own, eight for each core, and each keeps what
    its largest request freed: 48 MB a thread after a tenant's memory of 4,000 steps was counted.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(_ARENA_MAX, _ARENAS))
