"""How well text is predicted that follows so many memorized tokens.

A window is [prefix | scored]: the prefix is read in the prompt and is what retrieval asks with,
and only what follows it is scored. The same windows are read with every length of memory.

Legend: C tokens of a prefix, and of what is scored: a chunk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.telling import Advance
from mplus_ray.model.evaluation.retention import pool_only
from mplus_ray.model.evaluation.scoring.asking import AT_ONCE, batches, log_probabilities, views_of
from mplus_ray.model.evaluation.scoring.intervals import mean_bounds
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.mplus import MPlus

ARMS = ("mplus", "memoryllm")
_PLACES = 4  # of the text, far apart, whose windows follow one another
_DRIFT = 8  # a memory may grow by 1/8 of its length before a new one is begun


@dataclass(frozen=True)
class _Window:
    """Tokens [at, at + 2C) of the text and the memory of what stands before them."""

    at: int
    distance: int
    memory: Memory


def perplexity(
    mplus: MPlus,
    ids: NDArray[np.int64],
    distances: Sequence[int],
    windows: int = 64,
    advance: Advance = lambda tokens: None,
    seed: int = 0,
) -> dict[str, Any]:
    """Perplexity per token by arm and memory length, of the same windows everywhere.

    Args:
        ids: the text.
        distances: tokens of memory before a window; up to an eighth more where it follows others.
        windows: so many at most, of a chunk each.
        seed: of which rows the memories drop.

    Returns:
        {"arms": {"mplus": {"0": {"perplexity", "low", "high", "ratio", "ratio_low", "ratio_high",
        "bits_per_character", "n"}, …}, "memoryllm": …}}, n scored tokens; `ratio`: over the
        perplexity of the same tokens with the shortest memory, so that its bounds say whether
        memory helps.

    Raises:
        InvalidInputError: the text is shorter than the longest memory and a window.
    """
    if not distances or min(distances) < 0:
        raise InvalidInputError("--tokens needs whole numbers of at least 0, such as 0,2000")
    lengths = sorted(set(distances))
    starts = place_windows(len(ids), lengths[-1], mplus.config.chunk_tokens, windows)
    found: dict[tuple[str, int], dict[int, float]] = defaultdict(dict)
    for distance in lengths:
        made = _windows(mplus, ids, distance, starts, seed, advance)
        for batch in batches(made, AT_ONCE):
            for arm in ARMS:
                losses = zip(batch, _loss(mplus, ids, batch, arm), strict=True)
                found[arm, distance] |= {window.at: loss for window, loss in losses}
    size = mplus.config.chunk_tokens
    order = [at for place in starts for at in place]
    texts = (mplus.tokenizer.decode(ids[at + size : at + 2 * size].tolist()) for at in order)
    characters = sum(map(len, texts))

    def in_order(arm: str, distance: int) -> list[float]:
        return [found[arm, distance][at] for at in order]

    return {
        "arms": {
            arm: {
                str(d): _figures(in_order(arm, d), in_order(arm, lengths[0]), size, characters)
                for d in lengths
            }
            for arm in ARMS
        }
    }


def place_windows(length: int, memory: int, size: int, windows: int) -> list[list[int]]:
    """Where windows begin: for each of a few places far apart, one after the other.

    Raises:
        InvalidInputError: there is no room for one.
    """
    if windows < 1:
        raise InvalidInputError("at least one window is needed")
    room = (length - memory - size) // size
    if room < 1:
        raise InvalidInputError(
            f"the text has {length:,} tokens; {memory:,} to remember and one window to read need "
            f"{memory + 2 * size:,}: give more text or smaller --tokens"
        )
    count = min(windows, room)
    places = min(_PLACES, count)
    each, apart = count // places, room // places
    return [[memory + (place * apart + k) * size for k in range(each)] for place in range(places)]


def tokens_to_memorize(starts: Sequence[Sequence[int]], distances: Sequence[int], size: int) -> int:
    """How many `perplexity` will memorize for these windows."""
    total = 0
    for distance in set(distances):
        for place in starts:
            for run in _runs(place, distance, size):
                total += (distance + size * (len(run) - 1)) if distance else 0
    return total


def _runs(place: Sequence[int], distance: int, size: int) -> list[Sequence[int]]:
    """Neighbouring windows that share a growing memory."""
    most = max(1, distance // (_DRIFT * size))
    return [place[at : at + most] for at in range(0, len(place), most)]


def _windows(
    mplus: MPlus,
    ids: NDArray[np.int64],
    distance: int,
    starts: Sequence[Sequence[int]],
    seed: int,
    advance: Advance,
) -> Iterator[_Window]:
    """Every window with its memory; runs are memorized side by side."""
    size = mplus.config.chunk_tokens
    if distance == 0:
        blank = mplus.empty_memory()
        yield from (_Window(at, 0, blank) for place in starts for at in place)
        return
    runs = [run for place in starts for run in _runs(place, distance, size)]
    for group in batches(runs, 8):
        yield from _run_together(mplus, ids, distance, group, seed, advance)


def _run_together(
    mplus: MPlus,
    ids: NDArray[np.int64],
    distance: int,
    runs: Sequence[Sequence[int]],
    seed: int,
    advance: Advance,
) -> Iterator[_Window]:
    size = mplus.config.chunk_tokens
    memories = [mplus.empty_memory(seed=seed + run[0]) for run in runs]
    # The oldest chunk may be a short one, so that memory ends where the window begins.
    steps = [size] * (distance // size)
    if distance % size:
        steps.insert(0, distance % size)
    read = 0
    for step in steps:
        spans = [ids[run[0] - distance + read :][:step].tolist() for run in runs]
        memories = mplus.memorize_chunks(memories, spans)
        read += step
        advance(step * len(runs))
    for number in range(max(map(len, runs))):
        for run, memory in zip(runs, memories, strict=True):
            if number < len(run):
                yield _Window(run[number], distance, memory)
        going = [at for at, run in enumerate(runs) if number + 1 < len(run)]
        spans = [ids[runs[at][number] :][:size].tolist() for at in going]
        grown = mplus.memorize_chunks([memories[at] for at in going], spans)
        advance(size * len(going))
        for at, memory in zip(going, grown, strict=True):
            memories[at] = memory


def _loss(
    mplus: MPlus, ids: NDArray[np.int64], windows: Sequence[_Window], arm: str
) -> list[float]:
    """Mean negative log-probability (nats a token) of each window."""
    size = mplus.config.chunk_tokens
    memories = [window.memory for window in windows]
    if arm == "memoryllm":
        memories = [pool_only(memory) for memory in memories]
    prefixes = [ids[window.at :][:size].tolist() for window in windows]
    scored = [ids[window.at + size :][:size].tolist() for window in windows]
    found, _ = log_probabilities(mplus, views_of(mplus, memories), prefixes, scored)
    return [-float(values.mean()) for values in found]


def _figures(
    losses: Sequence[float], shortest: Sequence[float], size: int, characters: int
) -> dict[str, Any]:
    low, high = mean_bounds(losses)
    differences = [a - b for a, b in zip(losses, shortest, strict=True)]
    least, most = mean_bounds(differences)
    return {
        "perplexity": _exp(float(np.mean(losses))),
        "low": _exp(low),
        "high": _exp(high),
        "ratio": _exp(float(np.mean(differences))),
        "ratio_low": _exp(least),
        "ratio_high": _exp(most),
        "bits_per_character": round(sum(losses) * size / np.log(2) / max(characters, 1), 4),
        "n": size * len(losses),
    }


def _exp(value: float) -> float | None:
    """None where one window says nothing about the spread."""
    return round(float(np.exp(value)), 4) if np.isfinite(value) else None
