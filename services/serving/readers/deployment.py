"""The readers' deployment: a Serve shell round `actors.reading.engine.Answering`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from ray import serve

from mplus_ray.actors.messages import AskRequest, AskResult, SearchRequest, SearchResult, TextDelta
from mplus_ray.model.errors import DamagedFileError, MPlusError, OverloadedError
from mplus_ray.services.api.ask.local_readers import searched
from mplus_ray.services.serving.model_card import Card, card_of
from mplus_ray.services.serving.process import log_pipe
from mplus_ray.services.serving.readers.delivery_queue import DeliveryQueue
from mplus_ray.services.serving.readers.scaling import ASKED

if TYPE_CHECKING:
    from mplus_ray.actors.messages import ReaderStats
    from mplus_ray.actors.reading.engine import Answering
    from mplus_ray.pipeline.installation import Installation

_FAILED_SECONDS = 60.0  # for which a replica without a model stays
_SOON_SECONDS = 0.5  # every message to the API costs the two of them milliseconds
_LOOK_SECONDS = 0.02  # between two looks at whether everything is answered


class Readers:
    """One model, and the memories of the tenants that were asked about."""

    def __init__(self, installation: Installation) -> None:
        """A checkpoint that cannot be loaded is told to those who ask for the card: an error here
        would be the replica's death, and say little."""
        from mplus_ray.model import MPlus

        log_pipe.configure()
        self._began = time.monotonic()
        self._failed: MPlusError | None = None
        self._answering: Answering | None = None
        self._closing = False
        try:
            self._model = MPlus.load(installation.checkpoint)
            self._files = installation.store.open()
        except MPlusError as error:
            self._failed = error

    async def reconfigure(self, budget: Mapping[str, int | None]) -> None:
        """Answer within another budget; what is under way ends in the one before.

        Args:
            budget: `device_bytes` and `host_bytes` of memories, None for a share of what there
                is; `slots` and `queue`, questions that are answered together and that may wait.
        """
        from mplus_ray.actors.reading.budget import default_device_bytes, default_host_bytes
        from mplus_ray.actors.reading.engine import Answering

        if self._failed is not None:
            return
        before = self._answering
        self._answering = Answering(
            self._model,
            self._files,
            device_bytes=budget["device_bytes"] or default_device_bytes(self._model),
            host_bytes=budget["host_bytes"] or default_host_bytes(),
            slots=budget["slots"] or 1,
            queue=budget["queue"] or 0,
        )
        if before is not None:
            await _idle(before, seconds=60.0)
            await asyncio.to_thread(before.stop)

    async def card(self) -> Card:
        """The model that is loaded.

        Raises:
            MPlusError: none is, and why.
        """
        if self._failed is not None:
            raise self._failed
        return card_of(self._model)

    async def ask(self, asked: AskRequest) -> AsyncIterator[list[TextDelta | AskResult]]:
        """What is said, several things at a time if they pile up; first an empty list, as a sign
        that the question is taken, unless something is said so soon that this is the sign.
        Closing this, or cancelling the request, frees the slot.

        Raises:
            MPlusError: as it was told.
        """
        answering = self._ready()
        if asked.sampling.get("constraint") is not None:
            await asyncio.to_thread(answering.prepare, asked)
        deliveries = DeliveryQueue()
        handle = answering.ask(asked, deliveries.put)
        try:
            if not await deliveries.filled(_SOON_SECONDS):
                yield []
            done = False
            while not done:
                said: list[TextDelta | AskResult] = []
                for one in await deliveries.take():
                    if isinstance(one, MPlusError):
                        raise one
                    assert not isinstance(one, SearchResult), "a question was asked"
                    done = isinstance(one, AskResult)
                    said.append(one)
                yield said
        except DamagedFileError:
            answering.close(asked.plan.tenant)  # so that what is repaired is opened anew
            raise
        finally:
            handle.cancel()

    async def search(self, asked: SearchRequest) -> SearchResult:
        """What a search finds; cancelling the request gives it up.

        Raises:
            MPlusError: as it was told.
        """
        answering = self._ready()
        try:
            return await searched(answering, asked)
        except DamagedFileError:
            answering.close(asked.plan.tenant)  # so that what is repaired is opened anew
            raise

    async def close(self, tenant: str) -> None:
        """Let go of a tenant's memory."""
        if self._answering is not None:
            await asyncio.to_thread(self._answering.close, tenant)

    async def stats(self) -> tuple[str, ReaderStats]:
        """Its id, and what it does and holds.

        Raises:
            MPlusError: it cannot answer.
        """
        return serve.get_replica_context().replica_id.unique_id, self._ready().stats()

    async def drain(self, seconds: float) -> None:
        """Take no more questions; those that are not answered in time are told so."""
        self._closing = True
        if self._answering is not None:
            await _idle(self._answering, seconds)
            await asyncio.to_thread(self._answering.stop)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `ByLoad` goes by."""
        if self._answering is None:
            return {ASKED: 0.0}
        stats = self._answering.stats()
        return {ASKED: float(stats.running + stats.queued)}

    async def check_health(self) -> None:
        """Serve puts another replica in the place of one that raises here; if there is no model,
        not before somebody has had the time to ask why."""
        if self._answering is not None and self._answering.broken:
            raise RuntimeError("decoding has ended")
        if self._failed is not None and time.monotonic() > self._began + _FAILED_SECONDS:
            raise self._failed

    def __del__(self) -> None:
        """Serve calls it when the replica is to end, and then it is collected, too."""
        answering = vars(self).get("_answering")
        if answering is not None:
            answering.stop()

    def _ready(self) -> Answering:
        if self._failed is not None:
            raise self._failed
        if self._answering is None or self._closing:
            raise OverloadedError("this reader is about to stop; ask again", retry_after=1.0)
        return self._answering


async def _idle(answering: Any, seconds: float) -> None:
    """Wait until nothing is asked, but not for longer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stats = answering.stats()
        if not stats.running + stats.queued:
            return
        await asyncio.sleep(_LOOK_SECONDS)
