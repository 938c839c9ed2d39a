"""The steps of decoding: prompts of many questions are read together, then one token for each."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mplus_ray.actors.messages import AskResult
from mplus_ray.actors.reading.request import ReadRequest
from mplus_ray.model import MPlus
from mplus_ray.model.errors import MPlusError
from mplus_ray.model.generation.generate import advance, start
from mplus_ray.model.generation.memory_view import MemoryView

_log = logging.getLogger(__name__)

Failures = list[tuple[ReadRequest, MPlusError]]


def read_prompts(model: MPlus, questions: Sequence[ReadRequest]) -> Failures:
    """Read the prompts and choose each answer's first token.

    If that fails, each is read alone, so that one with a file that cannot be read fails by itself.
    """
    if not questions:
        return []
    together = sorted(questions, key=lambda question: id(_view(question)))
    try:
        generations = start(
            model.networks.reader,
            model.tokenizer,
            [_view(question) for question in together],
            [question.prompt for question in together],
            [question.sampling for question in together],
            model.grammars,
            [question.plan.tenant for question in together],
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the others' answers go on
        if len(together) > 1:
            return [failure for question in together for failure in read_prompts(model, [question])]
        return [(together[0], _as_ours(error))]
    for question, generation in zip(together, generations, strict=True):
        question.generation = generation
    return []


def decode(model: MPlus, questions: Sequence[ReadRequest]) -> Failures:
    """One more token for each answer that is not complete."""
    generations = [q.generation for q in questions if q.generation is not None]
    # Questions of one memory stand together, so that its pool is attended once for all of them.
    generations.sort(key=lambda generation: id(generation.reading.view))
    try:
        advance(model.networks.reader, generations)
    except Exception as error:  # noqa: BLE001 - it is of this batch; the next one may be well
        return [(question, _as_ours(error)) for question in questions]
    return []


def complete(model: MPlus, question: ReadRequest) -> AskResult | MPlusError:
    """What an answer that is done has come to."""
    try:
        return question.told(model)
    except Exception as error:  # noqa: BLE001 - it is of this question alone
        return _as_ours(error)


def _view(question: ReadRequest) -> MemoryView:
    assert question.hold is not None
    view: MemoryView = question.hold.view.value
    return view


def _as_ours(error: Exception) -> MPlusError:
    if isinstance(error, MPlusError):
        return error.with_traceback(None)  # its frames hold tensors
    _log.error("answering failed", exc_info=error)
    return MPlusError(f"the reader failed at this question: {error!r}")
