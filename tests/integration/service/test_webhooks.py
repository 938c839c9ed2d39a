"""Webhooks of a real service, whose API is killed between a commit and its delivery."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.server import Server, kill, memorize, new_tenant, wait_for
from tests.receivers import receiving

pytestmark = pytest.mark.timeout(600)  # on a machine that has other things to do


@pytest.fixture
def client(server: Server, operator: httpx.Client) -> Iterator[httpx.Client]:
    made = new_tenant(server, operator, "webhooks")
    yield made
    made.close()


def test_events_survive_the_end_of_the_api(server: Server, client: httpx.Client) -> None:
    with socket.socket() as closed:  # a port that refuses, until a receiver has it
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        made = client.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{port}/hook"})
        assert made.status_code == 201, made.text
        hook, secret = made.json()["webhook"]["id"], made.json()["secret"]
        memorize(client, "The raven is black.", id="raven")

        def attempted() -> Any:
            return deliveries(client, hook)[0]["error"]

        wait_for(attempted)
        for replica in server.named("ServeReplica:mplus:Ingress"):
            kill(replica)
    with receiving(port=port) as receiver:
        wait_for(lambda: receiver.arrived, 120)
        wait_for(lambda: is_up(client) and deliveries(client, hook)[0]["state"] == "delivered", 120)
        (event,) = receiver.events(secret)
        assert event["type"] == "job.finished"
        assert receiver.ids == [deliveries(client, hook)[0]["event_id"]]
        assert client.delete("/v1/documents/raven").status_code == 202
        wait_for(lambda: len(receiver.arrived) >= 3, 120)  # a writer carries it out
        kinds = [event["type"] for event in receiver.events(secret)]
        assert kinds == ["job.finished", "forget.requested", "forget.done"]


def deliveries(client: httpx.Client, hook: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/webhooks/{hook}/deliveries")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["deliveries"])


def is_up(client: httpx.Client) -> bool:
    return client.get("/v1/webhooks").status_code == 200
