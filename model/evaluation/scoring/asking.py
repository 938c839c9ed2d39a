"""Questions to many memories at once, and how sure the model was of its answers.

Legend: n tokens of a continuation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from mplus_ray.model.generation.generate import Generation, advance, start
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.prompt import question_prompt
from mplus_ray.model.generation.read_pass import begin, extend
from mplus_ray.model.generation.sampling import Sampling
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.mplus import Answer, MPlus

AT_ONCE = 32  # questions of one pass
_LONGEST = 32  # tokens of an answer

T = TypeVar("T")


@dataclass(frozen=True)
class ScoredReply:
    """An answer, and the generation it came from.

    Attributes:
        answer: with its sources.
        generation: its tokens and their probabilities.
    """

    answer: Answer
    generation: Generation

    @property
    def text(self) -> str:
        return self.answer.text


def batches(items: Iterable[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    """The items in order, so many at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def views_of(mplus: MPlus, memories: Sequence[Memory]) -> list[MemoryView]:
    """A view of each memory; the same memory has one view, so that its pool is read once."""
    views = {id(memory): memory for memory in memories}
    made = {key: mplus.view(memory) for key, memory in views.items()}
    return [made[id(memory)] for memory in memories]


def ask(
    mplus: MPlus,
    views: Sequence[MemoryView],
    questions: Sequence[str],
    contexts: Sequence[str] | None = None,
    max_tokens: int = _LONGEST,
) -> list[ScoredReply]:
    """Greedy answers.

    Args:
        contexts: a passage for each question, put before it in the prompt.
    """
    if not questions:
        return []
    if contexts is None:
        prompts = [question_prompt(mplus.tokenizer, mplus.config, text) for text in questions]
    else:
        pairs = zip(contexts, questions, strict=True)
        prompts = [
            _prompt_with(mplus, view, *pair) for view, pair in zip(views, pairs, strict=True)
        ]
    reader, sampling = mplus.networks.reader, Sampling(max_tokens=max_tokens)
    generations = start(reader, mplus.tokenizer, views, prompts, [sampling] * len(prompts))
    while any(generation.finish_reason is None for generation in generations):
        advance(reader, generations)
    return [ScoredReply(mplus.answer(generation), generation) for generation in generations]


def _prompt_with(mplus: MPlus, view: MemoryView, context: str, question: str) -> list[int]:
    """The passage and then the question; the passage loses its end if both would be too long."""
    alone = question_prompt(mplus.tokenizer, mplus.config, question)
    room = mplus.config.max_position_embeddings - view.own_start([]) - len(alone) - _LONGEST
    ids = mplus.tokenizer.encode(context)[: max(room, 0)]
    if mplus.config.prompt_template is None and mplus.tokenizer.chat_template is not None:
        shown = mplus.tokenizer.decode(ids)
        return question_prompt(mplus.tokenizer, mplus.config, f"{shown}\n\n{question}")
    return [*ids, *alone]


@torch.no_grad()
def log_probabilities(
    mplus: MPlus,
    views: Sequence[MemoryView],
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
) -> tuple[list[Tensor], list[float]]:
    """How likely the model finds a continuation of each prompt.

    What is retrieved is decided by the prompt alone, so no token is seen before it is predicted.

    Returns:
        Log-probabilities [n] of the tokens of each continuation, n ≥ 1, and the entropy (nats) of
        its first token.
    """
    reader = mplus.networks.reader
    tensors = [torch.tensor(list(prompt), device=reader.device) for prompt in prompts]
    readings, logits = begin(reader, views, tensors)
    rows = torch.stack([row[-1] for row in logits]).float().log_softmax(-1)
    entropies: list[float] = (-(rows.exp() * rows).nansum(-1)).tolist()
    found: list[list[Tensor]] = [[] for _ in prompts]
    active = list(range(len(prompts)))
    for at in range(max(map(len, continuations))):
        targets = torch.tensor([continuations[i][at] for i in active], device=reader.device)
        for i, value in zip(active, rows.gather(1, targets[:, None])[:, 0], strict=True):
            found[i].append(value)
        longer = [k for k, i in enumerate(active) if at + 1 < len(continuations[i])]
        if not longer:
            break
        active = [active[k] for k in longer]
        logits_next = extend(reader, [readings[i] for i in active], targets[longer])
        rows = logits_next.float().log_softmax(-1)
    return [torch.stack(values) for values in found], entropies
