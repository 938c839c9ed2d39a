"""Okapi BM25 over the chunks of a growing log (Robertson & Zaragoza, 2009)."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict

import numpy as np

_K1, _B = 1.2, 0.75  # the usual ones
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Lower-cased words of any script."""
    return _WORD.findall(text.casefold())


class BM25:
    """Texts are numbered as they are added; a search may leave out the newest of them."""

    def __init__(self) -> None:
        self._lengths: list[int] = []
        self._postings: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(
            lambda: ([], [])  # numbers of texts, rising, and how often each has the word
        )

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, text: str) -> None:
        """Add the next text."""
        counts = Counter(words(text))
        for word, count in counts.items():
            numbers, frequencies = self._postings[word]
            numbers.append(len(self._lengths))
            frequencies.append(count)
        self._lengths.append(counts.total())

    def best(self, query: str, count: int, end: int | None = None) -> list[int]:
        """Numbers of the `count` best of the first `end` texts, best first; ties: oldest first.

        Texts with no word of the query are never among them.
        """
        end = len(self) if end is None else min(end, len(self))
        lengths = np.array(self._lengths[:end], dtype=np.float64)
        mean = max(float(lengths.mean()) if end else 0.0, 1.0)
        scores = np.zeros(end)
        for word in set(words(query)) & self._postings.keys():
            numbers, frequencies = self._postings[word]
            having = bisect_left(numbers, end)
            idf = math.log1p((end - having + 0.5) / (having + 0.5))
            at, tf = numbers[:having], np.array(frequencies[:having], dtype=np.float64)
            scores[at] += idf * tf * (_K1 + 1) / (tf + _K1 * (1 - _B + _B * lengths[at] / mean))
        order = np.argsort(-scores, kind="stable")[:count]
        return [int(number) for number in order if scores[number] > 0]
