"""Webhooks, and what they were told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mplus_ray.pipeline.ledger.webhooks.events import EventType
from mplus_ray.services.api.schemas.base import Request, Response, Time, example

Url = Annotated[
    str,
    Field(
        max_length=2000,
        description="https, to a host of the internet; events are posted to it.",
        examples=["https://example.com/hooks/mplus"],
    ),
]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must have printable characters only")
    return text


Description = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
_EVENTS = "The kinds that it is told of; none named: all."


class NewWebhook(Request):
    """Where this tenant is to be told what happens."""

    model_config = example(
        {"url": "https://example.com/hooks/mplus", "events": ["job.finished", "forget.done"]}
    )

    url: Url
    events: list[EventType] = Field([], max_length=20, description=_EVENTS)
    description: Description = Field("", description="For people.")


class WebhookChanges(Request):
    """What of a webhook is to be otherwise; what is not given stays."""

    model_config = example({"enabled": True})

    url: Url | None = None
    events: list[EventType] | None = Field(None, max_length=20, description=_EVENTS)
    description: Description | None = None
    enabled: bool | None = Field(
        None, description="True also forgets why the service disabled it, and goes on."
    )


class WebhookInfo(Response):
    """A webhook without its secret."""

    id: str
    url: str
    events: list[str] = Field(description="Kinds that it is told of; empty: all.")
    description: str
    enabled: bool
    reason: str | None = Field(
        description="Why the service disabled it, or did not keep all its events; else null."
    )
    failing_since: Time | None = Field(
        description="Since when no delivery has succeeded; null: the last one did, or none failed."
    )
    created: Time


class CreatedWebhook(Response):
    """A webhook and its secret, which is shown this once."""

    webhook: WebhookInfo
    secret: str = Field(
        description="For a library of Standard Webhooks, to verify what arrives.",
        examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
    )


class WebhookList(Response):
    """All webhooks of this tenant, oldest first."""

    webhooks: list[WebhookInfo]


class DeliveryInfo(Response):
    """An event, and what became of telling a webhook of it."""

    id: str
    event_id: str = Field(description="`webhook-id` of every attempt, and for every webhook.")
    type: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    next_attempt: Time | None = Field(description="While it is waiting.")
    status: int | None = Field(description="Of the last response, if there was one.")
    error: str | None = Field(description="What went wrong in the last attempt.")
    created: Time
    finished: Time | None
    payload: dict[str, Any] = Field(description="The body that is posted.")


class DeliveryPage(Response):
    """Deliveries, the newest first."""

    deliveries: list[DeliveryInfo]
    next_cursor: str | None = Field(description="For the next page; null on the last.")
