"""Pages of other origins: none may read, unless a setting names them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.cross_origin import CrossOrigin, read_cross_origin
from mplus_ray.services.settings import Settings
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

APP = "https://app.example.com"
EVIL = "https://evil.example"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return load_model(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture(scope="module")
def api(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    named = CrossOrigin((APP, "http://localhost:3000"))
    with serving(model, tmp_path_factory.mktemp("cors"), cross_origin=named) as world:
        yield world


class TestSettings:
    def test_it_is_off_by_default(self) -> None:
        assert Settings.read(environment={"HOME": "/nowhere"}).cross_origin == CrossOrigin()

    def test_variables_name_the_origins(self) -> None:
        environment = {"MPLUS_CORS_ORIGINS": f" {APP}, http://LOCALHOST:3000 ,"}
        environment |= {"MPLUS_CORS_CREDENTIALS": "true"}
        found = Settings.read(environment=environment).cross_origin
        assert found == CrossOrigin((APP, "http://localhost:3000"), credentials=True)

    def test_so_does_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "config.toml"
        path.write_text(f'cors_origins = ["{APP}", "null://x"]\ncors_credentials = true\n')
        found = Settings.read(environment={"MPLUS_CONFIG": str(path)}).cross_origin
        assert found == CrossOrigin((APP, "null://x"), credentials=True)

    @pytest.mark.parametrize(
        ("origins", "credentials", "why"),
        [
            ("*", "true", r"the origin \* with credentials would let any page act"),
            (f"*,{APP}", None, "leave the others out"),
            (f"{APP}/", None, "without a path or a slash at the end"),
            ("app.example.com", None, "is no origin"),
            ("https://*.example.com", None, "is no origin"),
            (APP, "yes", "give true or false"),
            (None, "true", "but no origins are; name them"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, origins: str | None, credentials: str | None, why: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=why):
            read_cross_origin(origins, credentials)


class TestPages:
    def test_a_named_one_may_ask_before_it_asks(self, api: ApiWorld) -> None:
        """Without a key, as browsers do it, and with whatever headers its client brings."""
        wanted = "authorization,content-type,x-stainless-lang"
        sent = {
            "origin": APP,
            "access-control-request-method": "POST",
            "access-control-request-headers": wanted,
        }
        answer = api.client.options("/v1/query", headers=sent)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == wanted
        assert "access-control-allow-credentials" not in answer.headers

    @pytest.mark.parametrize("path", ["/v1/memory", "/v1/nothing", "/v1/chat/completions"])
    def test_a_named_one_may_read_answers_and_errors(self, api: ApiWorld, path: str) -> None:
        for headers in ({"origin": APP}, {**api.fresh(), "origin": APP}):
            answer = api.client.get(path, headers=headers)
            assert answer.headers["access-control-allow-origin"] == APP
            assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
            assert "Origin" in answer.headers["vary"]

    def test_others_may_not(self, api: ApiWorld) -> None:
        asked = {"origin": EVIL, "access-control-request-method": "POST"}
        assert api.client.options("/v1/query", headers=asked).status_code == 400
        answer = api.client.get("/healthz", headers={"origin": EVIL})
        assert "access-control-allow-origin" not in answer.headers

    def test_a_body_that_is_too_large_is_told_to_a_page_too(self, api: ApiWorld) -> None:
        headers = {**api.fresh(), "origin": APP, "content-type": "application/json"}
        answer = api.client.post("/v1/query", content=b" " * (2 << 20), headers=headers)
        assert answer.status_code == 413
        assert answer.headers["access-control-allow-origin"] == APP


def test_any_page_may_read_where_that_is_set(
    model: MPlus, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("any")
    with serving(model, place, writer=False, cross_origin=CrossOrigin(("*",))) as world:
        answer = world.client.get("/healthz", headers={"origin": EVIL})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
