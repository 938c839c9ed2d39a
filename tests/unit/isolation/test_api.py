"""Every operation, asked by one tenant about what is another's.

Two tenants that are alike do the same things at the same time, one with ids of a third and one
with ids that never were. They must not be able to tell which of them they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.api_world import ApiWorld, serving, until
from tests.isolation import STEM, Planted, Watched, plant, shape, watched
from tests.isolation_probes import NAMELESS, PROBES, QUESTIONS, UNDESCRIBED, Probe
from tests.worlds import load_model

Twins = tuple[tuple[Watched, dict[str, str]], tuple[Watched, dict[str, str]]]

EVERY = [
    pytest.param(method, probe, id=f"{method} {path} {number}")
    for (method, path), probes in PROBES.items()
    for number, probe in enumerate(probes)
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("isolation")
    with serving(load_model(folder / "checkpoint"), folder) as world:
        yield world


@pytest.fixture(scope="module")
def theirs(api: ApiWorld) -> Planted:
    return plant(api)


@pytest.fixture(scope="module")
def before(api: ApiWorld, theirs: Planted) -> dict[str, str]:
    return seen_by_owner(api, theirs)


@pytest.fixture(scope="module")
def twins(api: ApiWorld, theirs: Planted) -> Twins:
    """Who asks with another's ids, and who asks with nobody's."""
    one, other = (watched(api, theirs, name) for name in ("0000000a", "0000000b"))
    return (one, theirs.ids), (other, theirs.nobodys)


def seen_by_owner(api: ApiWorld, theirs: Planted) -> dict[str, str]:
    """What the planted tenant sees of itself; the receipt's last stages come when they come."""
    paths = ("documents", "keys", "webhooks", "memory", "memory/snapshots", f"documents/{STEM}/one")
    found = {}
    for path in paths:
        answer = api.client.get(f"/v1/{path}", headers=theirs.headers)
        assert answer.status_code == 200
        found[path] = "".join(
            f"{line}\n" for line in answer.text.split(",") if not line.startswith('"used"')
        )
    return found


def is_quiet(client: Watched) -> bool:
    return not client.api.log(client.headers).waiting()


def described(api: ApiWorld) -> dict[tuple[str, str], dict[str, Any]]:
    paths = api.client.get("/openapi.json").json()["paths"]
    return {
        (method.upper(), path): operation
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


class TestTheTable:
    """A route that comes later cannot be forgotten."""

    def test_every_operation_is_in_it(self, api: ApiWorld) -> None:
        assert set(PROBES) == set(described(api))

    def test_every_other_path_is_known(self, api: ApiWorld) -> None:
        served = {path.replace(":path", "") for path in paths_of(api.app.routes)}
        assert served == {*UNDESCRIBED, *(path for _, path in PROBES)}

    def test_every_parameter_is_asked_with_anothers(self, api: ApiWorld) -> None:
        for each, operation in described(api).items():
            for parameter in operation.get("parameters", []):
                name, place = parameter["name"], parameter["in"]
                probes = PROBES[each]
                asked = {
                    "path": any("$" in probe.url.partition("?")[0] for probe in probes),
                    "query": any(f"{name}=$" in probe.url for probe in probes),
                    "header": any("$" in probe.headers.get(name, "") for probe in probes),
                }
                assert asked[place] or name in NAMELESS, (each, name)

    def test_every_field_of_text_is_sent_with_anothers(self, api: ApiWorld) -> None:
        schemas = api.client.get("/openapi.json").json()["components"]["schemas"]
        for each, operation in described(api).items():
            bodies = operation.get("requestBody", {}).get("content", {})
            wanted = fields_of_text(bodies.get("application/json", {}).get("schema", {}), schemas)
            sent = json.dumps([probe.body for probe in PROBES[each] if probe.body])
            missing = {name for name in wanted - NAMELESS - QUESTIONS if not asked_in(name, sent)}
            assert not missing, each


def paths_of(routes: Any) -> Iterator[str]:
    """Paths of routes, also of those of included routers."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is None:
            yield route.path
        else:
            yield from paths_of(router.routes)


def fields_of_text(schema: dict[str, Any], schemas: dict[str, Any]) -> set[str]:
    """Names of a body's fields that may hold a text, however deep."""
    if "$ref" in schema:
        return fields_of_text(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    found: set[str] = set()
    for part in (*schema.get("anyOf", ()), schema.get("items", {})):
        found |= fields_of_text(part, schemas) if part else set()
    for name, each in schema.get("properties", {}).items():
        deeper = fields_of_text(each, schemas)
        found |= deeper or ({name} if '"string"' in json.dumps(each) else set())
    return found


def asked_in(name: str, sent: str) -> bool:
    """Whether JSON has a field of that name with an id in what follows it."""
    return re.search(rf'"{name}": [^:}}]*\$', sent) is not None


class TestEveryOperation:
    @pytest.mark.parametrize(("method", "probe"), EVERY)
    def test_anothers_is_as_nobodys(
        self, twins: Twins, before: dict[str, str], method: str, probe: Probe
    ) -> None:
        with_anothers, with_nobodys = (probe.send(method, client, ids) for client, ids in twins)
        assert with_nobodys.status_code == probe.status, with_nobodys.text
        for client, _ in twins:  # what was stored is memorized at some time, if nobody waits
            until(partial(is_quiet, client))
        if probe.drawn:
            assert with_anothers.status_code == probe.status
        else:
            assert shape(with_anothers) == shape(with_nobodys)

    @pytest.mark.parametrize("name", ["document", "gone", "unnamed", "job"])
    def test_tools_do_not_find_it_either(self, twins: Twins, name: str) -> None:
        said = [client.call("forget", document_id=f"{ids[name]}?") for client, ids in twins]
        assert "there is no document" in said[1].text
        assert shape(said[0]) == shape(said[1])

    @pytest.mark.parametrize("name", ["document", "gone", "unnamed", "job"])
    def test_tools_do_not_read_it(self, twins: Twins, name: str) -> None:
        said = [client.call("get", document_id=f"{ids[name]}?") for client, ids in twins]
        assert "there is no document" in said[1].text
        assert shape(said[0]) == shape(said[1])

    def test_tools_do_not_know_it(self, twins: Twins) -> None:
        """The other twin has documents by these names meanwhile, so it may well cite them."""
        _, (client, _) = twins
        told = client.call("ask", question="Who sings in the first text?")
        assert '"isError":false' in told.text.replace(" ", "")

    def test_nothing_happened_to_it(
        self, api: ApiWorld, theirs: Planted, before: dict[str, str]
    ) -> None:
        assert seen_by_owner(api, theirs) == before
        with_key = {"authorization": f"Bearer {theirs.ids['key_text']}"}
        cited = api.ask(with_key, "Who?", citations=20).json()["citations"]
        assert theirs.ids["document"] in {each["document_id"] for each in cited}
