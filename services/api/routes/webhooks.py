"""`/v1/webhooks`: where a tenant is told what happens, and what became of that."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import Query

from mplus_ray.pipeline.ledger.api_keys import KeyScope
from mplus_ray.pipeline.ledger.webhooks.webhooks import Delivery, DeliveryState, Webhook
from mplus_ray.services.api.auth import DepsOf, TenantOf, guarded
from mplus_ray.services.api.openapi import problems
from mplus_ray.services.api.schemas.base import iso, iso_or_none
from mplus_ray.services.api.schemas.webhooks import (
    CreatedWebhook,
    DeliveryInfo,
    DeliveryPage,
    NewWebhook,
    WebhookChanges,
    WebhookInfo,
    WebhookList,
)

router = guarded(KeyScope.ADMIN, tag="webhooks")


@router.get("/v1/webhooks", responses=problems())
def list_webhooks(log: TenantOf) -> WebhookList:
    """All webhooks of this tenant."""
    return WebhookList(webhooks=[to_info(each) for each in log.webhooks.list()])


@router.post("/v1/webhooks", status_code=201, responses=problems())
def create_webhook(body: NewWebhook, log: TenantOf, deps: DepsOf) -> CreatedWebhook:
    """A new webhook. Its secret is shown this once."""
    deps.deliveries.hosts.check_url(body.url)
    most = log.tenant.max_webhooks
    made, secret = log.webhooks.create(
        body.url, body.events, body.description, deps.limits.webhooks if most is None else most
    )
    return CreatedWebhook(webhook=to_info(made), secret=secret)


@router.get("/v1/webhooks/{webhook_id}", responses=problems(404))
def show_webhook(webhook_id: str, log: TenantOf) -> WebhookInfo:
    """One webhook."""
    return to_info(log.webhooks.get(_possible(webhook_id)))


@router.patch("/v1/webhooks/{webhook_id}", responses=problems(404))
def change_webhook(
    webhook_id: str, body: WebhookChanges, log: TenantOf, deps: DepsOf
) -> WebhookInfo:
    """Change what is given; enabled again, it goes on with what waits."""
    if body.url is not None:
        deps.deliveries.hosts.check_url(body.url)
    given = body.model_dump(exclude_none=True)
    return to_info(log.webhooks.update(_possible(webhook_id), **given))


@router.delete("/v1/webhooks/{webhook_id}", responses=problems(404))
def delete_webhook(webhook_id: str, log: TenantOf) -> WebhookInfo:
    """Take a webhook away, with what it was to be told."""
    return to_info(log.webhooks.delete(_possible(webhook_id)))


@router.post("/v1/webhooks/{webhook_id}/rotate", responses=problems(404))
def rotate_webhook_secret(webhook_id: str, log: TenantOf) -> CreatedWebhook:
    """A new secret. For a day deliveries are signed with the old one as well."""
    made, secret = log.webhooks.rotate(_possible(webhook_id))
    return CreatedWebhook(webhook=to_info(made), secret=secret)


@router.post("/v1/webhooks/{webhook_id}/test", status_code=202, responses=problems(404, 429))
def test_webhook(webhook_id: str, log: TenantOf) -> DeliveryInfo:
    """Have an event `webhook.test` sent; its delivery is among the others."""
    return to_delivery(log.webhooks.test(_possible(webhook_id)))


@router.get("/v1/webhooks/{webhook_id}/deliveries", responses=problems(404))
def list_deliveries(
    webhook_id: str,
    log: TenantOf,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, pattern=r"^[0-9a-f]+$")] = None,
    state: DeliveryState | None = None,
) -> DeliveryPage:
    """Deliveries of the last week, the newest first."""
    found = log.webhooks.deliveries(_possible(webhook_id), limit + 1, cursor, state)
    page = found[:limit]
    more = page[-1].id if len(found) > len(page) else None
    return DeliveryPage(deliveries=[to_delivery(each) for each in page], next_cursor=more)


@router.post(
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    responses=problems(404),
)
def redeliver(webhook_id: str, delivery_id: str, log: TenantOf) -> DeliveryInfo:
    """Have an event sent again now, whatever became of it."""
    return to_delivery(log.webhooks.redeliver(_possible(webhook_id), _possible(delivery_id)))


def to_info(webhook: Webhook) -> WebhookInfo:
    """A webhook as it is shown."""
    return WebhookInfo(
        id=webhook.id,
        url=webhook.url,
        events=list(webhook.events),
        description=webhook.description,
        enabled=webhook.enabled,
        reason=webhook.reason,
        failing_since=iso_or_none(webhook.failing_since),
        created=iso(webhook.created),
    )


def to_delivery(delivery: Delivery) -> DeliveryInfo:
    """A delivery as it is shown."""
    return DeliveryInfo(
        id=delivery.id,
        event_id=delivery.event,
        type=delivery.type,
        state=delivery.state,
        attempts=delivery.attempts,
        next_attempt=iso(delivery.due) if delivery.state == "waiting" else None,
        status=delivery.status,
        error=delivery.error,
        created=iso(delivery.created),
        finished=iso_or_none(delivery.finished),
        payload=json.loads(delivery.payload),
    )


def _possible(name: str) -> str:
    """Without what no database looks for."""
    return name.replace("\0", "?")
