"""Events on their way to real receivers: signed, in order, again, and none held up by another."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from standardwebhooks.webhooks import WebhookVerificationError

from mplus_ray.pipeline.ledger.delivery_queue import DueDelivery
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.services.webhooks.deliverer import Deliverer, DeliverySettings
from mplus_ray.services.webhooks.hosts import WebhookHosts
from mplus_ray.services.webhooks.retries import PAUSES, failed, seconds_of
from tests.api_world import until
from tests.receivers import receiving

LOOPBACK = WebhookHosts(frozenset({"127.0.0.1"}))
SETTINGS = DeliverySettings(LOOPBACK, poll_seconds=0.02, attempt_seconds=1.0, claim_seconds=2.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield made
    made.close()


@pytest.fixture
def log(ledger: Ledger) -> TenantLog:
    return ledger.create_tenant("anna", "f1")


@contextmanager
def delivering(
    ledger: Ledger, settings: DeliverySettings = SETTINGS, registry: CollectorRegistry | None = None
) -> Iterator[None]:
    """A deliverer in a thread."""
    loop = asyncio.new_event_loop()
    deliverer = Deliverer(ledger, settings, registry or CollectorRegistry())
    task = loop.create_task(deliverer.run())

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(30)


def states(log: TenantLog, webhook: str) -> list[str]:
    return [one.state for one in log.webhooks.deliveries(webhook, 1000)]


def test_events_arrive_signed_and_in_order(ledger: Ledger, log: TenantLog) -> None:
    registry = CollectorRegistry()
    with receiving() as receiver, delivering(ledger, registry=registry):
        hook, secret = log.webhooks.create(receiver.url)
        made = [log.webhooks.test(hook.id).event for _ in range(30)]
        until(lambda: len(receiver.arrived) == 30)
        until(lambda: states(log, hook.id) == ["delivered"] * 30)
    assert receiver.ids == made
    assert [body["type"] for body in receiver.events(secret)] == ["webhook.test"] * 30
    headers = receiver.arrived[0][1]
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{receiver.server.server_port}"
    with pytest.raises(WebhookVerificationError):
        receiver.events(log.webhooks.rotate(hook.id)[1])
    delivered = {"outcome": "delivered"}
    assert registry.get_sample_value("mplus_webhook_attempts_total", delivered) == 30


def test_both_secrets_verify_after_a_rotation(ledger: Ledger, log: TenantLog) -> None:
    with receiving() as receiver, delivering(ledger):
        hook, old = log.webhooks.create(receiver.url)
        _, new = log.webhooks.rotate(hook.id)
        log.webhooks.test(hook.id)
        until(lambda: receiver.arrived)
    assert receiver.events(old) == receiver.events(new)


def test_what_fails_is_sent_again_under_the_same_id(ledger: Ledger, log: TenantLog) -> None:
    with receiving(lambda number: (503 if number == 0 else 204, {})) as receiver:
        with delivering(ledger):
            hook, secret = log.webhooks.create(receiver.url)
            event = log.webhooks.test(hook.id).event
            until(lambda: log.webhooks.get(hook.id).failing_since)
            (shown,) = log.webhooks.deliveries(hook.id)
            assert (shown.state, shown.status, shown.attempts) == ("waiting", 503, 1)
            assert shown.error == "the receiver answered 503; it has to answer 2xx"
            assert 3 < shown.due - time.time() < 7
            until(lambda: states(log, hook.id) == ["delivered"])
        assert receiver.ids == [event, event]
        first, second = (headers["webhook-timestamp"] for _, headers, _ in receiver.arrived)
        assert int(second) - int(first) >= 3
        assert receiver.events(secret)
        assert log.webhooks.get(hook.id).failing_since is None


def test_retry_after_and_redirects(ledger: Ledger, log: TenantLog) -> None:
    answers = [(429, {"retry-after": "3000"}), (302, {"location": "http://127.0.0.1:1/"})]
    with receiving(lambda number: answers[number % 2]) as receiver, delivering(ledger):
        hook, _ = log.webhooks.create(receiver.url)
        log.webhooks.test(hook.id)
        until(lambda: log.webhooks.deliveries(hook.id)[0].status == 429)
        assert log.webhooks.deliveries(hook.id)[0].due - time.time() > 2900
        hook, _ = log.webhooks.create(receiver.url)
        log.webhooks.test(hook.id)
        until(lambda: log.webhooks.deliveries(hook.id)[0].status == 302)
        assert "redirects are not followed" in (log.webhooks.deliveries(hook.id)[0].error or "")
        assert len(receiver.arrived) == 2


def test_a_receiver_that_is_gone_is_told_no_more(ledger: Ledger, log: TenantLog) -> None:
    with (
        receiving(lambda number: (410 if number == 0 else 200, {})) as receiver,
        delivering(ledger),
    ):
        hook, _ = log.webhooks.create(receiver.url)
        log.webhooks.test(hook.id)
        until(lambda: not log.webhooks.get(hook.id).enabled)
        assert log.webhooks.get(hook.id).reason == "the receiver answered 410 Gone"
        (gone,) = log.webhooks.deliveries(hook.id)
        assert gone.state == "failed"
        log.webhooks.update(hook.id, enabled=True)
        log.webhooks.redeliver(hook.id, gone.id)
        until(lambda: states(log, hook.id) == ["delivered"])


def test_a_dead_and_a_slow_receiver_hold_up_nobody_else(ledger: Ledger, log: TenantLog) -> None:
    slow, over = ledger.create_tenant("slow", "f1"), threading.Event()

    def wait(_: int) -> tuple[int, dict[str, str]]:
        over.wait(20)
        return 200, {}

    try:
        with receiving() as quick, receiving(wait) as stuck, delivering(ledger):
            for url in [stuck.url] * 6 + ["http://127.0.0.1:1/"] * 6:
                hook, _ = slow.webhooks.create(url, most=12)
                for _ in range(5):
                    slow.webhooks.test(hook.id)
            until(lambda: stuck.arrived)
            mine, _ = log.webhooks.create(quick.url)
            began = time.monotonic()
            for _ in range(10):
                log.webhooks.test(mine.id)
            until(lambda: len(quick.arrived) == 10)
            print(f"ten events beside them in {time.monotonic() - began:.2f} s")
            failing = slow.webhooks.list()
            until(lambda: all(slow.webhooks.get(one.id).failing_since for one in failing))
            reasons = {
                slow.webhooks.deliveries(one.id, state="waiting")[-1].error for one in failing
            }
            assert "no answer came in 1 s" in reasons
            assert any("cannot be connected to" in (each or "") for each in reasons)
            assert states(log, mine.id) == ["delivered"] * 10
    finally:
        over.set()


def test_a_tenant_and_its_forks_have_their_turn_together(ledger: Ledger, log: TenantLog) -> None:
    forks = [ledger.fork_tenant(log, f"anna/{each}") for each in "ab"]
    other = ledger.create_tenant("bruno", "f1")
    for each in (log, *forks, other):
        for _ in range(4):
            hook, _ = each.webhooks.create("https://example.com/")
            each.webhooks.test(hook.id)
    claims = ledger.deliveries.claim(100, {}, 8, 60.0)
    families = [claim.family for claim in claims]
    assert families.count(log.tenant.id) == 8
    assert families.count(other.tenant.id) == 4
    assert ledger.deliveries.claim(100, {log.tenant.id: 8}, 8, 60.0) == []


def test_an_address_inside_is_not_connected_to(ledger: Ledger, log: TenantLog) -> None:
    """However it came into the ledger: it is checked by whoever connects."""
    with receiving() as receiver, delivering(ledger, DeliverySettings(poll_seconds=0.02)):
        hook, _ = log.webhooks.create(receiver.url)
        log.webhooks.test(hook.id)
        until(lambda: log.webhooks.get(hook.id).failing_since)
        (shown,) = log.webhooks.deliveries(hook.id)
        assert shown.error == "its host has an address that is not of the internet"
        assert receiver.arrived == []


def test_two_deliverers_send_each_event_once(ledger: Ledger, log: TenantLog) -> None:
    other = Ledger(ledger._database.url)
    hooks = []
    try:
        with receiving() as receiver, delivering(ledger), delivering(other):
            for _ in range(4):
                hook, _ = log.webhooks.create(receiver.url)
                hooks.append(hook.id)
            for _ in range(25):
                for hook_id in hooks:
                    log.webhooks.test(hook_id)
            until(lambda: all(states(log, each) == ["delivered"] * 25 for each in hooks))
            assert len(receiver.ids) == len(set(receiver.ids)) == 100
    finally:
        other.close()


_PROCESS = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.services.webhooks.deliverer import Deliverer, DeliverySettings
from mplus_ray.services.webhooks.hosts import WebhookHosts
settings = DeliverySettings(WebhookHosts(frozenset({"127.0.0.1"})), 0.02, 20.0, 2.0)
asyncio.run(Deliverer(Ledger(sys.argv[1]), settings, CollectorRegistry()).run())
"""


def test_what_a_killed_process_was_sending_is_sent_again(
    ledger: Ledger, log: TenantLog, tmp_path: Path
) -> None:
    """SIGKILL between the POST and the note of it: at least once, and the id is the same."""
    killed = threading.Event()

    def answer(_: int) -> tuple[int, dict[str, str]]:
        killed.wait(30)
        return 200, {}

    with receiving(answer) as receiver:
        hook, secret = log.webhooks.create(receiver.url)
        events = [log.webhooks.test(hook.id).event for _ in range(3)]
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        line = [sys.executable, "-c", _PROCESS, url]
        with subprocess.Popen(line, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
            until(lambda: receiver.arrived, 60)
            process.send_signal(signal.SIGKILL)
        killed.set()
        assert states(log, hook.id) == ["waiting"] * 3
        with delivering(ledger):
            until(lambda: states(log, hook.id) == ["delivered"] * 3)
        assert receiver.ids == [events[0], *events]
        assert len(receiver.events(secret)) == 4


def sent(attempts: int, failing_since: float | None = None) -> DueDelivery:
    return DueDelivery("d", "e", "https://x", "{}", ("s",), attempts, 0.0, failing_since)


class TestRetries:
    def test_they_take_about_a_day(self) -> None:
        pauses = [(failed(sent(n), 0.0, "x").again_at or 0.0) for n in range(len(PAUSES))]
        assert 20 * 3600 < sum(pauses) < 30 * 3600
        for pause, wanted in zip(pauses, PAUSES, strict=True):
            assert 0.8 * wanted <= pause <= 1.2 * wanted
        assert failed(sent(len(PAUSES)), 0.0, "x").again_at is None

    def test_a_receiver_may_ask_for_more_time_and_not_for_less(self) -> None:
        assert failed(sent(0), 0.0, "x", 429, 60.0).again_at == 60.0
        assert (failed(sent(0), 0.0, "x", 429, 0.0).again_at or 0) >= 4
        assert failed(sent(0), 0.0, "x", 429, 1e9).again_at == 24 * 3600
        assert seconds_of("120", 0.0) == 120
        assert seconds_of("Thu, 01 Jan 1970 00:01:00 GMT", 10.0) == 50
        assert seconds_of("soon", 0.0) is None

    def test_days_of_failures_disable(self) -> None:
        assert failed(sent(3, 0.0), 2 * 86_400.0, "x").disable is None
        assert "for 4 days" in (failed(sent(3, 0.0), 4 * 86_400.0, "x").disable or "")
