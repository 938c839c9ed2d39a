"""Whether letters can be told from what they stand on."""

from __future__ import annotations

import re
from collections.abc import Sequence

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
_NEAR = 5  # of 255: colours that nobody tells apart
_HEX = re.compile(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")


def alike(colour: Sequence[int], other: Sequence[int] | None) -> bool:
    """Whether nobody tells two colours apart; None is like no colour."""
    return other is not None and all(
        abs(a - b) <= _NEAR for a, b in zip(colour, other, strict=True)
    )


def hex_colour(text: str | None) -> Colour | None:
    """The colour of `#ffffff` or `FFFFFF`; None: it is no such."""
    found = _HEX.fullmatch(text or "")
    if found is None:
        return None
    red, green, blue = (int(part, 16) for part in found.groups())
    return red, green, blue
