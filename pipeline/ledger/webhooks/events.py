"""What happens to a tenant, noted for its webhooks in the transaction in which it happens.

An event has ids and counts, and no text.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Row

from mplus_ray.pipeline.ledger.schema import deliveries, webhooks
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope

EventType = Literal[
    "job.finished", "forget.requested", "forget.done", "document.failed", "webhook.test"
]
EVENT_TYPES: tuple[str, ...] = get_args(EventType)
IN_ONE = 100  # receipts of one event
MOST_WAITING = 10_000  # events of a webhook; those after them are not kept


def listening(connection: Connection, scope: TenantScope, kind: EventType) -> list[Row[Any]]:
    """The webhooks that are to be told of a kind of event; usually none, which is quickly known."""
    query = scope.select(webhooks, webhooks.c.id, webhooks.c.events).where(webhooks.c.enabled)
    found = connection.execute(query.order_by(webhooks.c.id))
    to = [row for row in found if not row.events or kind in row.events]
    return [row for row in to if not _is_full(connection, scope, row.id)]


def _is_full(connection: Connection, scope: TenantScope, webhook: str) -> bool:
    """Whether as many events wait for a webhook as may; then it is told of no more."""
    d = deliveries.c
    waiting = scope.select_found(deliveries, (d.webhook == webhook) & (d.state == "waiting"), d.id)
    if connection.execute(waiting.offset(MOST_WAITING - 1).limit(1)).first() is None:
        return False
    said = f"{MOST_WAITING:,} events wait for it, as many as may; some after them were not kept"
    full = scope.update(webhooks).where(webhooks.c.id == webhook, webhooks.c.reason.is_(None))
    connection.execute(full.values(reason=said))
    return True


def tell(
    connection: Connection,
    scope: TenantScope,
    kind: EventType,
    data: Mapping[str, Any],
    told: Sequence[Row[Any]] | None = None,
) -> list[str]:
    """Note an event for every webhook that listens; returns the deliveries' ids.

    The transaction keeps other writers of the tenant away.

    Args:
        data: ids and counts.
        told: webhooks, if they are known already.
    """
    to = listening(connection, scope, kind) if told is None else told
    if not to:
        return []
    now = scope.clock()
    body = {"type": kind, "timestamp": datetime.fromtimestamp(now, UTC).isoformat(), "data": data}
    event = {
        "event": f"msg_{uuid.uuid4().hex}",
        "type": kind,
        "payload": json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        "state": "waiting",
        "attempts": 0,
        "due": now,
        "created": now,
    }
    rows = [{**event, "id": uuid.uuid4().hex, "webhook": row.id} for row in to]
    scope.insert(connection, deliveries, rows)
    return [row["id"] for row in rows]


def tell_of_receipts(
    connection: Connection,
    scope: TenantScope,
    kind: EventType,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Note what became of forget requests, a hundred in one event.

    Args:
        rows: of `forgets`: `id`, `key`, `reason` and `batch`.
    """
    to = listening(connection, scope, kind)
    if not to:
        return
    for begin in range(0, len(rows), IN_ONE):
        part = rows[begin : begin + IN_ONE]
        receipts = [
            {
                "receipt_id": row["id"],
                "document_id": row["key"],
                "job_id": row["batch"] or row["id"],
                "reason": row["reason"],
            }
            for row in part
        ]
        tell(connection, scope, kind, {"documents": len(part), "receipts": receipts}, to)
