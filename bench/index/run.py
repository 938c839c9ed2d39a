"""`mplus bench index`: which blocks a question reads, exactly, from int8 copies, from FAISS lists.

All arms answer the same question one after the other, so that a busy machine slows them alike.
`speedup` is the median of the questions' own ratios of processor time, which other processes
disturb least.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mplus_ray.bench.index.show import show
from mplus_ray.bench.index.world import QuestionSource, grow, queries
from mplus_ray.bench.machine import Timing, describe
from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.confidence import Evidence
from mplus_ray.model.index.block_index import BlockIndex
from mplus_ray.model.retrieval.block_search import BlockQuery, exact_votes, vote
from mplus_ray.model.store.row_store import RowStore
from mplus_ray.services.settings import Settings

_TOKENS = (160_000, 1_000_000, 4_000_000)
_QUICK = (160_000, 400_000)
_QUESTIONS = 50
_CITED = 20  # as many as an answer may name
_NEVER = 1 << 60


@dataclass
class Arm:
    """One way to search, over all questions.

    Attributes:
        seconds: of each search.
        recall: of each question, the share of the exact blocks that were found.
        cited: the same of the blocks that an answer would name.
    """

    seconds: list[float]
    work: list[float]  # exact processor time over this arm's
    recall: list[float]
    cited: list[float]
    standing_out: list[float]  # the change of what confidence is made of

    def figures(self) -> dict[str, Any]:
        return {
            "ms": asdict(Timing.of(self.seconds)),
            "speedup": median(self.work),
            "recall": {"mean": mean(self.recall), "worst": min(self.recall)},
            "cited_recall": mean(self.cited),
            "standing_out_change": {
                "mean": mean(self.standing_out),
                "largest": max(map(abs, self.standing_out)),
            },
        }


def main(quick: bool, checkpoint: str | None, source: QuestionSource) -> dict[str, Any]:
    """Measure and print; returns the figures."""
    model = MPlus.load(checkpoint or Settings.read().checkpoint, device="cpu")
    if model.config.retrieval != "blocks":
        raise InvalidInputError("this checkpoint retrieves rows; there is an index of blocks only")
    asked = [queries(model, question) for question in source.asked(_QUESTIONS)]
    sizes = []
    wanted = list(_QUICK if quick else _TOKENS)
    for store in grow(model, source):
        if store.steps * model.config.chunk_tokens >= wanted[0]:
            sizes.append(measure(store, asked, store.steps * model.config.chunk_tokens))
            wanted.pop(0)
        if not wanted:
            break
    machine = describe(torch.device("cpu"), torch.float32)
    result = {"machine": machine, "questions": len(asked), "sizes": sizes}
    show(result)
    return result


def measure(store: RowStore, asked: list[list[Tensor]], tokens: int) -> dict[str, Any]:
    """The figures of one memory: each way to search beside scoring everything."""
    arms = {}
    for name, start in (("copies", _NEVER), ("lists", 1)):
        store.index = BlockIndex(store.config, 1, start)
        began = time.perf_counter()
        store.extend_index(store.steps)
        store.index.lists.join()
        built = {"build_s": time.perf_counter() - began, "bytes": store.index.nbytes}
        exact, arm = _ask(store, asked)
        arms[name] = {**built, **arm.figures(), "exact_ms": asdict(Timing.of(exact))}
    rows = store.steps * store.config.num_tokens
    return {"tokens": tokens, "blocks": store.steps, "rows_a_layer": rows, **arms}


def _ask(store: RowStore, asked: list[list[Tensor]]) -> tuple[list[float], Arm]:
    exact, arm = [], Arm([], [], [], [], [])
    for question in asked:
        every = np.ones(store.steps, dtype=bool)
        top_k = store.config.num_ltm_blocks
        block_query = BlockQuery(question, store, store.steps, every, every, top_k)
        seconds, before, truth = _timed(exact_votes, block_query)
        exact.append(seconds)
        seconds, after, votes = _timed(vote, block_query)
        arm.seconds.append(seconds)
        arm.work.append(before / after)
        arm.recall.append(_common(truth, votes, top_k))
        arm.cited.append(_common(truth, votes, _CITED))
        arm.standing_out.append(_standing_out(votes) - _standing_out(truth))
    return exact, arm


def _timed(
    call: Callable[[BlockQuery], Tensor], block_query: BlockQuery
) -> tuple[float, float, Tensor]:
    """Seconds by the clock and of the processor, and the votes."""
    began, worked = time.perf_counter(), time.process_time()
    votes = call(block_query)
    return time.perf_counter() - began, time.process_time() - worked, votes


def _common(truth: Tensor, votes: Tensor, count: int) -> float:
    best = set(truth.topk(min(count, len(truth))).indices.tolist())
    return len(best & set(votes.topk(len(best)).indices.tolist())) / len(best)


def _standing_out(votes: Tensor) -> float:
    return Evidence.of(votes.numpy(), [], 0.0).standing_out
