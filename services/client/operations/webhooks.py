"""Webhooks of one's own tenant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..flow import Flow, operation
from ..models import (
    CreatedWebhook,
    DeliveryInfo,
    DeliveryPage,
    WebhookInfo,
    WebhookList,
)
from ..requests import call, given, quoted
from .core import Core

EventType = Literal[
    "job.finished", "forget.requested", "forget.done", "document.failed", "webhook.test"
]
_WEBHOOKS = "/v1/webhooks"


class Telling(Core):
    """`/v1/webhooks`."""

    @operation
    def webhooks(self) -> Flow[list[WebhookInfo]]:
        """All webhooks of this tenant, without their secrets."""
        return (yield from call(self.patience, WebhookList, "GET", _WEBHOOKS)).webhooks

    @operation
    def webhook(self, id: str) -> Flow[WebhookInfo]:  # noqa: A002 - as the service calls it
        """One; `reason` says why the service disabled it, if it did."""
        found = yield from call(self.patience, WebhookInfo, "GET", _one(id))
        return found

    @operation
    def create_webhook(
        self, url: str, *, events: Sequence[EventType] = (), description: str = ""
    ) -> Flow[CreatedWebhook]:
        """Have events posted to a URL; the secret that verifies them is shown this once.

        Args:
            events: kinds that it is told of; none named: all.
        """
        body = given(url=url, events=list(events), description=description)
        made = yield from call(
            self.patience, CreatedWebhook, "POST", _WEBHOOKS, again=False, json=body
        )
        return made

    @operation
    def change_webhook(
        self,
        id: str,  # noqa: A002 - as the service calls it
        *,
        url: str | None = None,
        events: Sequence[EventType] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Flow[WebhookInfo]:
        """Change what is given; enabled again, it goes on with what waits."""
        kinds = None if events is None else list(events)
        body = given(url=url, events=kinds, description=description, enabled=enabled)
        found = yield from call(self.patience, WebhookInfo, "PATCH", _one(id), json=body)
        return found

    @operation
    def delete_webhook(self, id: str) -> Flow[WebhookInfo]:  # noqa: A002 - as the service calls it
        """Take it away, with what it was to be told."""
        found = yield from call(self.patience, WebhookInfo, "DELETE", _one(id))
        return found

    @operation
    def rotate_webhook(self, id: str) -> Flow[CreatedWebhook]:  # noqa: A002 - as the service calls it
        """A new secret; for a day the old one signs as well."""
        made = yield from call(
            self.patience, CreatedWebhook, "POST", f"{_one(id)}/rotate", again=False
        )
        return made

    @operation
    def test_webhook(self, id: str) -> Flow[DeliveryInfo]:  # noqa: A002 - as the service calls it
        """Have an event sent that is only a test."""
        made = yield from call(self.patience, DeliveryInfo, "POST", f"{_one(id)}/test")
        return made

    @operation
    def deliveries(
        self,
        id: str,  # noqa: A002 - as the service calls it
        *,
        limit: int | None = None,
        cursor: str | None = None,
        state: Literal["waiting", "delivered", "failed"] | None = None,
    ) -> Flow[DeliveryPage]:
        """What it was told in the last week, the newest first.

        Args:
            cursor: `next_cursor` of the page before.
        """
        asked = given(limit=limit, cursor=cursor, state=state)
        found = yield from call(
            self.patience, DeliveryPage, "GET", f"{_one(id)}/deliveries", params=asked
        )
        return found

    @operation
    def redeliver(self, webhook_id: str, id: str) -> Flow[DeliveryInfo]:  # noqa: A002 - likewise
        """Have an event sent again now."""
        path = f"{_one(webhook_id)}/deliveries/{quoted(id)}/redeliver"
        made = yield from call(self.patience, DeliveryInfo, "POST", path)
        return made


def _one(name: str) -> str:
    return f"{_WEBHOOKS}/{quoted(name)}"
