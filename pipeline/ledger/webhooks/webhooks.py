"""The webhooks of one tenant, and what became of their deliveries."""

from __future__ import annotations

import base64
import builtins
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import Connection, Row, func

from mplus_ray.model.errors import (
    InvalidInputError,
    QuotaError,
    RateLimitedError,
    WebhookNotFoundError,
)
from mplus_ray.pipeline.ledger.schema import deliveries, webhooks
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.ledger.webhooks.events import EVENT_TYPES, tell

DeliveryState = Literal["waiting", "delivered", "failed"]

MOST = 10  # webhooks of a tenant that says nothing else
_TESTS = 60  # test events of a webhook in an hour
_SECRET_BYTES = 32
_OVERLAP = 24 * 3600.0  # seconds for which a secret that was rotated signs as well
_MAX_DESCRIPTION = 200


@dataclass(frozen=True)
class Webhook:
    """Where a tenant is told of events, as it is listed: without its secret.

    Attributes:
        id: by which it is asked for.
        url: that events are posted to.
        events: kinds that it is told of; empty: all.
        description: for people.
        enabled: whether it is told.
        reason: why the service disabled it, or did not keep all its events; None: neither.
        failing_since: when its first delivery failed since the last that did not, in seconds since
            the epoch; None: none did.
        created: seconds since the epoch.
    """

    id: str
    url: str
    events: tuple[str, ...]
    description: str
    enabled: bool
    reason: str | None
    failing_since: float | None
    created: float


@dataclass(frozen=True)
class Delivery:
    """An event that a webhook is told of.

    Attributes:
        id: of this delivery.
        webhook: whom it goes to.
        event: id of the event, `webhook-id` of every attempt.
        type: kind of the event.
        payload: the body that is posted.
        state: waiting (for its first or its next attempt), delivered or failed.
        attempts: so far.
        due: when the next one is, in seconds since the epoch.
        status: of the last response; None: there was none.
        error: what went wrong in the last attempt.
        created, finished: seconds since the epoch.
    """

    id: str
    webhook: str
    event: str
    type: str
    payload: str
    state: DeliveryState
    attempts: int
    due: float
    status: int | None
    error: str | None
    created: float
    finished: float | None


class Webhooks:
    """Those of one tenant. URLs are checked by whoever takes them in."""

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope

    def create(
        self, url: str, events: Sequence[str] = (), description: str = "", most: int = MOST
    ) -> tuple[Webhook, str]:
        """A new webhook, and the secret that its deliveries are signed with, which is not shown
        again.

        Args:
            most: webhooks that the tenant may have.

        Raises:
            InvalidInputError: there is no such event, or the description is too long.
            QuotaError: it has as many.
        """
        secret, now = _new_secret(), self._scope.clock()
        row = {
            "id": uuid.uuid4().hex,
            "url": url,
            "events": _checked(events),
            "description": _described(description),
            "secret": secret,
            "enabled": True,
            "created": now,
        }
        with self._scope.writing() as connection:
            count = self._scope.select(webhooks, func.count())
            if connection.execute(count).scalar_one() >= most:
                raise QuotaError(
                    f"this tenant may have {most} webhooks, and has as many; delete one first, or "
                    "have the operator raise max_webhooks"
                )
            self._scope.insert(connection, webhooks, [row])
            return self._get(connection, str(row["id"])), secret

    def list(self) -> builtins.list[Webhook]:
        """All of them, oldest first."""
        query = self._scope.select(webhooks).order_by(webhooks.c.created, webhooks.c.id)
        with self._scope.reading() as connection:
            return [_webhook(row) for row in connection.execute(query)]

    def get(self, webhook: str) -> Webhook:
        """One.

        Raises:
            WebhookNotFoundError: there is none of that id.
        """
        with self._scope.reading() as connection:
            return self._get(connection, webhook)

    def update(
        self,
        webhook: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change what is given. Enabled again, it goes on with what waits.

        Raises:
            WebhookNotFoundError: there is none of that id.
            InvalidInputError: as `create`.
        """
        changed: dict[str, Any] = {}
        if url is not None:
            changed["url"] = url
        if events is not None:
            changed["events"] = _checked(events)
        if description is not None:
            changed["description"] = _described(description)
        if enabled is not None:
            changed |= {"enabled": enabled, "reason": None, "failing_since": None}
        with self._scope.writing() as connection:
            self._get(connection, webhook)
            if changed:
                self._set(connection, webhook, **changed)
                self._wake(connection, webhook)
            return self._get(connection, webhook)

    def delete(self, webhook: str) -> Webhook:
        """Take it away, with its deliveries; returns what it was.

        Raises:
            WebhookNotFoundError: there is none of that id.
        """
        with self._scope.writing() as connection:
            gone = self._get(connection, webhook)
            connection.execute(self._scope.delete(webhooks).where(webhooks.c.id == webhook))
        return gone

    def rotate(self, webhook: str) -> tuple[Webhook, str]:
        """A new secret; for a day deliveries are signed with the old one as well.

        Raises:
            WebhookNotFoundError: there is none of that id.
        """
        secret = _new_secret()
        with self._scope.writing() as connection:
            self._get(connection, webhook)
            until = self._scope.clock() + _OVERLAP
            old = {"old_secret": webhooks.c.secret, "old_until": until}
            self._set(connection, webhook, **old, secret=secret)
            return self._get(connection, webhook), secret

    def test(self, webhook: str) -> Delivery:
        """Have it told of an event that is only a test.

        Raises:
            WebhookNotFoundError: there is none of that id.
            InvalidInputError: it is disabled.
            RateLimitedError: it had as many in the last hour as it may.
        """
        with self._scope.writing() as connection:
            row = self._row(connection, webhook)
            if not row.enabled:
                raise InvalidInputError("the webhook is disabled; enable it first")
            self._check_tests(connection, webhook)
            (made,) = tell(connection, self._scope, "webhook.test", {"webhook_id": webhook}, [row])
            return self._delivery(connection, webhook, made)

    def deliveries(
        self,
        webhook: str,
        limit: int = 50,
        after: str | None = None,
        state: DeliveryState | None = None,
    ) -> builtins.list[Delivery]:
        """The newest first; those that were finished a week ago are gone.

        Args:
            after: id of the last delivery of the page before this one.
            state: only those in it.

        Raises:
            WebhookNotFoundError: there is no webhook of that id.
            InvalidInputError: `after` is gone; begin again.
        """
        d = deliveries.c
        query = self._scope.select(deliveries).where(d.webhook == webhook)
        if state is not None:
            query = query.where(d.state == state)
        with self._scope.reading() as connection:
            self._get(connection, webhook)
            if after is not None:
                at = connection.execute(
                    self._scope.select(deliveries).where(d.id == after, d.webhook == webhook)
                ).one_or_none()
                if at is None:
                    raise InvalidInputError(
                        f"the delivery {after[:40]!r}, where the list was to go on, is gone; list "
                        "from the start"
                    )
                same = (d.created == at.created) & (d.id < at.id)
                query = query.where((d.created < at.created) | same)
            newest = query.order_by(d.created.desc(), d.id.desc()).limit(limit)
            return [_as_delivery(row) for row in connection.execute(newest)]

    def redeliver(self, webhook: str, delivery: str) -> Delivery:
        """Have an event sent again now, with all its attempts before it.

        Raises:
            WebhookNotFoundError: there is no such webhook, or it has no such delivery.
            InvalidInputError: the webhook is disabled.
        """
        with self._scope.writing() as connection:
            found = self._get(connection, webhook)
            self._delivery(connection, webhook, delivery)
            if not found.enabled:
                raise InvalidInputError("the webhook is disabled; enable it first")
            again = {"state": "waiting", "attempts": 0, "finished": None}
            mine = self._scope.update(deliveries).where(deliveries.c.id == delivery)
            connection.execute(mine.values(**again, due=self._scope.clock()))
            self._wake(connection, webhook)
            return self._delivery(connection, webhook, delivery)

    def _check_tests(self, connection: Connection, webhook: str) -> None:
        d, now = deliveries.c, self._scope.clock()
        query = self._scope.select(deliveries, d.created).where(
            d.webhook == webhook, d.type == "webhook.test", d.created > now - 3600.0
        )
        oldest = query.order_by(d.created.desc()).offset(_TESTS - 1).limit(1)
        created = connection.execute(oldest).scalar_one_or_none()
        if created is not None:
            raise RateLimitedError(
                f"this webhook was sent {_TESTS} test events in the last hour, as many as it may; "
                "try again later",
                max(1.0, created + 3600.0 - now),
            )

    def _set(self, connection: Connection, webhook: str, **values: Any) -> None:
        mine = self._scope.update(webhooks).where(webhooks.c.id == webhook)
        connection.execute(mine.values(**values))

    def _wake(self, connection: Connection, webhook: str) -> None:
        """End the rest that it has after a failure."""
        resting = (webhooks.c.id == webhook) & webhooks.c.claim.is_(None)
        connection.execute(self._scope.update(webhooks).where(resting).values(claimed_until=0.0))

    def _row(self, connection: Connection, webhook: str) -> Row[Any]:
        query = self._scope.select(webhooks).where(webhooks.c.id == webhook)
        row = connection.execute(query).one_or_none()
        if row is None:
            raise WebhookNotFoundError(
                f"there is no webhook {webhook[:40]!r}; list them to find its id"
            )
        return row

    def _get(self, connection: Connection, webhook: str) -> Webhook:
        return _webhook(self._row(connection, webhook))

    def _delivery(self, connection: Connection, webhook: str, delivery: str) -> Delivery:
        query = self._scope.select(deliveries).where(
            deliveries.c.id == delivery, deliveries.c.webhook == webhook
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            raise WebhookNotFoundError(
                f"the webhook has no delivery {delivery[:40]!r}; list them to find its id"
            )
        return _as_delivery(row)


def _new_secret() -> str:
    """As Standard Webhooks writes them."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"


def _checked(events: Sequence[str]) -> builtins.list[str]:
    unknown = sorted(set(events) - set(EVENT_TYPES))
    if unknown:
        raise InvalidInputError(
            f"{unknown[0][:40]!r} is no event; there are {', '.join(EVENT_TYPES)}"
        )
    return sorted(set(events))


def _described(description: str) -> str:
    if len(description) > _MAX_DESCRIPTION or not description.isprintable():
        raise InvalidInputError(
            f"a description has at most {_MAX_DESCRIPTION} printable characters"
        )
    return description


def _webhook(row: Row[Any]) -> Webhook:
    values = {one.name: getattr(row, one.name) for one in fields(Webhook)}
    return Webhook(**{**values, "events": tuple(row.events)})


def _as_delivery(row: Row[Any]) -> Delivery:
    return Delivery(**{one.name: getattr(row, one.name) for one in fields(Delivery)})
