"""Which texts no recipe trains on, so that an evaluation can use them."""

from __future__ import annotations

import hashlib

_HELD_OUT_AUTHORS = 20  # one author in so many is kept for evaluation


def is_held_out(author: str | None, title: str) -> bool:
    """Whole authors are kept apart (whole documents where there is no author)."""
    digest = hashlib.sha256((author or title).encode()).digest()
    return int.from_bytes(digest[:4], "big") % _HELD_OUT_AUTHORS == 0
