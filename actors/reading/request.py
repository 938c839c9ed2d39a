"""A question that a reader has taken, and the way back to its caller."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from mplus_ray.actors.messages import AskRequest, AskResult, SearchResult, TextDelta
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.memory_cache import Hold
from mplus_ray.actors.reading.residency import Bytes
from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError, MPlusError
from mplus_ray.model.generation.answer import blocks_known, evidence_of, is_forced, refuses
from mplus_ray.model.generation.generate import Generation
from mplus_ray.model.generation.prompt import conversation_prompt
from mplus_ray.model.generation.sampling import Sampling

_log = logging.getLogger(__name__)
_MOST_CITATIONS = 20

Event = TextDelta | AskResult | SearchResult | MPlusError


class RequestHandle:
    """The caller's side of a question."""

    def __init__(self, deliver: Callable[[Event], None], left: Callable[[], None]) -> None:
        """
        Args:
            left: called once, when it is cancelled before its last event.
        """
        self._deliver = deliver
        self._left = left
        self._telling = threading.RLock()  # a delivery may cancel
        self._open = True

    @property
    def open(self) -> bool:
        """Whether somebody still waits for events."""
        return self._open

    def cancel(self) -> None:
        """Give the question up: its slot is free at once, and it has no part in the next step.

        A delivery that is under way is waited for; once this has returned there is none. After
        the last event it does nothing.
        """
        with self._telling:
            left, self._open = self._open, False
        if left:
            self._left()

    def tell(self, event: Event) -> None:
        """Deliver an event, unless it was cancelled; all but a `TextDelta` is the last one."""
        with self._telling:
            if not self._open:
                return
            if not isinstance(event, TextDelta):
                self._open = False
            try:
                self._deliver(event)
            except Exception:  # noqa: BLE001 - it is the asker's code, and others wait
                _log.exception("an answer could not be delivered")
                failed, self._open = self._open, False
            else:
                return
        if failed:
            self._left()


@dataclass(eq=False, kw_only=True)
class Pending(ABC):
    """What wants to read a memory: a question, or a search.

    Attributes:
        handle: the caller's side of it.
        prompt: token ids.
        own: bytes it takes beside its memory.
        hold: its memory, from when there is room for it.
        overtaken: how many later ones were given room that it is still waiting for.
    """

    handle: RequestHandle = field(init=False)
    prompt: list[int] = field(default_factory=list)
    own: Bytes = field(default_factory=Bytes)
    hold: Hold | None = None
    overtaken: int = 0

    @property
    @abstractmethod
    def plan(self) -> ReadPlan:
        """The memory that is to be read."""

    @property
    @abstractmethod
    def most_tokens(self) -> int:
        """Tokens that it may decode."""

    @abstractmethod
    def read(self, model: MPlus) -> None:
        """Make the prompt.

        Raises:
            InvalidInputError: something about it is impossible.
        """

    def drop(self) -> None:
        """Its memory is held no longer."""
        self.hold = None


@dataclass(eq=False)
class ReadRequest(Pending):
    """A question that is waiting, or being answered.

    Attributes:
        shown: characters of the answer that were delivered.
        asked: what came from the caller.
        sampling: how tokens are chosen.
        generation: the answer so far; None before decoding begins.
    """

    asked: AskRequest
    sampling: Sampling = field(default_factory=Sampling)
    generation: Generation | None = None
    shown: int = 0

    @property
    def plan(self) -> ReadPlan:
        return self.asked.plan

    @property
    def most_tokens(self) -> int:
        return self.sampling.max_tokens

    def drop(self) -> None:
        self.hold = self.generation = None

    def read(self, model: MPlus) -> None:
        citations = self.asked.citations
        if not isinstance(citations, int) or not 0 <= citations <= _MOST_CITATIONS:
            raise InvalidInputError(f"citations must be a whole number from 0 to {_MOST_CITATIONS}")
        self.sampling = Sampling.of(self.asked.sampling)
        if self.sampling.constraint is not None:
            model.grammars.compile(self.sampling.constraint, self.plan.tenant)
        messages = [(turn.role, turn.content) for turn in self.asked.turns]
        self.prompt = conversation_prompt(
            model.tokenizer, model.config, messages, self.sampling.max_tokens
        )

    @property
    def done(self) -> bool:
        return self.generation is not None and self.generation.finish_reason is not None

    def tell_more(self) -> None:
        """Deliver what has become readable since, if it is wanted by the piece."""
        assert self.generation is not None
        if self.asked.whole:
            return
        text = self.generation.shown
        if len(text) > self.shown:
            piece = TextDelta(text[self.shown :])
            self.shown = len(text)
            self.handle.tell(piece)

    def told(self, model: MPlus) -> AskResult:
        """The whole answer, once it is done."""
        assert self.generation is not None
        return judged(model, self.generation, self.asked.citations)


def judged(model: MPlus, generation: Generation, citations: int = 5) -> AskResult:
    """What a complete generation has come to, and how sure the model is of it."""
    answer, refused = model.answer(generation, citations), refuses(generation)
    confidence = model.confidence
    if confidence is None or blocks_known(generation) < confidence.fewest:
        return AskResult(answer, refused=refused)
    # What the model refuses in words is withheld, however sure it was of them, and so is what it
    # said only because nothing else was allowed.
    untold = refused or is_forced(generation)
    sure = 0.0 if untold else confidence(evidence_of(generation))
    return AskResult(answer, sure, confidence.threshold, refused)
