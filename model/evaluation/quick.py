"""A small version of every evaluation, in minutes: fewer questions, the same code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from typing import Any

from mplus_ray.model.evaluation.abstention import abstention
from mplus_ray.model.evaluation.citations import citations
from mplus_ray.model.evaluation.data.facts import tell_fact
from mplus_ray.model.evaluation.data.passages import Cut, PassagePlan, lay_out
from mplus_ray.model.evaluation.data.questions import QuestionedPassage
from mplus_ray.model.evaluation.data.telling import Advance, ToldDocument
from mplus_ray.model.evaluation.data.text import RunningText
from mplus_ray.model.evaluation.perplexity import perplexity, place_windows, tokens_to_memorize
from mplus_ray.model.evaluation.qa import qa
from mplus_ray.model.evaluation.retention import RetentionPlan, retention
from mplus_ray.model.mplus import MPlus

Progress = Callable[[str, int], AbstractContextManager[Advance]]  # what, of how many tokens

_DISTANCES = (0, 5_000, 20_000)
_PASSAGE_DISTANCES = (0, 10_000)
_MEMORIES = (0, 2_000, 8_000)
_FACTS, _MANY = 100, 200
_WINDOWS = 48


@dataclass(frozen=True)
class QuickTexts:
    """What is told.

    Attributes:
        text: between facts and questions.
        passages: with questions.
        others: between passages and questions; None for the other passages.
    """

    text: RunningText
    passages: Sequence[QuestionedPassage]
    others: RunningText | None


def quick(
    mplus: MPlus, texts: QuickTexts, cut: Cut, progress: Progress, seed: int = 0
) -> dict[str, Any]:
    """{"retention", "sentences", "updates", "many_facts", "qa", "citations", "abstention",
    "perplexity"}, each as its own evaluation returns it.

    `many_facts`: one tenant is told 200 of them among as much other text, and asked 10,000 tokens
    after each.
    """
    result: dict[str, Any] = {}
    size = mplus.config.chunk_tokens
    for name, plan in {
        "retention": RetentionPlan(_DISTANCES, _FACTS, 4, "prose", seed),
        "sentences": RetentionPlan((0, 5_000), _FACTS, 4, "sentence", seed),
        "updates": RetentionPlan((0, 5_000), _FACTS, 4, "update", seed),
        "many_facts": RetentionPlan((10_000,), _MANY, 1, "prose", seed),
    }.items():
        with progress(name, plan.tokens(size)) as advance:
            result[name] = retention(mplus, texts.text, plan, advance)
    passages = PassagePlan(_PASSAGE_DISTANCES, _FACTS, 4, seed)
    for name, measure in (("qa", qa), ("citations", citations)):
        logs = lay_out(texts.passages, cut, passages, texts.others)
        with progress(name, logs.tokens) as advance:
            result[name] = measure(mplus, logs, passages, advance)
    documents = fact_documents(mplus, texts.text, _FACTS, seed)
    with progress("abstention", _FACTS * size) as advance:
        result["abstention"], _ = abstention(mplus, documents, seed, advance)
    starts = place_windows(len(texts.text), max(_MEMORIES), size, _WINDOWS)
    with progress("perplexity", tokens_to_memorize(starts, _MEMORIES, size)) as advance:
        result["perplexity"] = perplexity(mplus, texts.text.ids, _MEMORIES, _WINDOWS, advance)
    return result


def fact_documents(mplus: MPlus, text: RunningText, count: int, seed: int) -> list[ToldDocument]:
    """Documents of one chunk with one invented fact each."""
    rng = Random(seed)
    reader, size = text.reader(rng), mplus.config.chunk_tokens
    told = (tell_fact("prose", rng, reader, mplus.tokenizer, size) for _ in range(count))
    return [documents[-1] for documents in told]
