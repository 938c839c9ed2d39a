"""`mplus bench short`: whether a fact is remembered as well from a short document as from a full
chunk, and whether several short documents in one chunk do better.

A chunk shorter than K tokens borrows rows of the block before it, and was rare in training. The
same facts are told three ways, in phrasings and about people never trained on; every way has
tenants of its own.
"""

from __future__ import annotations

import logging
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mplus_ray.bench.ingest.texts import Texts
from mplus_ray.bench.machine import describe
from mplus_ray.model import Answer, MPlus
from mplus_ray.model.corpus.facts import Fact, draw_fact
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.facts import FACT_TRIES
from mplus_ray.model.evaluation.scoring.intervals import wilson
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.training.data.text import Corpus
from mplus_ray.services.settings import Settings

_PACKED = 3  # facts in a chunk
_FACTS = 12  # of a tenant; a multiple of the above
_DISTANCES = (0, 5_000)
_CHARACTERS = 400_000  # of the prose
_AT_ONCE = 16  # questions

Layout = tuple[list[list[int]], list[int]]  # chunks of one tenant, and each fact's chunk
Tell = Callable[[MPlus, Corpus, Random, Sequence[Fact]], Layout]


def alone(mplus: MPlus, corpus: Corpus, rng: Random, facts: Sequence[Fact]) -> Layout:
    """Every fact is a document of one sentence."""
    return [mplus.tokenizer.encode(fact.statement) for fact in facts], list(range(len(facts)))


def in_prose(mplus: MPlus, corpus: Corpus, rng: Random, facts: Sequence[Fact]) -> Layout:
    """Every fact stands somewhere in a full chunk of other text."""
    size = mplus.config.chunk_tokens
    chunks = []
    for fact in facts:
        ids = mplus.tokenizer.encode(fact.statement)
        before = rng.randrange(size - len(ids) + 1)
        after = size - len(ids) - before
        chunks.append([*corpus.span(rng, before), *ids, *corpus.span(rng, after)])
    return chunks, list(range(len(facts)))


def packed(mplus: MPlus, corpus: Corpus, rng: Random, facts: Sequence[Fact]) -> Layout:
    """Up to three facts, one after the other, are a chunk; as many as fit."""
    chunks: list[list[int]] = []
    where = []
    count = 0
    for fact in facts:
        ids = mplus.tokenizer.encode((" " if count else "") + fact.statement)
        if not chunks or count == _PACKED or len(chunks[-1]) + len(ids) > mplus.config.chunk_tokens:
            chunks.append([])
            count = 0
        chunks[-1] += ids
        where.append(len(chunks) - 1)
        count += 1
    return chunks, where


def untold(mplus: MPlus, corpus: Corpus, rng: Random, facts: Sequence[Fact]) -> Layout:
    """Nobody says it: what is guessed all the same."""
    return [], [-1] * len(facts)


ARMS: dict[str, Tell] = {
    "alone": alone,
    "in_prose": in_prose,
    "packed": packed,
    "untold": untold,
}


@dataclass(frozen=True)
class AskedFact:
    """A fact, and the step that holds it.

    Attributes:
        tenant: its number.
        fact: what was told and is asked.
    """

    tenant: int
    step: int  # -1: none does
    fact: Fact


def measure_short(
    mplus: MPlus, corpus: Corpus, tenants: int, distances: Sequence[int], seed: int = 0
) -> dict[str, Any]:
    """Exact match of every arm at every distance.

    Args:
        distances: tokens of other text between the facts and the questions, rising.

    Returns:
        {arm: {"steps", "tokens_per_step", distance: {"exact", "low", "high", "found_first",
        "found", "n"}}}; low and high bound 95 % of exact, `found`: the fact's block was among
        the best-voted sources, `found_first`: it was the first of them.
    """
    rng = Random(seed)
    told = [[_fitting_fact(mplus, rng) for _ in range(_FACTS)] for _ in range(tenants)]
    return {
        name: measure_arm(mplus, corpus, tell, told, distances, seed) for name, tell in ARMS.items()
    }


def measure_arm(
    mplus: MPlus,
    corpus: Corpus,
    tell: Tell,
    told: Sequence[Sequence[Fact]],
    distances: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    """Tell every tenant its facts in one way, and ask for them at every distance."""
    rng = Random(seed)
    memories = [mplus.empty_memory(seed=number) for number in range(len(told))]
    layouts = [tell(mplus, corpus, rng, facts) for facts in told]
    asked = [
        AskedFact(tenant, step, fact)
        for tenant, (facts, (_, where)) in enumerate(zip(told, layouts, strict=True))
        for fact, step in zip(facts, where, strict=True)
    ]
    memories = [
        _memorize(mplus, memory, chunks)
        for memory, (chunks, _) in zip(memories, layouts, strict=True)
    ]
    sizes = [len(ids) for chunks, _ in layouts for ids in chunks]
    result: dict[str, Any] = {
        "steps": len(sizes) / len(told),
        "tokens_per_step": statistics.mean(sizes) if sizes else 0.0,
    }
    done = 0
    for distance in distances:
        for _ in range(round((distance - done) / mplus.config.chunk_tokens)):
            spans = [corpus.span(rng, mplus.config.chunk_tokens) for _ in memories]
            memories = mplus.memorize_chunks(memories, spans)
        done = distance
        result[str(distance)] = _score(mplus, memories, asked)
    return result


def _memorize(mplus: MPlus, memory: Memory, chunks: Sequence[Sequence[int]]) -> Memory:
    for ids in chunks:
        (memory,) = mplus.memorize_chunks([memory], [ids])
    return memory


def _score(
    mplus: MPlus, memories: Sequence[Memory], asked: Sequence[AskedFact]
) -> dict[str, float]:
    exact = found = first = 0
    for answer, one in _answers(mplus, memories, asked):
        steps = [source.step for source in answer.sources]
        exact += answer.text.strip() == one.fact.answer
        found += one.step in steps
        first += steps[:1] == [one.step]
    n = len(asked)
    low, high = wilson(exact, n)
    return {
        "exact": exact / n,
        "low": low,
        "high": high,
        "found_first": first / n,
        "found": found / n,
        "n": n,
    }


def _answers(
    mplus: MPlus, memories: Sequence[Memory], asked: Sequence[AskedFact]
) -> Iterator[tuple[Answer, AskedFact]]:
    views = [mplus.view(memory) for memory in memories]
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        answers = mplus.ask_many(
            [views[one.tenant] for one in some],
            [one.fact.question for one in some],
            max_tokens=16,
        )
        yield from zip(answers, some, strict=True)


def _fitting_fact(mplus: MPlus, rng: Random) -> Fact:
    """One whose statement leaves room in a chunk."""
    for _ in range(FACT_TRIES):
        fact = draw_fact(rng, "everything")
        if len(mplus.tokenizer.encode(fact.statement)) < mplus.config.chunk_tokens:
            return fact
    raise InvalidInputError(
        f"a sentence does not fit into this checkpoint's chunks of {mplus.config.chunk_tokens} "
        "tokens; measure one with longer chunks"
    )


Measure = Callable[[MPlus, Corpus, int, Sequence[int]], dict[str, Any]]


def main(quick: bool = False, checkpoint: str | None = None) -> dict[str, Any]:
    """Measure, print and return; a minute, or three."""
    return run(measure_short, quick, checkpoint)


def run(measure: Measure, quick: bool, checkpoint: str | None) -> dict[str, Any]:
    """Arms of some measurement with a checkpoint, as they are printed and returned."""
    torch.manual_seed(0)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    mplus = MPlus.load(Settings.read(checkpoint=checkpoint).checkpoint)
    prose = Texts().document("prose", _CHARACTERS).text
    corpus = Corpus(np.array(mplus.tokenizer.encode(prose)))
    reader = mplus.networks.reader
    result = {
        "machine": describe(reader.device, reader.dtype),
        "facts_of_a_tenant": _FACTS,
        "arms": measure(mplus, corpus, 10 if quick else 32, _DISTANCES),
    }
    _show(result)
    return result


def _show(result: dict[str, Any]) -> None:
    table = Table("told", "steps", "tokens a step", box=None)
    for distance in _DISTANCES:
        table.add_column(f"exact, {distance:,} tokens later")
        table.add_column("block first / among five")
    for name, arm in result["arms"].items():
        row = [name.replace("_", " "), f"{arm['steps']:.0f}", f"{arm['tokens_per_step']:.0f}"]
        for distance in _DISTANCES:
            found = arm[str(distance)]
            row.append(
                f"{found['exact']:.0%} ({found['low']:.0%} to {found['high']:.0%}, n={found['n']})"
            )
            row.append(f"{found['found_first']:.0%} / {found['found']:.0%}")
        table.add_row(*row)
    console = Console(file=sys.stderr)
    console.print(result["machine"])
    console.print(table)
