"""By keyboard alone: where the focus goes, that it is seen, and that dialogs keep and return it."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.integration.console.browser import Browser
from tests.integration.console.visits import ASKED, NEEDS_BROWSER, Site, Visit

pytest_plugins = ["tests.integration.console.visits"]
pytestmark = NEEDS_BROWSER

# Of what has the focus: its place in the page, and whether it, or what it is in, shows it.
_FOCUSED = """
const all = [...document.querySelectorAll("*")];
const one = document.activeElement;
const shows = (each) => {
  const {outlineStyle, outlineWidth} = getComputedStyle(each);
  return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
};
const box = one.getBoundingClientRect();
return one === document.body ? null : {
  place: all.indexOf(one),
  name: one.id || one.className || one.textContent.slice(0, 40),
  shown: shows(one) || (one.id === "question" && shows(one.closest(".composer"))),
  seen: box.bottom > 0 && box.top < innerHeight,
};
"""


def walk(browser: Browser, most: int = 120) -> list[str]:
    """Tab through the page from its beginning; every stop is seen, and the order is the page's."""
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    browser.run(
        "getSelection().removeAllRanges(); document.body.tabIndex = -1; document.body.focus()"
    )
    browser.run("document.body.removeAttribute('tabindex')")
    stops: list[str] = []
    last = -1
    for _ in range(most):
        browser.press(Keys.TAB)
        stop = browser.run(_FOCUSED)
        if stop is None or stop["place"] < last:
            return stops  # the end, or the beginning again
        assert stop["shown"], stop
        assert stop["seen"], stop
        last = stop["place"]
        stops.append(stop["name"])
    raise AssertionError(f"no end of it: {stops}")


def inside(browser: Browser, dialog: str, times: int = 8) -> None:
    """The focus stays in a dialog, whichever way it goes."""
    for key in (Keys.TAB, Keys.SHIFT + Keys.TAB):
        for _ in range(times):
            browser.press(key)
            assert browser.run(
                "const one = document.activeElement;"
                "const box = document.querySelector(arguments[0]);"
                "return one === document.body || box.contains(one)",
                dialog,
            ), dialog


def focused(browser: Browser) -> str:
    return str(browser.run("return document.activeElement.id"))


def test_every_stop_is_seen_and_in_order(visit: Visit) -> None:
    browser = visit.browser
    browser.add_text("Owl", "The owl is brown.")
    browser.ask(ASKED)
    browser.click("#options-toggle")
    stops = walk(browser)
    assert stops[0] == "skip"
    order = ["theme", "picture", "question", "filter-session", "options-toggle", "ask", "source"]
    assert [one for one in stops if one in order][: len(order)] == order
    for view, last in (("documents", "state"), ("memory", "snapshot-name"), ("keys", "theme")):
        browser.view(view)
        browser.one(f"#view-{view}")
        assert last in walk(browser), view


@pytest.mark.parametrize(
    ("view", "opener", "dialog", "first"),
    [
        ("ask", "#help", "#shortcuts", ""),
        ("documents", "#documents .danger", "#confirm", "confirm-no"),
        ("documents", "#documents .open", "#reader", "reader-text"),
        ("keys", ".key-form [type=submit]", "#secret", "secret-text"),
    ],
)
def test_a_dialog_keeps_the_focus_and_gives_it_back(
    visit: Visit, view: str, opener: str, dialog: str, first: str
) -> None:
    browser = visit.browser
    browser.add_text("Owl", "The owl is brown.")
    browser.view(view)
    button = browser.one(opener)
    browser.run("arguments[0].focus()", button)
    browser.press(Keys.ENTER)
    browser.one(dialog)
    if first:
        browser.until(lambda: focused(browser) == first, first)
    inside(browser, dialog)
    browser.press(Keys.ESCAPE)
    browser.until(lambda: not browser.shown(dialog), "closed")
    assert browser.run("return document.activeElement === arguments[0]", browser.one(opener))


def test_the_operator_needs_no_mouse(browser: Browser, site: Site) -> None:
    browser.arrive(site.url)
    assert focused(browser) == "key"
    browser.press(site.world.operator, Keys.ENTER)
    browser.one("#tenant-new")
    browser.press("g", "s")
    browser.one("#view-service")
    assert focused(browser) == "main"
    browser.press("g", "t")
    browser.one("#view-tenants")
    while focused(browser) != "tenant-new":
        browser.press(Keys.TAB)
    browser.press(Keys.ENTER)
    browser.one("#new-tenant")
    assert focused(browser) == "new-tenant-name"
    inside(browser, "#new-tenant")
    browser.run("document.getElementById('new-tenant-name').focus()")
    browser.press("by keys", Keys.ENTER)
    browser.until(lambda: browser.text("#tenant-name") == "by keys", "its page")
    assert focused(browser) == "main"
    browser.one("#limits-fields input")
    assert {"tenant-delete", "limit-ttl"} <= set(walk(browser))
    while focused(browser) != "tenant-delete":
        browser.press(Keys.TAB)
    browser.press(Keys.ENTER)
    browser.one("#confirm-typed")
    assert focused(browser) == "confirm-typed"
    browser.press("by keys", Keys.TAB, Keys.TAB, Keys.ENTER)
    browser.until(lambda: browser.shown("#tenants-all"), "the list again")
    assert focused(browser) == "main"


def test_withheld_answers_and_filters_by_keyboard(visit: Visit) -> None:
    browser = visit.browser
    browser.press(ASKED, Keys.ENTER)
    browser.one(".anyway")
    while browser.run("return document.activeElement.className") != "anyway":
        browser.press(Keys.TAB)
    browser.press(Keys.ENTER)
    browser.until(lambda: "shown although" in browser.text(".entry-meta"), "it")
    assert focused(browser) == "question"
    browser.press(Keys.TAB, Keys.ENTER)  # the options
    browser.press(Keys.SHIFT + Keys.TAB)
    assert focused(browser) == "found"
    browser.run("document.getElementById('condition-add').focus()")
    browser.press(Keys.ENTER, "author", Keys.TAB, "is there", Keys.TAB, Keys.ENTER)
    assert not browser.all("#conditions li"), "Remove was the next stop: there is no value"
    assert focused(browser) == "condition-add"
