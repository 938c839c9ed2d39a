"""The client says what the service understands, and understands what it says."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import pytest

from mplus_client.client import Operations
from mplus_client.operations.access import ForLife, Limits, Scope
from mplus_client.operations.asking import Asked, Searched
from mplus_client.operations.chats import Chatted
from tests.client_models import TARGET, generated, service_schema


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return service_schema()


def test_the_models_are_those_of_the_service(schema: dict[str, Any]) -> None:
    assert generated(schema) == TARGET.read_text("utf-8"), "`make client-models` writes them anew"


@pytest.mark.parametrize(
    ("keywords", "model", "others"),
    [
        (Asked, "Query", {"question", "stream"}),
        (Searched, "Search", {"query"}),
        (Chatted, "ChatRequest", {"messages", "stream"}),
        (Limits, "TenantSettings", set()),
        (ForLife, "NewTenant", {"name"}),
    ],
)
def test_keywords_are_the_fields_of_requests(
    schema: dict[str, Any], keywords: Any, model: str, others: set[str]
) -> None:
    fields = set(schema["components"]["schemas"][model]["properties"])
    assert keywords.__required_keys__ | keywords.__optional_keys__ == fields - others


def test_arguments_of_memorize_are_the_fields_of_a_document(schema: dict[str, Any]) -> None:
    fields = set(schema["components"]["schemas"]["NewDocument"]["properties"])
    named = set(inspect.signature(Operations.memorize).parameters)
    assert named - {"self", "wait", "idempotency_key"} == fields


def test_scopes_are_those_of_a_new_key(schema: dict[str, Any]) -> None:
    scopes = schema["components"]["schemas"]["NewKey"]["properties"]["scopes"]["items"]["enum"]
    assert list(get_args(Scope)) == scopes


def test_every_route_has_an_operation(schema: dict[str, Any]) -> None:
    """Or is one of OpenAI's older protocols, or for those who run the service."""
    left_out = {"/v1/completions", "/v1/responses", "/healthz", "/readyz", "/metrics"}
    left_out |= {"/v1/models/{model_id}"}
    folder = TARGET.parent / "operations"
    source = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    for path in set(schema["paths"]) - left_out:
        first = "/".join(path.split("/")[:3])
        assert f'"{first}' in source, path
        last = path.rpartition("/")[2]
        assert last.startswith("{") or f"/{last}" in source, path
