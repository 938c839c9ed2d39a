"""What the OpenAPI document says, and whatever else one can think of, sent by one of two tenants.

Schemathesis makes requests that are valid by the document, and requests that are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.problems.openai_paths import speaks_openai
from tests.api_world import ApiWorld, bearer, serving
from tests.isolation import Planted, Watched, plant, watched
from tests.isolation_probes import PROBES
from tests.worlds import load_model

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
schemathesis.serializer.alias("application/x-tar", "application/octet-stream")
EXAMPLES = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
OPERATORS = [
    each
    for each in PROBES
    if each[1].startswith("/v1/tenants") or each[1] in ("/metrics", "/v1/status")
]
LIMITS = Limits(max_tokens=8, catch_up_seconds=0.2, wait_seconds=20.0, parse_seconds=20.0)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("schema")
    with serving(load_model(folder / "checkpoint"), folder, limits=LIMITS) as world:
        yield world


@pytest.fixture(scope="module")
def theirs(api: ApiWorld) -> Planted:
    return plant(api)


@pytest.fixture(scope="module")
def other(api: ApiWorld, theirs: Planted) -> Watched:
    return watched(api, theirs, "other")


@pytest.fixture(scope="module")
def schema(api: ApiWorld) -> Any:
    return schemathesis.openapi.from_dict(api.client.get("/openapi.json").json())


def sent(case: Any, headers: dict[str, str]) -> dict[str, Any]:
    """A made-up request as our client takes it."""
    options = case.as_transport_kwargs(base_url="http://testserver", headers=headers)
    options.pop("allow_redirects", None)
    ready = requests.Request(**options).prepare()
    return {
        "method": ready.method,
        "url": ready.url,
        "headers": dict(ready.headers),
        "content": ready.body,
    }


def check(case: Any, answer: httpx2.Response) -> None:
    if answer.status_code == 504:  # a step that is not there yet, which is not the server's fault
        assert "min_step" in str(case.body)
        return
    case.validate_response(answer, checks=CHECKS)
    if answer.is_error and not speaks_openai(case.path):
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("each", PROBES, ids=" ".join)
def test_what_comes_back_is_as_described_and_of_nobody_else(
    other: Watched, schema: Any, each: tuple[str, str], mode: GenerationMode
) -> None:
    method, path = each
    operation = schema[path][method]
    if mode is GenerationMode.NEGATIVE and not (
        operation.body or list(operation.iter_parameters())
    ):
        return  # nothing of it can be wrong

    @EXAMPLES
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        request = sent(case, other.headers)
        check(case, other.send(request.pop("method"), request.pop("url"), **request))

    run()


@pytest.mark.parametrize("each", OPERATORS, ids=" ".join)
def test_what_the_operator_is_told_is_as_described(
    api: ApiWorld, schema: Any, each: tuple[str, str]
) -> None:
    method, path = each

    @EXAMPLES
    @given(case=schema[path][method].as_strategy())
    def run(case: Any) -> None:
        check(case, api.client.request(**sent(case, bearer(api.operator))))

    run()
