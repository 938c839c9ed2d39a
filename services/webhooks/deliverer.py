"""Tells webhooks what waits for them, in the background of a service.

Every replica has one. A webhook is told by one of them at a time, one event after the other, so
a slow receiver holds up nobody but itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Figure

from mplus_ray.model.errors import MPlusError
from mplus_ray.pipeline.ledger.delivery_queue import Claim
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_scope import now
from mplus_ray.services.webhooks.hosts import WebhookHosts
from mplus_ray.services.webhooks.sender import Sender

_AT_ONCE = 128  # webhooks that are told something
_OF_ONE_TENANT = 8  # likewise, its forks with it
_IN_A_ROW = 20  # events, before other webhooks have their turn
_TURN_SECONDS = 30.0  # likewise, for a receiver that takes its time
_PURGE_SECONDS = 600.0
_LONGEST_REST = 60.0  # seconds that a receiver is left alone after a failure

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeliverySettings:
    """How webhooks are told.

    Attributes:
        hosts: that are allowed beside those of the internet.
        poll_seconds: between two looks at what is due.
        attempt_seconds: that one attempt may take.
        claim_seconds: after which a webhook of a deliverer that ended is another's; longer than
            an attempt.
    """

    hosts: WebhookHosts = field(default_factory=WebhookHosts)
    poll_seconds: float = 1.0
    attempt_seconds: float = 15.0
    claim_seconds: float = 60.0


class Deliverer:
    """Call `run`; cancelling it leaves what is under way to be sent again."""

    def __init__(
        self, ledger: Ledger, settings: DeliverySettings, registry: CollectorRegistry
    ) -> None:
        self._queue = ledger.deliveries
        self._settings = settings
        self._busy: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._figure = Figure(
            "mplus_webhook_attempts",
            "Attempts to tell a webhook of an event.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("delivered", "retried", "failed"):
            self._figure.labels(outcome)

    async def run(self) -> None:
        """Deliver until this is cancelled."""
        settings, loop = self._settings, asyncio.get_running_loop()
        purge_at = loop.time()
        sender = Sender(settings.hosts, _AT_ONCE, now, settings.attempt_seconds)
        async with sender:
            try:
                while True:
                    try:
                        await self._claim(sender)
                        if loop.time() >= purge_at:
                            purge_at = loop.time() + _PURGE_SECONDS
                            await asyncio.to_thread(self._queue.purge)
                    except MPlusError as error:  # the ledger is away; it comes back
                        _log.warning("webhooks wait: %s", error)
                    await asyncio.sleep(settings.poll_seconds)
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _claim(self, sender: Sender) -> None:
        room = _AT_ONCE - len(self._tasks)
        if room <= 0:
            return
        seconds = self._settings.claim_seconds
        claims = await asyncio.to_thread(
            self._queue.claim, room, dict(self._busy), _OF_ONE_TENANT, seconds
        )
        for claim in claims:
            self._busy[claim.family] += 1
            task = asyncio.create_task(self._tell(sender, claim))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _tell(self, sender: Sender, claim: Claim) -> None:
        """Tell one webhook what is due, in order, and let it go; after a failure not at once, so
        that a receiver that is down is not asked for each event."""
        rest, over = 0.0, asyncio.get_running_loop().time() + _TURN_SECONDS
        try:
            for _ in range(_IN_A_ROW):
                if asyncio.get_running_loop().time() > over:
                    break
                due = await asyncio.to_thread(self._queue.next, claim)
                if due is None:
                    break
                attempt = await sender.send(due)
                await asyncio.to_thread(self._queue.note, claim, due, attempt)
                outcome = "delivered" if attempt.error is None else "failed"
                self._figure.labels("retried" if attempt.again_at else outcome).inc()
                if attempt.disable is not None:
                    _log.warning("a webhook was disabled", extra={"webhook": claim.webhook})
                if attempt.error is not None:
                    rest = min(_LONGEST_REST, (attempt.again_at or now()) - now())
                    break
            await asyncio.to_thread(self._queue.release, claim, rest)
        except asyncio.CancelledError:
            self._queue.release(claim, rest)  # the service ends, and others go on at once
            raise
        except MPlusError as error:
            _log.warning("a webhook waits: %s", error)
        except Exception as error:  # noqa: BLE001 - nobody waits for it; its claim runs out
            _log.error("a webhook could not be told", exc_info=error)
        finally:
            self._busy[claim.family] -= 1
            if not self._busy[claim.family]:
                del self._busy[claim.family]
