"""axe finds nothing in any view, wide or narrow, light or dark; and fingers hit what they mean."""

from __future__ import annotations

from selenium.webdriver.common.keys import Keys

from tests.integration.console.accessibility import too_small, violations
from tests.integration.console.browser import Browser
from tests.integration.console.visits import ASKED, NEEDS_BROWSER, Site, Visit

pytest_plugins = ["tests.integration.console.visits"]
pytestmark = NEEDS_BROWSER

PHONE, WIDE = (390, 844, True), (1280, 860, False)
# Numbers on the picture, and what stands in a line of text, have 24 pixels, as WCAG 2.2 asks for.
SMALL = ("mark-step", "open", "as-of", "mark-step faint", "All tenants")


def check(browser: Browser, where: str) -> None:
    """At both widths and in both themes."""
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        for width, height, mobile in (PHONE, WIDE):
            browser.resize(width, height, mobile)
            assert violations(browser) == [], (where, scheme, width)
    browser.prefer("light")
    browser.resize(*PHONE)
    assert browser.run("return document.documentElement.scrollWidth") <= PHONE[0], where
    assert too_small(browser, 24) == [], where
    assert too_small(browser, 44, *SMALL) == [], where
    browser.resize(*WIDE)


def test_axe_sees_what_is_wrong(browser: Browser, site: Site) -> None:
    browser.arrive(site.url)
    browser.run("document.body.append(document.createElement('button'))")
    assert "button-name" in [rule for rule, _ in violations(browser)]
    assert too_small(browser, 44)


def test_the_door(browser: Browser, site: Site) -> None:
    browser.arrive(site.url)
    browser.one("#key")
    check(browser, "the door")
    browser.type("#key", "wrong", Keys.ENTER)
    browser.one("#sign-in-problem .problem")
    check(browser, "a key that is refused")


def test_asking(visit: Visit) -> None:
    browser = visit.browser
    check(browser, "nothing asked")
    browser.add_text("Owl", "The owl is brown and says nothing. " * 6)
    browser.ask(ASKED)
    browser.type("#question", ASKED)
    browser.click("#find")
    browser.until(lambda: len(browser.all(".entry[aria-busy=false]")) == 2, "both")
    browser.click("#options-toggle")
    browser.click("#condition-add")
    browser.type("#conditions input", "author")
    check(browser, "an answer, a search, and the options")
    browser.resize(*PHONE)
    browser.click("#band-toggle")
    check(browser, "the picture")
    browser.click(".source")
    browser.one("#reader mark")
    check(browser, "the text of a document")
    browser.press(Keys.ESCAPE)


def test_documents_and_the_memory(visit: Visit) -> None:
    browser = visit.browser
    browser.view("documents")
    check(browser, "no documents")
    browser.add_text("Owl", "The owl is brown.")
    browser.one("#documents .open")
    visit.upload("fox.txt", "broken.pdf")
    browser.view("ask")
    browser.view("documents")
    browser.click("#failures-sum")
    check(browser, "documents")
    browser.click("#documents .danger")
    browser.one("#confirm")
    check(browser, "forgetting?")
    browser.click("#confirm-yes")
    browser.until(lambda: len(browser.all(".receipt li.done")) == 4, "forgotten")
    check(browser, "a receipt")
    browser.view("memory")
    browser.type("#snapshot-name", "before", Keys.ENTER)
    browser.one("#snapshots li")
    browser.click("#table-details summary")
    check(browser, "the memory")
    browser.click("#help")
    browser.one("#shortcuts")
    check(browser, "the keyboard's list")
    browser.press(Keys.ESCAPE)


def test_keys(visit: Visit) -> None:
    browser = visit.browser
    browser.view("keys")
    browser.one(".keys-list tbody tr")
    check(browser, "keys")
    browser.click(".key-form [type=submit]")
    browser.one("#secret")
    check(browser, "a new key")
    browser.press(Keys.ESCAPE)
    browser.click(".keys-list .danger")
    browser.one("#confirm")
    check(browser, "revoking?")


def test_the_operator(browser: Browser, site: Site) -> None:
    site.world.tenant("axe")
    browser.arrive(site.url)
    browser.type("#key", site.world.operator, Keys.ENTER)
    browser.one("#tenants tr")
    check(browser, "tenants")
    for button, dialog in (("#tenant-new", "#new-tenant"), ("#tenant-import", "#import")):
        browser.click(button)
        browser.one(dialog)
        check(browser, dialog)
        browser.click(f"{dialog} [data-close]")
    browser.view("service")
    browser.one("#service-facts .fact")
    check(browser, "the service")
    browser.open(f"{site.url}#tenants/axe")
    browser.one("#limits-fields input")
    check(browser, "a tenant")
    browser.click("#tenant-delete")
    browser.one("#confirm-typed")
    check(browser, "deleting?")
    browser.press(Keys.ESCAPE)
