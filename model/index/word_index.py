"""Which blocks share words with a question: Okapi BM25 (Robertson & Zaragoza, 2009) over a memory.

The words come from the token ids that lie beside the rows. So what they find is forgotten, forked
and travels in time with the rows, and the same rows give the same votes on every machine.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Split = Callable[[Sequence[int]], list[str]]  # a chunk's token ids as words
Steps = NDArray[np.bool_]

_K1, _B = 1.2, 0.75  # the usual ones
_WORD_BYTES = 400  # of a word's text and two arrays
POSTING_BYTES = _WORD_BYTES + 8  # of a word in a block, at most: it may be the first of its kind


class WordIndex:
    """Where the words of one history's blocks stand; it grows step by step."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lengths: list[int] = []
        self._postings: dict[str, tuple[array[int], array[int]]] = {}  # ascending steps, counts

    @property
    def steps(self) -> int:
        """Blocks covered."""
        return len(self._lengths)

    @property
    def nbytes(self) -> int:
        """Bytes on the host, about."""
        postings = sum(len(steps) for steps, _ in self._postings.values())
        return 8 * postings + _WORD_BYTES * len(self._postings) + 8 * len(self._lengths)

    def extend(self, steps: int, read: Callable[[int, int], Iterable[Sequence[str]]]) -> None:
        """Cover the first `steps` blocks.

        Args:
            read: the words of the blocks of steps first … end - 1.
        """
        with self._lock:
            first = len(self._lengths)
            for step, words in enumerate(read(first, steps) if first < steps else (), first):
                for word, count in Counter(words).items():
                    found, counts = self._postings.setdefault(word, (array("i"), array("i")))
                    counts.append(count)
                    found.append(step)
                self._lengths.append(len(words))

    def prefix(self, steps: int) -> WordIndex:
        """Of the first `steps` blocks, for a history that goes on differently."""
        copy = WordIndex()
        copy._lengths = self._lengths[:steps]
        for word, (found, counts) in self._postings.items():
            end = bisect_left(found, steps)
            if end:
                copy._postings[word] = found[:end], counts[:end]
        return copy

    def scores(self, idf: Mapping[str, float], known: Steps) -> NDArray[np.float32]:
        """BM25 [steps] of every block for a question, as if the memory were the known ones alone.

        Args:
            idf: of the question's words, from `idf`.
            known: [steps], blocks that may be read; the others score 0 and count for nothing.
        """
        steps = len(known)
        scores = np.zeros(steps)
        lengths = np.array(self._lengths[:steps], dtype=np.float64)
        mean = max(float(lengths[known].mean()) if known.any() else 0.0, 1.0)
        for word, weight in idf.items():
            at, tf = self._places(word, known)
            scores[at] += weight * tf * (_K1 + 1) / (tf + _K1 * (1 - _B + _B * lengths[at] / mean))
        return scores.astype(np.float32)

    def idf(self, words: Sequence[str], known: Steps) -> dict[str, float]:
        """What each word that occurs tells: log(1 + (N - n + 1/2) / (n + 1/2)) for n of N blocks.

        Args:
            known: [steps], blocks that may be read; N of them.
        """
        total, found = int(known.sum()), {}
        for word in sorted(set(words) & self._postings.keys()):
            count = len(self._places(word, known)[0])
            found[word] = float(np.log1p((total - count + 0.5) / (count + 0.5)))
        return found

    def _places(self, word: str, known: Steps) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The known steps that have a word, and how often."""
        found, counts = self._postings[word]
        end = bisect_left(found, len(known))
        at = np.frombuffer(found[:end], dtype=np.int32)
        seen = known[at]
        return at[seen], np.frombuffer(counts[:end], dtype=np.int32).astype(np.float64)[seen]
