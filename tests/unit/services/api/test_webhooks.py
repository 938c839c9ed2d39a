"""`/v1/webhooks`: from a request to what arrives at a receiver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mplus_ray.services.webhooks.deliverer import DeliverySettings
from mplus_ray.services.webhooks.hosts import WebhookHosts
from tests.api_world import ApiWorld, bearer, serving, until
from tests.receivers import Receiver, receiving
from tests.worlds import load_model

HOSTS = WebhookHosts(frozenset({"127.0.0.1"}))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("webhooks")
    settings = DeliverySettings(HOSTS, poll_seconds=0.05)
    with serving(load_model(folder / "checkpoint"), folder, deliveries=settings) as world:
        yield world


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def create(api: ApiWorld, headers: dict[str, str], **fields: Any) -> tuple[str, str]:
    answer = api.client.post("/v1/webhooks", json=fields, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["webhook"]["id"], answer.json()["secret"]


def test_what_happens_to_a_tenant_arrives(api: ApiWorld, receiver: Receiver) -> None:
    headers = api.fresh()
    hook, secret = create(api, headers, url=receiver.url, description="mine")
    taken = api.memorize(headers, "A secret text of Maren Tolva.", id="maren", title="Words")
    receipt = api.client.delete("/v1/documents/maren", headers=headers).json()
    until(lambda: len(receiver.arrived) >= 3)
    events = {event["type"]: event["data"] for event in receiver.events(secret)}
    assert events.keys() == {"job.finished", "forget.requested", "forget.done"}
    assert events["job.finished"] == {
        "job_id": taken["job_id"],
        "state": "done",
        "documents": 1,
        "failed": 0,
    }
    (told,) = events["forget.done"]["receipts"]
    assert (told["receipt_id"], told["document_id"]) == (receipt["id"], "maren")
    assert not any(b"Tolva" in body or b"Words" in body for _, _, body in receiver.arrived)
    page = api.client.get(f"/v1/webhooks/{hook}/deliveries?state=delivered", headers=headers).json()
    assert {each["payload"]["type"] for each in page["deliveries"]} <= events.keys()
    assert page["next_cursor"] is None


def test_the_life_of_a_webhook(api: ApiWorld, receiver: Receiver) -> None:
    headers = api.fresh()
    hook, first = create(api, headers, url=receiver.url, events=["webhook.test"])
    path = f"/v1/webhooks/{hook}"
    (listed,) = api.client.get("/v1/webhooks", headers=headers).json()["webhooks"]
    assert listed == api.client.get(path, headers=headers).json()
    assert (listed["enabled"], listed["events"], listed["reason"]) == (True, ["webhook.test"], None)
    rotated = api.client.post(f"{path}/rotate", headers=headers).json()
    assert rotated["secret"] != first
    tested = api.client.post(f"{path}/test", headers=headers)
    assert tested.status_code == 202
    until(lambda: receiver.arrived)
    assert receiver.events(first) == receiver.events(rotated["secret"])
    assert receiver.ids == [tested.json()["event_id"]]
    delivery = f"{path}/deliveries/{tested.json()['id']}"
    until(lambda: state(api, headers, path) == "delivered")
    assert api.client.post(f"{delivery}/redeliver", headers=headers).status_code == 202
    until(lambda: len(receiver.arrived) == 2)
    assert receiver.ids == [tested.json()["event_id"]] * 2
    changed = api.client.patch(path, json={"enabled": False}, headers=headers).json()
    assert changed["enabled"] is False
    refused = api.client.post(f"{path}/test", headers=headers)
    assert refused.status_code == 422
    assert api.client.delete(path, headers=headers).status_code == 200
    assert api.client.get(path, headers=headers).status_code == 404
    assert api.client.get("/v1/webhooks", headers=headers).json() == {"webhooks": []}


def state(api: ApiWorld, headers: dict[str, str], path: str) -> Any:
    (one,) = api.client.get(f"{path}/deliveries", headers=headers).json()["deliveries"]
    return one["state"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "http://example.com/"}, "https://"),
        ({"url": "https://169.254.169.254/latest"}, "not an address of the internet"),
        ({"url": "https://[::1]/"}, "not an address of the internet"),
        ({"url": "https://x.com", "events": ["job.began"]}, "events"),
        ({"url": "https://x.com", "description": "a\nb"}, "printable"),
        ({"url": "https://x.com", "secret": "mine"}, "secret"),
    ],
)
def test_what_cannot_be_is_refused(api: ApiWorld, fields: dict[str, Any], said: str) -> None:
    headers = api.fresh()
    answer = api.client.post("/v1/webhooks", json=fields, headers=headers)
    assert answer.status_code == 422
    assert said in answer.text
    hook, _ = create(api, headers, url="https://example.com/")
    answer = api.client.patch(f"/v1/webhooks/{hook}", json=fields, headers=headers)
    assert answer.status_code == 422


def test_who_may(api: ApiWorld) -> None:
    wanted = {"url": "https://example.com/"}
    for headers in (api.fresh("query", "ingest"), bearer(api.operator)):
        assert api.client.post("/v1/webhooks", json=wanted, headers=headers).status_code == 403
        assert api.client.get("/v1/webhooks", headers=headers).status_code == 403
    assert api.client.get("/v1/webhooks").status_code == 401


def test_the_operator_says_how_many(api: ApiWorld) -> None:
    wanted = {"url": "https://example.com/"}
    headers = api.fresh(max_webhooks=1)
    create(api, headers, **wanted)
    full = api.client.post("/v1/webhooks", json=wanted, headers=headers)
    assert full.status_code == 413
    assert "may have 1 webhooks" in full.json()["detail"]
    name = api.log(headers).tenant.name
    operator = bearer(api.operator)
    api.client.patch(f"/v1/tenants/{name}", json={"max_webhooks": 2}, headers=operator)
    create(api, headers, **wanted)
    usual = api.fresh()
    for _ in range(10):
        create(api, usual, **wanted)
    assert api.client.post("/v1/webhooks", json=wanted, headers=usual).status_code == 413


def test_figures(api: ApiWorld, receiver: Receiver) -> None:
    headers = api.fresh()
    hook, _ = create(api, headers, url=receiver.url)
    api.client.post(f"/v1/webhooks/{hook}/test", headers=headers)
    until(lambda: receiver.arrived)
    operator = bearer(api.operator)
    until(lambda: "mplus_webhook_waiting 0.0" in api.client.get("/metrics", headers=operator).text)
    shown = api.client.get("/metrics", headers=operator).text
    assert 'mplus_webhook_attempts_total{outcome="delivered"}' in shown
    assert receiver.url not in shown
