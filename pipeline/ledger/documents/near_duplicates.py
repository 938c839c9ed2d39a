"""Documents of a tenant that say the same: exactly, or nearly.

A text is a set of shingles, three words in a row each. The ledger keeps 60 MinHash values of it
folded to 12 bands; two texts that share a band are compared shingle by shingle. Of pairs that are
80 % alike 99 % share one. It is a report, so what is beyond the bounds below is passed over.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from mplus_ray.pipeline.ledger.schema import documents, likenesses
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

SIMILAR = 0.8  # least share of common shingles (Jaccard) that is reported

_BANDS, _ROWS = 12, 5
_SHINGLE = 3  # words
_FEWEST = 8  # words; shorter texts are alike only if they are equal
_MOST = 50_000  # words; what follows is not looked at
_HITS, _CANDIDATES = 64, 4  # common bands that are looked at, and texts that are compared
_BLOCK = 4096  # words at a time

_WORD = re.compile(r"\w+")
Hashes = NDArray[np.uint64]


def _constants(name: str, *shape: int) -> Hashes:
    """Odd numbers that are the same for ever, whatever becomes of any library's generator."""
    raw = hashlib.shake_256(name.encode()).digest(8 * math.prod(shape))
    return np.frombuffer(raw, "<u8").reshape(shape) | np.uint64(1)


_FACTORS = _constants("factors", _BANDS * _ROWS, 1)  # a family of hashes of 64 bits
_TERMS = _constants("terms", _BANDS * _ROWS, 1)
_PLACES = _constants("places", _SHINGLE)
_FOLD = _constants("fold", _BANDS, _ROWS)


@dataclass(frozen=True)
class NearDuplicate:
    """Another document of the tenant: its id, and the share of common shingles (1.0: equal).

    Attributes:
        key: the id that the user knows.
        similarity: Jaccard's index of the shingles.
    """

    key: str
    similarity: float


@dataclass(frozen=True)
class Sketch:
    """What is compared of a text.

    Attributes:
        shingles: hashes, sorted, each once; none of a text that is too short.
        bands: what the ledger keeps.
    """

    shingles: Hashes
    bands: list[int]

    @classmethod
    def of(cls, text: str) -> Sketch:
        """The sketch of a text."""
        shingles = _shingles(text)
        if not len(shingles):
            return cls(shingles, [])
        least = np.full((_BANDS * _ROWS, 1), np.iinfo(np.uint64).max, np.uint64)
        for start in range(0, len(shingles), _BLOCK):
            hashed = shingles[start : start + _BLOCK] * _FACTORS + _TERMS
            least = np.minimum(least, hashed.min(axis=1, keepdims=True))
        bands = (least.reshape(_BANDS, _ROWS) * _FOLD).sum(axis=1, dtype=np.uint64)
        return cls(shingles, [int(band) for band in bands.view(np.int64)])

    def similarity(self, text: str) -> float:
        """Common shingles of all shingles."""
        other = _shingles(text)
        common = len(np.intersect1d(self.shingles, other, assume_unique=True))
        return common / max(len(self.shingles) + len(other) - common, 1)


@dataclass(frozen=True)
class PendingSketch:
    """A document of a transaction that has not inserted it yet.

    Attributes:
        id, key: its internal id, and the user's.
        sha256: of its text, in hex.
        text: all of it.
        bands: hashes of parts of its MinHash signature.
    """

    id: str
    key: str
    sha256: str
    text: str
    bands: Sequence[int]


def remember(connection: Connection, scope: TenantScope, document: str, sketch: Sketch) -> None:
    """Keep what later documents are compared with; it goes with the document."""
    remember_all(connection, scope, {document: sketch.bands})


def remember_all(
    connection: Connection, scope: TenantScope, bands: Mapping[str, Sequence[int]]
) -> None:
    """Remember the bands of several documents."""
    rows = [
        {"document": document, "band": band}
        for document, found in bands.items()
        for band in dict.fromkeys(found)
    ]
    scope.insert(connection, likenesses, rows)


def find_alike(
    connection: Connection,
    scope: TenantScope,
    key: str,
    sha256: str,
    sketch: Sketch,
    pending: Sequence[PendingSketch] = (),
) -> NearDuplicate | None:
    """A document under another key than `key` that says the same, if there is one.

    Args:
        pending: documents that came before and are not in the ledger yet.
    """
    others = documents.c.key != key, documents.c.forget.is_(None)
    same = scope.select(documents, documents.c.key).where(documents.c.sha256 == sha256, *others)
    found = connection.execute(same.limit(1)).scalar_one_or_none()
    pending = [other for other in pending if other.key != key]
    if found is None:
        found = next((other.key for other in pending if other.sha256 == sha256), None)
    if found is not None:
        return NearDuplicate(found, 1.0)
    if not sketch.bands:
        return None
    bands = scope.select(likenesses, likenesses.c.document).where(
        likenesses.c.band.in_(sketch.bands)
    )
    hits = Counter(connection.execute(bands.limit(_HITS)).scalars())
    wanted = frozenset(sketch.bands)
    hits.update({other.id: n for other in pending if (n := len(wanted.intersection(other.bands)))})
    candidates = [document for document, _ in hits.most_common(_CANDIDATES)]
    texts = scope.select_by_ids(documents, candidates, documents.c.key, documents.c.text).where(
        *others
    )
    rows: list[tuple[str, str]] = [
        (other.key, other.text) for other in pending if other.id in candidates
    ]
    if len(rows) < len(candidates):
        rows += [(row.key, row.text) for row in connection.execute(texts)]
    best = max(
        (NearDuplicate(other, sketch.similarity(text)) for other, text in rows),
        key=lambda alike: alike.similarity,
        default=None,
    )
    return best if best is not None and best.similarity >= SIMILAR else None


def _shingles(text: str) -> Hashes:
    """Hashes of the shingles, sorted, each once."""
    found: Iterator[re.Match[str]] = islice(_WORD.finditer(text), _MOST)
    words = np.fromiter((zlib.crc32(match[0].lower().encode()) for match in found), np.uint64)
    if len(words) < _FEWEST:
        return np.empty(0, np.uint64)
    count = len(words) - _SHINGLE + 1
    mixed = np.zeros(count, np.uint64)
    for place in range(_SHINGLE):
        mixed += words[place : place + count] * _PLACES[place]
    mixed ^= mixed >> np.uint64(29)
    mixed *= _PLACES[0]
    return np.unique(mixed ^ (mixed >> np.uint64(32)))
