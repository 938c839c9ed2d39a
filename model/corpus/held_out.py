"""Which texts no recipe trains on, so that an evaluation can use them."""

from __future__ import annotations

import hashlib

_HELD_OUT_AUTHORS = 20  # one author in so many is kept for evaluation


def is_held_out(author: str | None, title: str) -> bool:
    """Whole authors are kept apart (whole documents where there is no author)."""
    digest = hashlib.sha256((author or title).encode()).digest()
    return int.from_bytes(digest[:4], "big") % _HELD_OUT_AUTHORS == 0


def is_held_out_for_reading(title: str, one_in: int) -> bool:
    """Whether a title is one of those, one in so many, that reading is never trained on.

    Args:
        one_in: from 1 on.
    """
    digest = hashlib.md5(title.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest, "big") % one_in == 0
