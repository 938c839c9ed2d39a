"""A reader that answers many questions together, for callers that each wait for their own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from mplus_ray.actors.messages import AskRequest, AskResult, TextDelta, Turn
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.engine import Answering
from mplus_ray.actors.reading.request import Event
from mplus_ray.model.errors import MPlusError


class WaitingReader:
    """Called from several threads, whose questions `Answering` decodes together."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def judge(
        self,
        plan: ReadPlan,
        question: str,
        on_text: Callable[[str], None] = lambda piece: None,
        **sampling: Any,
    ) -> AskResult:
        """As `Reader.judge`; `on_text` is called from another thread.

        Raises:
            MPlusError: as it was told.
        """
        told: Future[AskResult] = Future()

        def deliver(said: Event) -> None:
            if isinstance(said, TextDelta):
                on_text(said.text)
            elif isinstance(said, MPlusError):
                told.set_exception(said)
            else:
                assert isinstance(said, AskResult), "a question was asked"
                told.set_result(said)

        asked = AskRequest(plan, (Turn("user", question),), sampling)
        handle = self._answering.ask(asked, deliver)
        try:
            return told.result()
        finally:
            handle.cancel()
