"""Ids that are made to confuse, and a tenant that cannot notice what another one does."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api_world import ApiWorld, serving, until
from tests.isolation import STEM, Planted, Watched, plant, shape, watched
from tests.worlds import load_model

# Where an id of a path goes. A document's and a snapshot's may have slashes, the others not.
PATHS = [
    ("GET", "/v1/documents/{}"),
    ("DELETE", "/v1/documents/{}"),
    ("GET", "/v1/jobs/{}"),
    ("DELETE", "/v1/keys/{}"),
    ("POST", "/v1/keys/{}/rotate"),
    ("DELETE", "/v1/memory/snapshots/{}"),
    ("GET", "/v1/documents?cursor={}"),
    ("GET", "/v1/documents?q={}"),
    ("GET", "/v1/jobs?cursor={}"),
    ("GET", "/v1/tenants/{}"),
    ("GET", "/v1/models/{}"),
]
IDS = ("document", "file", "unnamed", "gone", "cursor", "job", "receipt", "key", "snapshot")

# What is done to an id; each is a text in which {} stands for it.
AROUND = [
    "{}",
    "../{}",
    "x/../{}",
    "./{}",
    "/{}",
    "//{}",
    "{}/",
    "{}/.",
    "{}/..",
    "..;/{}",
    "{}%00",
    "{}\0",
    "\0{}",
    "{}?passages=true",
    "{}#x",
    "{} ",
    " {}",
    "{}\r\nx-planted: 1",
    "{}' OR '1'='1",
    '{}" --',
    "%{}%",
    "_{}",
    "{}*",
    "{}\u202e",
    "\ufeff{}",
    "{}" + "x" * 3000,
    "a/" * 500 + "{}",
    f"{STEM}-tenant/{{}}",
    "../../{}",
]
WRITTEN = [
    str,
    str.upper,
    str.lower,
    str.swapcase,
    lambda text: unicodedata.normalize("NFD", f"é{text}"),
    lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),  # wide
    lambda text: text.replace("a", "а"),  # noqa: RUF001 - Cyrillic is the point
]
QUOTED = [
    lambda text: quote(text, safe=""),
    lambda text: quote(text, safe="/"),
    lambda text: quote(quote(text, safe=""), safe=""),
    lambda text: quote(text, safe="").replace("%2F", "%2f").replace(".", "%2e"),
    lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("ids")
    with serving(load_model(folder / "checkpoint"), folder) as world:
        yield world


@pytest.fixture(scope="module")
def theirs(api: ApiWorld) -> Planted:
    return plant(api)


@pytest.fixture(scope="module")
def other(api: ApiWorld, theirs: Planted) -> Watched:
    return watched(api, theirs, "other")


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(
    route=st.sampled_from(PATHS),
    name=st.sampled_from(IDS),
    around=st.sampled_from(AROUND) | st.text(max_size=20).map(lambda text: f"{text}{{}}"),
    written=st.sampled_from(WRITTEN),
    quoted=st.sampled_from(QUOTED),
)
def test_no_form_of_an_id_finds_anything(
    other: Watched,
    route: tuple[str, str],
    name: str,
    around: str,
    written: object,
    quoted: object,
) -> None:
    method, path = route
    said = []
    for ids in (other.planted.ids, other.planted.nobodys):
        text = around.replace("{}", written(ids[name]))  # type: ignore[operator]
        answer = other.send(method, path.format(quoted(text)))  # type: ignore[operator]
        assert "x-planted" not in answer.headers
        said.append(without_forms(shape(answer)))
    assert said[0] == said[1]
    assert said[0][0] in (200, 403, 404, 405, 422)
    if said[0][0] == 200:  # a list of one's own, or an empty path
        assert "STEM" not in said[0][2]


def without_forms(said: tuple[int, dict[str, str], str]) -> tuple[int, str, str]:
    """Without what quotes the id, in forms that `shape` does not know and whose lengths differ.

    Whatever else a response says of somebody else's is found by `Watched.send`.
    """
    status, headers, text = said
    quoting = re.compile(r'"(detail|instance|message)":"((?:[^"\\]|\\.)*)"')
    text = quoting.sub(lambda found: found[1], text)
    return status, headers["content-type"], text


@pytest.mark.parametrize("name", IDS)
def test_the_ids_would_be_found_by_their_owner(
    api: ApiWorld, theirs: Planted, other: Watched, name: str
) -> None:
    """So the fuzzer could have found something."""
    found = [
        api.client.request("GET", path.format(quote(theirs.ids[name])), headers=theirs.headers)
        for method, path in PATHS
        if method == "GET"
    ]
    if name not in ("key", "gone"):
        asked = [answer for answer in found if answer.status_code == 200]
        listed = api.client.get("/v1/memory/snapshots", headers=theirs.headers)
        assert any(STEM in answer.text for answer in (*asked, listed))


VIEWS = (
    "/v1/documents",
    "/v1/documents/own",
    "/v1/jobs",
    "/v1/memory",
    "/v1/memory/map",
    "/v1/memory/snapshots",
    "/v1/models",
    "/openapi.json",
    "/healthz",
    "/readyz",
)


def test_nothing_that_another_does_is_noticed(
    api: ApiWorld, theirs: Planted, other: Watched
) -> None:
    """Byte for byte, while documents come, are forgotten, and the other tenant goes altogether."""

    def view() -> list[tuple[int, bytes]]:
        answers = [other.send("GET", path) for path in VIEWS]
        answers.append(other.send("POST", "/v1/query", json={"question": "Who?", "max_tokens": 6}))
        return [(answer.status_code, answer.content) for answer in answers]

    before = view()
    assert {status for status, _ in before} == {200}
    log, headers = api.tenant("passing")
    taken = api.memorize(headers, f"{STEM} comes and goes.", id="own")
    assert view() == before
    api.ask(headers, f"Does {STEM} come?")
    api.client.post("/v1/memory/snapshot", json={"name": "own"}, headers=headers)
    api.client.post("/v1/memory/fork", json={"name": "other"}, headers=headers)
    assert view() == before
    receipt = api.client.delete(taken["status_url"], headers=headers).json()
    until(lambda: log.jobs.get(receipt["id"]).state != "waiting")
    assert view() == before
    operator = {"authorization": f"Bearer {api.operator}"}
    assert api.client.delete("/v1/tenants/passing", headers=operator).status_code == 204
    assert view() == before


def test_figures_name_nobody(api: ApiWorld, theirs: Planted, other: Watched) -> None:
    operator = {"authorization": f"Bearer {api.operator}"}
    figures = api.client.get("/metrics", headers=operator)
    assert figures.status_code == 200
    for secret in (STEM, *theirs.secrets, *theirs.ids.values()):
        assert secret not in figures.text
