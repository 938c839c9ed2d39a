"""Webhooks' events: which there are, in which transaction, for whom, and whose turn it is."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

import mplus_ray.pipeline.ledger.webhooks.events
from mplus_ray.model.errors import (
    InvalidInputError,
    QuotaError,
    RateLimitedError,
    WebhookNotFoundError,
)
from mplus_ray.pipeline.ledger.delivery_queue import KEPT_SECONDS, Attempt, Claim, DeliveryQueue
from mplus_ray.pipeline.ledger.documents.jobs import RefusedDocument
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.ledger.webhooks.events import tell
from mplus_ray.pipeline.ledger.webhooks.webhooks import Webhook
from tests.logs import Clock, build_without, memorize, put

pytest_plugins = ["tests.postgres"]

URL = "https://example.com/hook"


@pytest.fixture
def log(ledger: Ledger) -> TenantLog:
    return ledger.create_tenant("anna", "f1")


def hook(log: TenantLog, *events: str) -> Webhook:
    return log.webhooks.create(URL, events)[0]


def told(log: TenantLog, webhook: Webhook) -> list[tuple[str, dict[str, Any]]]:
    """(type, data) of each event, oldest first."""
    found = log.webhooks.deliveries(webhook.id, 1000)
    bodies = [json.loads(one.payload) for one in reversed(found)]
    assert [body["type"] for body in bodies] == [one.type for one in reversed(found)]
    return [(body["type"], body["data"]) for body in bodies]


def claims(queue: DeliveryQueue, most: int = 10, **options: Any) -> list[Claim]:
    return queue.claim(most, options.get("busy", {}), options.get("most_of_one", 8), 60.0)


class TestEvents:
    def test_a_job_is_told_once_when_its_last_document_is_memorized(self, log: TenantLog) -> None:
        mine = hook(log, "job.finished")
        job = log.jobs.create(
            [put(log, "a").document, put(log, "b").document], [RefusedDocument("x", "torn")]
        )
        lease = log.heads.claim("w", 10)
        memorize(log, lease, [2])
        assert told(log, mine) == []
        memorize(log, lease, [4])
        counts = {"documents": 2, "failed": 1}
        assert told(log, mine) == [("job.finished", {"job_id": job.id, "state": "done", **counts})]
        put(log, "c")
        memorize(log, lease, [6])
        log.forgets.request("a")
        assert len(told(log, mine)) == 1

    def test_a_job_without_anything_to_do_is_told_at_once(self, log: TenantLog) -> None:
        known = put(log, "a")
        memorize(log, log.heads.claim("w", 10), [2])
        mine = hook(log)
        done = log.jobs.create([known.document])
        failed = log.jobs.create([], [RefusedDocument("x", "torn")])
        states = {data["job_id"]: data["state"] for _, data in told(log, mine)}
        assert states == {done.id: "done", failed.id: "failed"}

    def test_a_job_whose_rest_is_forgotten_is_done(self, log: TenantLog, clock: Clock) -> None:
        mine = hook(log, "job.finished")
        log.jobs.create([put(log, "a").document])
        clock.now += 1
        log.forgets.request("a")
        assert [kind for kind, _ in told(log, mine)] == ["job.finished"]

    def test_receipts_are_told_when_masked_and_when_purged(
        self, log: TenantLog, clock: Clock
    ) -> None:
        put(log, "a")
        put(log, "b")
        lease = log.heads.claim("w", 10_000)
        memorize(log, lease, [4])
        mine = hook(log)
        head = build_without(log, lease, ["a"])
        (pending,) = log.forgets.pending()
        assert [kind for kind, _ in told(log, mine)] == ["forget.requested"]
        log.heads.swap(lease, head.id)
        clock.now += 1
        log.forgets.mark_purged([pending.receipt.id])
        log.forgets.mark_purged([pending.receipt.id])
        receipt = {
            "receipt_id": pending.receipt.id,
            "document_id": "a",
            "job_id": pending.receipt.id,
            "reason": "asked",
        }
        data = {"documents": 1, "receipts": [receipt]}
        assert told(log, mine) == [("forget.requested", data), ("forget.done", data)]

    def test_what_expires_and_what_is_replaced_is_told(self, log: TenantLog, clock: Clock) -> None:
        log.set_limits(ttl=10.0)
        put(log, "a")
        mine = hook(log, "forget.requested")
        put(log, "a", version="2")
        clock.now += 11
        assert log.forgets.expire() == 1
        reasons = [data["receipts"][0]["reason"] for _, data in told(log, mine)]
        assert reasons == ["replaced", "expired"]

    def test_many_at_once_are_told_by_the_hundred(self, log: TenantLog) -> None:
        for number in range(103):
            put(log, f"k{number}", count=1)
        mine = hook(log)
        receipt = log.forgets.request_all(Filter(ids=tuple(f"k{n}" for n in range(103))))
        datas = [data for _, data in told(log, mine)]
        assert sorted(data["documents"] for data in datas) == [3, 100]
        assert {one["job_id"] for data in datas for one in data["receipts"]} == {receipt.id}

    def test_a_source_that_cannot_be_read_is_told_without_its_text(self, log: TenantLog) -> None:
        mine = hook(log)
        log.failures.add("x.pdf", "encrypted")
        assert told(log, mine) == [("document.failed", {"source": "x.pdf"})]

    def test_events_do_not_pile_up(self, log: TenantLog, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mplus_ray.pipeline.ledger.webhooks.events, "MOST_WAITING", 3)
        mine = hook(log)
        for number in range(5):
            log.failures.add(f"{number}.pdf", "encrypted")
        assert len(told(log, mine)) == 3
        found = log.webhooks.get(mine.id)
        assert found.enabled
        assert "3 events wait" in str(found.reason)
        assert log.webhooks.update(mine.id, enabled=True).reason is None

    def test_tests_are_counted(self, log: TenantLog, clock: Clock) -> None:
        mine = hook(log)
        for _ in range(60):
            log.webhooks.test(mine.id)
            clock.now += 1
        with pytest.raises(RateLimitedError) as refused:
            log.webhooks.test(mine.id)
        clock.now += refused.value.retry_after
        log.webhooks.test(mine.id)

    def test_what_is_rolled_back_is_not_told(self, log: TenantLog) -> None:
        def fail() -> None:
            with log.scope.writing() as connection:
                assert tell(connection, log.scope, "job.finished", {"job_id": "j"})
                raise RuntimeError

        mine = hook(log)
        with pytest.raises(RuntimeError):
            fail()
        assert told(log, mine) == []

    def test_each_is_told_of_its_kinds_and_its_tenant(self, ledger: Ledger, log: TenantLog) -> None:
        other = ledger.create_tenant("bela", "f1")
        every, one, disabled, others = hook(log), hook(log, "forget.done"), hook(log), hook(other)
        log.webhooks.update(disabled.id, enabled=False)
        log.failures.add("x", "torn")
        assert [len(told(log, each)) for each in (every, one, disabled)] == [1, 0, 0]
        assert told(other, others) == []
        with pytest.raises(WebhookNotFoundError):
            other.webhooks.deliveries(every.id)
        for ask in (other.webhooks.get, other.webhooks.delete, other.webhooks.rotate):
            with pytest.raises(WebhookNotFoundError):
                ask(every.id)


class TestWebhooks:
    def test_there_are_so_many_at_most(self, log: TenantLog) -> None:
        for _ in range(2):
            log.webhooks.create(URL, most=2)
        with pytest.raises(QuotaError, match="may have 2"):
            log.webhooks.create(URL, most=2)

    @pytest.mark.parametrize(
        ("fields", "said"),
        [({"events": ["job.began"]}, "is no event"), ({"description": "x" * 201}, "at most 200")],
    )
    def test_what_cannot_be_is_refused(
        self, log: TenantLog, fields: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=said):
            log.webhooks.create(URL, **fields)

    def test_pages_of_deliveries(self, log: TenantLog, clock: Clock) -> None:
        mine = hook(log)
        made = []
        for _ in range(5):
            clock.now += 1
            made.append(log.webhooks.test(mine.id).id)
        first = log.webhooks.deliveries(mine.id, 2)
        rest = log.webhooks.deliveries(mine.id, 10, first[-1].id)
        assert [one.id for one in [*first, *rest]] == made[::-1]
        with pytest.raises(InvalidInputError, match="is gone"):
            log.webhooks.deliveries(mine.id, 2, "nothing")

    def test_a_tenant_that_goes_takes_them_along(self, ledger: Ledger, log: TenantLog) -> None:
        mine = hook(log)
        log.webhooks.test(mine.id)
        gone = ledger.delete_tenant("anna")
        assert claims(ledger.deliveries) == []
        ledger.marked.begin_removal(gone.id)
        ledger.marked.remove(gone.id)
        again = ledger.create_tenant("anna", "f1")
        assert again.webhooks.list() == []
        assert ledger.deliveries.waiting() == 0


class TestQueue:
    def test_one_has_a_webhook_at_a_time(self, ledger: Ledger, log: TenantLog) -> None:
        mine = hook(log)
        log.webhooks.test(mine.id)
        start, found = threading.Barrier(4), []

        def claim() -> None:
            start.wait()
            found.extend(claims(ledger.deliveries))

        threads = [threading.Thread(target=claim) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.webhook for one in found] == [mine.id]

    def test_events_come_in_their_order_and_wait_for_their_time(
        self, ledger: Ledger, log: TenantLog, clock: Clock
    ) -> None:
        queue, mine, made = ledger.deliveries, hook(log), []
        for _ in range(3):
            clock.now += 1
            made.append(log.webhooks.test(mine.id).id)
        (claim,) = claims(queue)
        first = queue.next(claim)
        assert first is not None
        assert first.id == made[0]
        queue.note(claim, first, Attempt(500, "it failed", clock.now + 30))
        second = queue.next(claim)
        assert second is not None
        assert second.id == made[1]
        queue.note(claim, second, Attempt(200))
        third = queue.next(claim)
        assert third is not None
        queue.note(claim, third, Attempt(None, "gone", None))
        assert queue.next(claim) is None
        clock.now += 31
        again = queue.next(claim)
        assert again is not None
        assert (again.id, again.event, again.attempts) == (made[0], first.event, 1)
        shown = {one.id: one for one in log.webhooks.deliveries(mine.id)}
        assert [shown[name].state for name in made] == ["waiting", "delivered", "failed"]
        assert (shown[made[0]].status, shown[made[0]].error) == (500, "it failed")

    def test_a_claim_that_runs_out_is_another_ones(
        self, ledger: Ledger, log: TenantLog, clock: Clock
    ) -> None:
        queue, mine = ledger.deliveries, hook(log)
        log.webhooks.test(mine.id)
        (claim,) = claims(queue)
        due = queue.next(claim)
        assert due is not None
        assert claims(queue) == []
        clock.now += 61
        (other,) = claims(queue)
        assert queue.next(claim) is None
        assert queue.next(other) == due
        queue.release(claim, 0.0)
        assert claims(queue) == [], "whoever lost it gives nothing back"

    def test_a_tenant_has_a_share(self, ledger: Ledger, log: TenantLog) -> None:
        other = ledger.create_tenant("bela", "f1")
        for each in (log, log, log, other):
            each.webhooks.test(hook(each).id)
        found = claims(ledger.deliveries, most_of_one=2)
        assert sorted(one.family for one in found) == sorted(
            [log.tenant.id, log.tenant.id, other.tenant.id]
        )
        assert claims(ledger.deliveries, most_of_one=2, busy={log.tenant.id: 2}) == []

    def test_it_is_disabled_with_a_reason_and_goes_on_when_enabled(
        self, ledger: Ledger, log: TenantLog
    ) -> None:
        queue, mine = ledger.deliveries, hook(log)
        log.webhooks.test(mine.id)
        (claim,) = claims(queue)
        due = queue.next(claim)
        assert due is not None
        queue.note(claim, due, Attempt(410, "gone", None, disable="the receiver is gone"))
        queue.release(claim, 0.0)
        shown = log.webhooks.get(mine.id)
        assert (shown.enabled, shown.reason) == (False, "the receiver is gone")
        assert shown.failing_since is not None
        with pytest.raises(InvalidInputError, match="disabled"):
            log.webhooks.redeliver(mine.id, due.id)
        shown = log.webhooks.update(mine.id, enabled=True)
        assert (shown.enabled, shown.reason, shown.failing_since) == (True, None, None)
        again = log.webhooks.redeliver(mine.id, due.id)
        assert (again.state, again.attempts, again.event) == ("waiting", 0, due.event)
        (claim,) = claims(queue)
        assert queue.next(claim) == due

    def test_an_old_secret_signs_for_a_day(
        self, ledger: Ledger, log: TenantLog, clock: Clock
    ) -> None:
        mine, old = log.webhooks.create(URL)
        _, new = log.webhooks.rotate(mine.id)
        log.webhooks.test(mine.id)
        (claim,) = claims(ledger.deliveries)
        due = ledger.deliveries.next(claim)
        assert due is not None
        assert due.secrets == (new, old)
        clock.now += 24 * 3600 + 1
        (claim,) = claims(ledger.deliveries)
        due = ledger.deliveries.next(claim)
        assert due is not None
        assert due.secrets == (new,)

    def test_deliveries_are_purged_after_a_week(
        self, ledger: Ledger, log: TenantLog, clock: Clock
    ) -> None:
        mine = hook(log)
        log.webhooks.test(mine.id)
        clock.now += KEPT_SECONDS - 1
        log.webhooks.test(mine.id)
        assert ledger.deliveries.purge() == 0
        clock.now += 2
        assert ledger.deliveries.purge() == 1
        assert len(log.webhooks.deliveries(mine.id)) == 1
