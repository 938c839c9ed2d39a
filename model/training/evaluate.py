"""How much a checkpoint still knows after so many tokens, measured through the product's own path.

Tenants memorize a few fact documents each, then other text of authors never trained on; the
questions use phrasings never trained on, about entities never seen.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from model.library import MPlus
from model.memory import Memory
from model.training.facts import draw_fact
from model.training.text import Corpus


@dataclass(frozen=True)
class Fact:
    tenant: int
    step: int
    question: str
    answer: str


def retention(
    mplus: MPlus, corpus: Corpus, distances: list[int], tenants: int, facts: int, seed: int = 0
) -> dict[str, dict[str, dict[str, float]]]:
    """Exact match by arm and distance.

    Args:
        corpus: held-out text, the distractor.
        distances: tokens of it between the facts and the questions, rising.
        facts: one-chunk fact documents each tenant starts with.

    Returns:
        {"mplus": {"0": {"exact", "found_first", "found", "n"}, …}, "memoryllm": …, "none": …};
        `found`: the fact's block was among the best-voted sources, `found_first`: their first.
    """
    rng = Random(seed)
    chunk = mplus.config.chunk_tokens
    memories = [mplus.empty_memory(seed=i) for i in range(tenants)]
    asked: list[Fact] = []
    for step in range(facts):
        chunks = []
        for tenant in range(tenants):
            fact = draw_fact(rng, held_out=True)
            ids = mplus.tokenizer.encode(fact.statement)
            before = rng.randrange(chunk - len(ids) + 1)
            after = chunk - len(ids) - before
            chunks.append([*corpus.span(rng, before), *ids, *corpus.span(rng, after)])
            asked.append(Fact(tenant, step, fact.question, fact.answer))
        memories = mplus.memorize_chunks(memories, chunks)
    result: dict[str, dict[str, dict[str, float]]] = {"mplus": {}, "memoryllm": {}, "none": {}}
    done = 0
    for distance in distances:
        for _ in range(round((distance - done) / chunk)):
            memories = mplus.memorize_chunks(
                memories, [corpus.span(rng, chunk) for _ in range(tenants)]
            )
        done = distance
        result["mplus"][str(distance)] = _score(mplus, memories, asked)
        pools = [_pool_only(memory) for memory in memories]
        result["memoryllm"][str(distance)] = _score(mplus, pools, asked)
        blank = [mplus.empty_memory() for _ in memories]
        result["none"][str(distance)] = _score(mplus, blank, asked)
        print(
            distance,
            {arm: figures[str(distance)] for arm, figures in result.items()},
            file=sys.stderr,
        )
    return result


def _score(mplus: MPlus, memories: list[Memory], asked: list[Fact]) -> dict[str, float]:
    """Share of exact answers, and of questions whose fact's block was among the best-voted."""
    views = [mplus.view(memory) for memory in memories]
    answers = mplus.ask_many(
        [views[fact.tenant] for fact in asked], [fact.question for fact in asked], max_tokens=16
    )
    pairs = list(zip(answers, asked, strict=True))
    exact = sum(answer.text.strip() == fact.answer for answer, fact in pairs)
    found = sum(fact.step in [s.step for s in answer.sources] for answer, fact in pairs)
    best = sum([s.step for s in answer.sources][:1] == [fact.step] for answer, fact in pairs)
    return {
        "exact": round(exact / len(asked), 4),
        "found_first": round(best / len(asked), 4),
        "found": round(found / len(asked), 4),
        "n": len(asked),
    }


def _pool_only(memory: Memory) -> Memory:
    """The same memory with its long-term rows out of reach: the MemoryLLM arm."""
    return replace(memory, membership=memory.membership.pool_only())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m model.training.evaluate", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="held_out.npy of the run")
    parser.add_argument("--tokens", default="0,5000,20000")
    parser.add_argument("--tenants", type=int, default=16)
    parser.add_argument("--facts", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = retention(
        MPlus.load(options.checkpoint),
        Corpus.open(options.text),
        [int(tokens) for tokens in options.tokens.split(",")],
        options.tenants,
        options.facts,
    )
    if options.json:
        options.json.write_text(json.dumps({"arms": figures}, indent=1) + "\n")
