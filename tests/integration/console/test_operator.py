"""The operator in the console: tenants, keys, limits, archives, the service; a tenant's admin."""

from __future__ import annotations

import json
import tarfile
from functools import partial
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.integration.console.browser import Browser
from tests.integration.console.visits import ASKED, NEEDS_BROWSER, Site, Visit

pytest_plugins = ["tests.integration.console.visits"]
pytestmark = NEEDS_BROWSER

MARKUP = "<img src=x onerror='window.hit = 1'>"


@pytest.fixture
def desk(browser: Browser, site: Site) -> Browser:
    """The operator, signed in."""
    browser.arrive(site.url)
    browser.type("#key", site.world.operator, Keys.ENTER)
    browser.one("#view-tenants h1")
    return browser


def new_key(browser: Browser, name: str) -> str:
    """Create one for asking, and close what shows it."""
    browser.type(".key-form input", name)
    browser.click(".key-form [type=submit]")
    browser.one("#secret")
    secret = str(browser.all("#secret-text")[0].get_property("value"))
    assert browser.run("return document.activeElement.id") == "secret-text"
    browser.click("#secret [data-close]")
    browser.until(lambda: not browser.shown("#secret"), "closed")
    return secret


def row_of(browser: Browser, name: str) -> str:
    """What the list of keys says of one."""
    browser.until(
        lambda: any(name in one.text for one in browser.shown(".keys-list tbody tr")), name
    )
    return next(one.text for one in browser.shown(".keys-list tbody tr") if name in one.text)


class TestTenants:
    def test_made_found_limited_and_deleted(self, desk: Browser, site: Site) -> None:
        assert desk.texts("nav a") == ["Tenants", "Service"]
        assert not desk.shown("#band, #adding, #question")
        desk.click("#tenant-new")
        desk.type("#new-tenant-name", "a/b", Keys.ENTER)
        assert "slash" in desk.one("#new-tenant-problem .problem").text
        desk.replace("#new-tenant-name", "carla", Keys.ENTER)
        desk.until(lambda: desk.text("#tenant-name") == "carla", "its page")
        desk.type("#limit-max_documents", "5")
        desk.type("#limit-threshold", "0.25")
        desk.click("#limits-form [type=submit]")
        desk.until(lambda: desk.text("#limits-state") == "Saved.", "saved")
        tenant = site.world.world.ledger.tenant("carla").tenant
        assert (tenant.max_documents, tenant.threshold) == (5, 0.25)
        desk.click("#limits-form [type=submit]")
        assert desk.text("#limits-state") == "Nothing is different."
        desk.one("#limit-max_documents").clear()
        desk.click("#limits-form [type=submit]")
        desk.until(lambda: desk.text("#limits-state") == "Saved.", "lifted")
        assert site.world.world.ledger.tenant("carla").tenant.max_documents is None
        desk.type("#limit-attribute_quotas", '{"session": {"max_docu')
        desk.click("#limits-form [type=submit]")
        assert "is no JSON" in desk.text("#limits-state")
        desk.replace("#limit-attribute_quotas", '{"session": {"max_documents": 3}}')
        desk.click("#limits-form [type=submit]")
        desk.until(lambda: desk.text("#limits-state") == "Saved.", "quotas of sessions")
        tenant = site.world.world.ledger.tenant("carla").tenant
        assert tenant.attribute_quotas == {"session": {"max_documents": 3}}
        desk.click("#limits-form [type=submit]")
        assert desk.text("#limits-state") == "Nothing is different."

        desk.view("tenants")
        desk.one("#tenant-search")
        desk.type("#tenant-search", "CARL")
        desk.until(lambda: desk.texts("#tenants a") == ["carla"], "it alone")
        desk.click("#tenants a")
        desk.click("#tenant-delete")
        assert not desk.one("#confirm-yes").is_enabled()
        desk.type("#confirm-typed", "carl")
        assert not desk.one("#confirm-yes").is_enabled()
        desk.press(Keys.ESCAPE)
        assert desk.run("return document.activeElement.id") == "tenant-delete"
        site.world.world.ledger.tenant("carla")
        desk.click("#tenant-delete")
        desk.type("#confirm-typed", "carla")
        desk.click("#confirm-yes")
        desk.until(lambda: desk.shown("#tenants-all"), "the list")
        desk.replace("#tenant-search", "carla")
        assert desk.one("#tenants-empty").text == "No tenant is called like that."

    def test_its_keys(self, desk: Browser, site: Site) -> None:
        site.world.tenant("keyring")
        desk.open(f"{site.url}#tenants/keyring")
        desk.one(".keys-list tbody tr")
        secret = new_key(desk, "the website")
        assert site.get(secret, "v1/memory")["scopes"] == ["query"]
        assert secret not in desk.run("return document.documentElement.outerHTML")
        assert "valid" in row_of(desk, "the website")
        desk.click("[aria-label='Rotate the key “the website”']")
        desk.click("#confirm-yes")
        desk.one("#secret")
        fresh = str(desk.all("#secret-text")[0].get_property("value"))
        desk.click("#secret [data-close]")
        assert fresh != secret
        assert site.get(fresh, "v1/memory")["tenant"] == "keyring"
        desk.until(lambda: "revoked" in row_of(desk, "the website"), "the old one")
        desk.click("[aria-label='Revoke the key “the website”']")
        desk.click("#confirm-yes")
        gone = "[aria-label='Revoke the key “the website”']"
        desk.until(lambda: not desk.all(gone), "revoked")
        (admin,) = site.world.world.ledger.credentials.list(
            site.world.world.ledger.tenant("keyring")
        )[:1]
        assert admin.revoked is None

    def test_an_address_of_none_says_so(self, desk: Browser, site: Site) -> None:
        desk.open(f"{site.url}#tenants/nobody")
        assert "nobody" in desk.one("#tenant-problem .problem").text
        assert not desk.shown("#tenant-parts")


class TestArchives:
    def test_exported_by_its_admin_and_imported_by_the_operator(
        self, visit: Visit, tmp_path: Path
    ) -> None:
        browser, world = visit.browser, visit.site.world
        browser.add_text("Owl", "The owl is brown.")
        browser.view("memory")
        browser.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
        )
        browser.click("#export-rows")
        browser.click("#export")
        browser.until(lambda: "exported" in browser.text("#export-state"), "the archive")
        file = tmp_path / f"{visit.log.tenant.name}.tar"
        browser.until(file.exists, "the file")
        browser.until(lambda: not list(tmp_path.glob("*.crdownload")), "all of it")
        with tarfile.open(file) as tar:
            manifest = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
        assert (manifest["documents"], manifest["memory"] is not None) == (1, True)

        browser.arrive(visit.site.url)
        browser.type("#key", world.operator, Keys.ENTER)
        browser.click("#tenant-import")
        browser.all("#import-file")[0].send_keys(str(file))
        browser.click("#import [type=submit]")
        assert "already" in browser.one("#import-problem .problem").text
        browser.type("#import-name", "back again", Keys.ENTER)
        browser.until(lambda: browser.text("#tenant-name") == "back again", "its page")
        headers = world.headers(world.world.ledger.tenant("back again"))
        told = world.ask(headers, ASKED, min_step=1).json()
        assert {one["title"] for one in told["citations"]} == {"Owl"}

    def test_another_file_is_refused(self, desk: Browser, tmp_path: Path) -> None:
        (tmp_path / "no.tar").write_text("no archive at all")
        desk.click("#tenant-import")
        desk.all("#import-file")[0].send_keys(str(tmp_path / "no.tar"))
        desk.click("#import [type=submit]")
        assert "not a whole archive" in desk.one("#import-problem .problem").text


class TestService:
    def test_what_goes_on(self, desk: Browser, site: Site) -> None:
        log, headers = site.world.tenant("working")
        desk.view("service")
        assert desk.texts("#service-facts .fact h2") == [
            "Steps waiting",
            "Writers at work",
            "Readers",
            "Stored",
        ]
        assert desk.shown("#writers-empty")
        with site.world.world.engine.lease(log):  # nobody memorizes it
            sent = {"text": "The owl is brown."}
            site.world.client.post("/v1/documents", json=sent, headers=headers)
            desk.until(lambda: desk.shown("#attention tr"), "what waits")
            assert "working" in desk.texts("#attention tr")[0]
            assert "step" in desk.texts("#attention tr")[0]
            assert "working" in desk.texts("#writers tr")[0]
            waiting = "#service-facts .fact:first-child .big"
            desk.until(lambda: int(desk.text(waiting)) > 0, "the sum")
        desk.until(lambda: desk.shown("#attention-empty"), "memorized")


class TestAdmin:
    def test_it_sees_the_keys_of_its_tenant(self, visit: Visit) -> None:
        browser = visit.browser
        browser.press(Keys.ESCAPE, "g", "k")
        browser.one("#view-keys")
        assert not browser.shown("#band, #adding")
        secret = new_key(browser, "laptop")
        assert visit.site.get(secret, "v1/memory")["tenant"] == visit.log.tenant.name
        browser.click("[aria-label='Revoke the key “laptop”']")
        browser.click("#confirm [data-close]")
        assert visit.site.get(secret, "v1/memory")
        browser.click("[aria-label='Revoke the key “laptop”']")
        browser.click("#confirm-yes")
        browser.until(lambda: "revoked" in row_of(browser, "laptop"), "revoked")
        assert (
            visit.site.world.client.get(
                "/v1/memory", headers={"authorization": f"Bearer {secret}"}
            ).status_code
            == 401
        )

    def test_a_key_needs_a_scope(self, visit: Visit) -> None:
        browser = visit.browser
        browser.view("keys")
        browser.click(".key-form [value=query]")
        browser.click(".key-form [type=submit]")
        assert not browser.shown("#secret")
        browser.click(".key-form [value=ingest]")
        browser.click(".key-form [type=submit]")
        browser.one("#secret")
        browser.press(Keys.ESCAPE)

    def test_others_do_not(self, browser: Browser, site: Site) -> None:
        log, _ = site.world.tenant("reader only")
        browser.sign_in(site.url, site.key(log, "query", "ingest"))
        assert browser.texts("nav a") == ["Ask", "Documents", "Memory"]
        browser.view("memory")
        assert not browser.shown("#export-card")
        browser.open(f"{site.url}#keys")
        browser.one("#question")
        assert not browser.shown("#view-keys")


def has_markup(browser: Browser, css: str) -> bool:
    return MARKUP in browser.text(css)


def test_text_stays_text_in_every_view(browser: Browser, site: Site) -> None:
    """Ids, titles, sections, metadata, tags, names of keys and snapshots, and of tenants."""
    log, headers = site.world.tenant(MARKUP)
    key = headers["authorization"].removeprefix("Bearer ")
    fields = {"id": MARKUP, "title": MARKUP, "session": MARKUP, "tags": [MARKUP]}
    metadata = {MARKUP.replace(".", ""): MARKUP}
    site.world.memorize(headers, f"{MARKUP} {MARKUP} says the owl.", metadata=metadata, **fields)
    site.world.world.ledger.credentials.create(log, ["query"], MARKUP)
    log.snapshots.take(MARKUP)
    browser.sign_in(site.url, key)
    browser.run("window.hit = 0")
    assert browser.text("#who") == MARKUP
    browser.click("#options-toggle")
    browser.type("#filter-tags", MARKUP)
    browser.click("#condition-add")
    browser.type("#conditions input", MARKUP.replace(".", ""))
    browser.type("#conditions input:last-of-type", MARKUP)
    browser.ask(MARKUP)
    browser.type("#question", MARKUP)
    browser.click("#find")
    browser.until(lambda: len(browser.all(".entry[aria-busy=false]")) == 2, "the search")
    assert MARKUP in browser.text("#filter-sum")
    browser.click(".source")
    browser.until(lambda: MARKUP in browser.text("#reader-text"), "the text")
    browser.press(Keys.ESCAPE)
    for view, css in (("documents", "#documents"), ("memory", "#snapshots"), ("keys", "#keys")):
        browser.view(view)
        browser.until(partial(has_markup, browser, css), view)
    browser.click(".keys-list tr:last-child .danger")
    browser.until(lambda: MARKUP in browser.text("#confirm-text"), "the question")
    browser.press(Keys.ESCAPE)
    hit = browser.run("return window.hit")
    assert hit == 0
    assert browser.all("body img:not([src='console/icon.svg'])") == []

    browser.arrive(site.url)
    browser.type("#key", site.world.operator, Keys.ENTER)
    browser.run("window.hit = 0")
    browser.until(lambda: MARKUP in browser.text("#tenants"), "the tenants")
    browser.type("#tenant-search", "onerror")
    browser.click("#tenants a")
    browser.until(lambda: MARKUP in browser.text("#tenant-keys"), "its keys")
    assert browser.text("#tenant-name") == MARKUP
    browser.click("#tenant-delete")
    assert browser.text("#confirm-wanted") == MARKUP
    browser.press(Keys.ESCAPE)
    with site.world.world.engine.lease(log):
        sent = {"text": "The fox is red."}
        site.world.client.post("/v1/documents", json=sent, headers=headers)
        browser.view("service")
        browser.until(lambda: MARKUP in browser.text("#attention"), "who waits")
        browser.until(lambda: MARKUP in browser.text("#writers"), "who is held")
    assert browser.run("return window.hit") == 0
    assert browser.all("body img:not([src='console/icon.svg'])") == []
