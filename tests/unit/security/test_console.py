"""The console as it is served: what a browser is told that it may do, and that it needs no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mplus_ray.services.api.console import FOLDER
from tests.api_world import ApiWorld, serving
from tests.worlds import load_model

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-cache",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
FILES = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.suffix in TYPES
)

# What makes HTML or code of a text.
SINKS = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|srcdoc"
    r"|DOMParser|eval|new Function|setHTMLUnsafe|execScript)\b|set(Timeout|Interval)\(\s*[\"'`]"
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("console")
    with serving(load_model(folder / "checkpoint"), folder, writer=False) as world:
        yield world


class Page(HTMLParser):
    """What a page has that a strict policy forbids, and what it fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.fetched: list[str] = []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._within = tag
        self.inline += [f"{tag} {name}" for name in given if name.startswith("on")]
        self.inline += [f"{tag} style" for name in given if name == "style"]
        self.inline += [tag for _ in [tag] if tag in ("base", "iframe", "object", "embed")]
        links = [given[name] for name in ("src", "href", "action", "formaction") if name in given]
        self.inline += [link for link in links if link.strip().lower().startswith("javascript:")]
        self.fetched += [link for link in links if not link.startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style") and data.strip():
            self.inline.append(f"text in {self._within}")


def test_a_page_with_what_is_forbidden_is_seen_through() -> None:
    bad = "<base href=x><p style='x' onclick='y'>z</p><script>go()</script><a href='javascript:x'>"
    assert Page(bad).inline == ["base", "p onclick", "p style", "text in script", "javascript:x"]


def test_the_console_is_there() -> None:
    assert {"index.html", "start/console.js", "style/page.css"} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_its_headers_are_exactly_these(api: ApiWorld, name: str) -> None:
    answer = api.client.get("/" if name == "index.html" else f"/console/{name}")
    assert answer.status_code == 200
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["content-type"] == TYPES[Path(name).suffix]
    assert {header: answer.headers[header] for header in HEADERS} == HEADERS
    known = {*HEADERS, "content-type", "content-length", "accept-ranges", "etag", "last-modified"}
    assert set(answer.headers) == known | {"x-request-id"}


def test_nothing_in_the_page_needs_more_than_the_policy_gives(api: ApiWorld) -> None:
    page = Page(api.client.get("/").text)
    assert not page.inline
    assert page.fetched
    for link in page.fetched:
        assert re.fullmatch(r"console/([a-z]+/)?[a-z0-9-]+\.(js|css|svg)", link), link
        assert api.client.get(f"/{link}").status_code == 200, link


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_a_script_makes_no_html_and_no_code_of_a_text(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert not SINKS.findall(text)
    for module in re.findall(r"^import .*?from \"(.+?)\"", text, re.MULTILINE):
        assert re.fullmatch(r"\.(\./[a-z]+)?/[a-z-]+\.js", module)
        assert ((FOLDER / name).parent / module).is_file(), module
    for link in re.findall(r"https?://[^\s\"'`)]+", text):
        assert link.startswith("http://www.w3.org/"), "only names of XML are no addresses"


def test_a_style_fetches_nothing_from_elsewhere() -> None:
    for name in FILES:
        if name.endswith((".css", ".svg")):
            text = (FOLDER / name).read_text()
            assert "@import" not in text
            assert not re.findall(r"url\(\s*[\"']?(?!data:|#)[a-z]+:", text), name
            assert "<script" not in text


def test_a_key_is_kept_in_no_lasting_place() -> None:
    for name in FILES:
        if name.endswith(".js"):
            text = (FOLDER / name).read_text()
            assert not re.search(r"document\.cookie|indexedDB|caches\.", text), name
            assert set(re.findall(r"localStorage\.\w+\((.+?)[,)]", text)) <= {'"theme"'}, name


@pytest.mark.parametrize(
    "path",
    [
        "/../api/app.py",
        "/..%2fapi%2fapp.py",
        "/%2e%2e/api/app.py",
        "/....//app.py",
        "/index.html",
        "/console/../../api/app.py",
        "/console/..%2f..%2fapi%2fapp.py",
        "/console/start/%2e%2e/%2e%2e/api/app.py",
        "/console/start/console.js/",
        "/console/start/console.js%00.css",
        "/console/START/CONSOLE.JS",
        "/console/start%2fconsole%2ejs%2f..%2f..%2fapi%2fapp.py",
        "/console/%2fetc/passwd",
        "/console/.env",
        "/console/start/console.js~",
        "/console.js",
        "/console",
        "/console/",
        "/etc/passwd",
        "//etc/passwd",
    ],
)
def test_no_name_leads_out_of_its_folder(api: ApiWorld, path: str) -> None:
    answer = api.client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
