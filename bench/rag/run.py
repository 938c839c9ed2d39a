"""`mplus bench rag`: answers from memory against the passages in a prompt.

All arms answer a question one after the other, so that a busy machine slows them alike; ratios
are of each question's own times, and processor seconds are what other work disturbs least.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from mplus_ray.bench.machine import Timing, describe
from mplus_ray.bench.rag.arms import Arm, Start, arms_of
from mplus_ray.bench.rag.show import show
from mplus_ray.bench.rag.texts import tell_passages
from mplus_ray.model import MPlus
from mplus_ray.model.evaluation.data.questions import read_questions
from mplus_ray.model.evaluation.scoring.intervals import mean_of, share_of
from mplus_ray.model.evaluation.scoring.squad import exact_match, f1
from mplus_ray.model.generation.generate import advance, start
from mplus_ray.model.generation.sampling import Sampling
from mplus_ray.services.settings import Settings

_LONGEST = 24  # tokens of an answer
_AT_ONCE = 8


@dataclass
class _Figures:
    """Of one arm, a number a question."""

    first_token: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    prompt: list[int] = field(default_factory=list)
    exact: list[bool] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)
    together: float = 0.0  # seconds for all questions, eight at a time

    def as_dict(self, first: _Figures) -> dict[str, Any]:
        """
        Args:
            first: of the arm that is compared with.
        """
        return {
            "first_token_ms": asdict(Timing.of(self.first_token)),
            "times_first": median(
                one / other for one, other in zip(self.first_token, first.first_token, strict=True)
            ),
            "processor_s": median(self.processor),
            "prompt_tokens": median(self.prompt),
            "answers_a_second": len(self.f1) / self.together,
            **share_of(self.exact, "exact"),
            **mean_of(self.f1, "f1"),
        }


def main(
    checkpoint: str | None,
    data: Path,
    questions: int,
    tokens: int | None,
    on_tokens: Callable[[int], None] = lambda tokens: None,
) -> dict[str, Any]:
    """Measure and print; returns the figures.

    Args:
        data: passages with questions, see `model.evaluation.data.questions`.
        questions: asked, at most.
        tokens: of the memory; None: 20,000, or all that the file has if that is less.
        on_tokens: called with tokens that were memorized.
    """
    mplus = MPlus.load(checkpoint or Settings.read().checkpoint)
    began = time.perf_counter()
    told = tell_passages(mplus, read_questions(data), questions, tokens, on_tokens)
    seconds = time.perf_counter() - began
    arms = arms_of(mplus, told, max(1, mplus.config.num_ltm_blocks))
    found = {arm.name: _Figures() for arm in arms}
    for question, passage in told.questions:
        for arm in arms:
            _ask(mplus, arm.start(question.text, passage), question.answers, found[arm.name])
    for arm in arms:
        found[arm.name].together = _together(
            mplus, arm, [(q.text, passage) for q, passage in told.questions]
        )
    first = found[arms[0].name]
    device = mplus.networks.reader.device
    result = {
        "machine": describe(device, mplus.networks.reader.dtype),
        "memory_tokens": told.tokens,
        "memorized_a_second": told.tokens / seconds,
        "bytes_a_token": told.memory.store.nbytes / told.tokens,
        "questions": len(told.questions),
        "arms": {name: figures.as_dict(first) for name, figures in found.items()},
    }
    show(result)
    return result


def _ask(mplus: MPlus, begun: Start, answers: Sequence[str], figures: _Figures) -> None:
    """One question by itself."""
    view, prompt = begun
    network = mplus.networks.reader
    at, work = time.perf_counter(), time.process_time()
    generations = start(network, mplus.tokenizer, [view], [prompt], [Sampling(max_tokens=_LONGEST)])
    figures.first_token.append(time.perf_counter() - at)
    while generations[0].finish_reason is None:
        advance(network, generations)
    figures.processor.append(time.process_time() - work)
    figures.prompt.append(len(prompt))
    figures.exact.append(exact_match(generations[0].shown, answers))
    figures.f1.append(f1(generations[0].shown, answers))


def _together(mplus: MPlus, arm: Arm, questions: Sequence[tuple[str, int]]) -> float:
    """Seconds for all questions, eight at a time."""
    network, began = mplus.networks.reader, time.perf_counter()
    for at in range(0, len(questions), _AT_ONCE):
        begun = [arm.start(*pair) for pair in questions[at : at + _AT_ONCE]]
        views, prompts = [view for view, _ in begun], [prompt for _, prompt in begun]
        samplings = [Sampling(max_tokens=_LONGEST)] * len(begun)
        generations = start(network, mplus.tokenizer, views, prompts, samplings)
        while any(generation.finish_reason is None for generation in generations):
            advance(network, generations)
    return time.perf_counter() - began
