"""Deliveries of all tenants that are due: one deliverer a webhook at a time, whichever it is.

A claim runs out by itself, so what a deliverer that ended had not noted is sent again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update

from mplus_ray.pipeline.ledger.database import Database
from mplus_ray.pipeline.ledger.schema import deliveries, tenants, webhooks

KEPT_SECONDS = 7 * 24 * 3600.0  # of a delivery, from its event on


@dataclass(frozen=True)
class Claim:
    """A webhook that is one deliverer's for a while.

    Attributes:
        webhook: its id.
        family: whose it is: a tenant's id, with which its forks are counted.
        token: of this claim.
        seconds: that it lasts from each attempt on.
    """

    webhook: str
    family: str
    token: str
    seconds: float


@dataclass(frozen=True)
class DueDelivery:
    """What is to be posted now.

    Attributes:
        id: of the delivery.
        event: id of the event.
        url: where to.
        payload: the body.
        secrets: to sign with, the current one first.
        attempts: before this one.
        created: of the event, in seconds since the epoch.
        failing_since: of the webhook, in seconds since the epoch; None: it is not failing.
    """

    id: str
    event: str
    url: str
    payload: str
    secrets: tuple[str, ...]
    attempts: int
    created: float
    failing_since: float | None


@dataclass(frozen=True)
class Attempt:
    """What became of one attempt, and what follows.

    Attributes:
        status: of the response; None: there was none.
        error: what went wrong; None: it was delivered.
        again_at: when the next attempt is, in seconds since the epoch; None: there is none.
        disable: why the webhook is to be disabled; None: it is not.
    """

    status: int | None
    error: str | None = None
    again_at: float | None = None
    disable: str | None = None


class DeliveryQueue:
    """The queue of a ledger."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def claim(
        self, most: int, busy: Mapping[str, int], most_of_one: int, seconds: float
    ) -> list[Claim]:
        """Webhooks that have something due and that nobody else delivers to; those that waited
        longest for their turn first.

        Args:
            most: so many.
            busy: how many each family has claimed here already.
            most_of_one: that one tenant and its forks may have.
            seconds: after which they are others' if nobody holds them.
        """
        now = self._clock()
        due = (
            select(deliveries.c.id)
            .where(
                deliveries.c.webhook == webhooks.c.id,
                deliveries.c.state == "waiting",
                deliveries.c.due <= now,
            )
            .exists()
        )
        full = [family for family, count in busy.items() if count >= most_of_one]
        free = (webhooks.c.claimed_until <= now) & webhooks.c.enabled
        family = func.coalesce(tenants.c.origin, tenants.c.id)
        query = (
            select(webhooks.c.id, family.label("family"))
            .join(tenants, tenants.c.id == webhooks.c.tenant)
            .where(free, due, tenants.c.status == "active", family.not_in(full))
            .order_by(webhooks.c.claimed_until, webhooks.c.id)
            .limit(most)
        )
        with self._database.reading() as connection:
            found = connection.execute(query).all()
        counts, claims = dict(busy), []
        for row in found:
            if counts.get(row.family, 0) >= most_of_one:
                continue
            token = uuid.uuid4().hex
            mine = update(webhooks).where(webhooks.c.id == row.id, free)
            with self._database.writing() as connection:
                taken = connection.execute(mine.values(claim=token, claimed_until=now + seconds))
            if taken.rowcount:
                counts[row.family] = counts.get(row.family, 0) + 1
                claims.append(Claim(row.id, row.family, token, seconds))
        return claims

    def next(self, claim: Claim) -> DueDelivery | None:
        """What the webhook is to be told next; None: nothing is due, or the claim ran out."""
        now, d, w = self._clock(), deliveries.c, webhooks.c
        query = (
            select(d.id, d.event, d.payload, d.attempts, d.created, *_OF_WEBHOOK)
            .join(webhooks, w.id == d.webhook)
            .where(d.webhook == claim.webhook, d.state == "waiting", d.due <= now)
            .where(w.claim == claim.token, w.claimed_until > now, w.enabled)
            .order_by(d.due, d.created, d.id)
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        secrets = [row.secret]
        if row.old_secret is not None and row.old_until > now:
            secrets.append(row.old_secret)
        return DueDelivery(
            row.id,
            row.event,
            row.url,
            row.payload,
            tuple(secrets),
            row.attempts,
            row.created,
            row.failing_since,
        )

    def note(self, claim: Claim, sent: DueDelivery, attempt: Attempt) -> None:
        """Write down what became of an attempt, and hold the webhook for the next one."""
        now = self._clock()
        values: dict[str, Any] = {
            "attempts": sent.attempts + 1,
            "status": attempt.status,
            "error": attempt.error,
        }
        held: dict[str, Any] = {"claimed_until": now + claim.seconds}
        if attempt.error is None:
            values |= {"state": "delivered", "finished": now}
            held["failing_since"] = None
        else:
            held["failing_since"] = func.coalesce(webhooks.c.failing_since, now)
            if attempt.again_at is None:
                values |= {"state": "failed", "finished": now}
            else:
                values["due"] = attempt.again_at
        if attempt.disable is not None:
            held |= {"enabled": False, "reason": attempt.disable}
        # Sent again on request meanwhile, it keeps what that says.
        same = (deliveries.c.id == sent.id) & (deliveries.c.attempts == sent.attempts)
        mine = (webhooks.c.id == claim.webhook) & (webhooks.c.claim == claim.token)
        with self._database.writing() as connection:
            connection.execute(update(deliveries).where(same).values(**values))
            connection.execute(update(webhooks).where(mine).values(**held))

    def release(self, claim: Claim, rest: float) -> None:
        """Let others deliver to the webhook, once it had so many seconds of rest."""
        mine = (webhooks.c.id == claim.webhook) & (webhooks.c.claim == claim.token)
        with self._database.writing() as connection:
            connection.execute(
                update(webhooks).where(mine).values(claim=None, claimed_until=self._clock() + rest)
            )

    def purge(self) -> int:
        """Delete deliveries of events of long ago, whatever became of them; returns how many."""
        old = deliveries.c.created < self._clock() - KEPT_SECONDS
        with self._database.writing() as connection:
            return connection.execute(delete(deliveries).where(old)).rowcount

    def waiting(self) -> int:
        """Deliveries that are not finished, of webhooks that are enabled."""
        query = (
            select(func.count())
            .select_from(deliveries)
            .join(webhooks, webhooks.c.id == deliveries.c.webhook)
            .where(deliveries.c.state == "waiting", webhooks.c.enabled)
        )
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())


_OF_WEBHOOK = (
    webhooks.c.url,
    webhooks.c.secret,
    webhooks.c.old_secret,
    webhooks.c.old_until,
    webhooks.c.failing_since,
)
