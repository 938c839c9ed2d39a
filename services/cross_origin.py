"""Which web pages of other origins may call the API from a browser: none, unless they are named."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mplus_ray.model.errors import InvalidInputError

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@*,]+", re.IGNORECASE)
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class CrossOrigin:
    """Cross-origin resource sharing (CORS).

    Attributes:
        origins: that may call, such as `https://app.example.com`; `*` for any. None: CORS is off.
        credentials: whether browsers may send cookies and client certificates along. The API
            needs neither: its keys are in a header.
    """

    origins: tuple[str, ...] = ()
    credentials: bool = False

    def __post_init__(self) -> None:
        for origin in self.origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise InvalidInputError(
                    f"{origin!r} is no origin; give scheme, host and port as a browser sends "
                    "them, without a path or a slash at the end: https://app.example.com"
                )
        if "*" in self.origins and len(self.origins) > 1:
            raise InvalidInputError("the origin * is any; leave the others out, or name them all")
        if "*" in self.origins and self.credentials:
            raise InvalidInputError(
                "the origin * with credentials would let any page act as whoever visits it; name "
                "the origins, or leave credentials out"
            )
        if self.credentials and not self.origins:
            raise InvalidInputError(
                "credentials for other origins are allowed, but no origins are; name them"
            )


def read_cross_origin(origins: str | None, credentials: str | None) -> CrossOrigin:
    """What two settings say: origins with commas between, and `true` or `false`.

    Raises:
        InvalidInputError: they cannot be.
    """
    word = (credentials or "false").strip().lower()
    if word not in _WORDS:
        raise InvalidInputError(f"cors_credentials is {credentials!r}; give true or false")
    named = (origin.strip() for origin in (origins or "").split(","))
    return CrossOrigin(tuple(origin.lower() for origin in named if origin), _WORDS[word])
