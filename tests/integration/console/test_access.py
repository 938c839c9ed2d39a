"""The console for everybody: themes, keyboard, phones, named controls; and hostile text."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.integration.console.visits import ASKED, NEEDS_BROWSER, Visit

pytest_plugins = ["tests.integration.console.visits"]
pytestmark = NEEDS_BROWSER

HOSTILE = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"


def test_light_and_dark(visit: Visit) -> None:
    browser = visit.browser

    def paper() -> str:
        return str(browser.run("return getComputedStyle(document.body).backgroundColor"))

    light = paper()
    browser.prefer("dark")
    dark = browser.until(lambda: paper() != light and paper(), "the other theme")
    assert browser.one("#theme").get_attribute("aria-label") == "Switch to the light theme"
    browser.click("#theme")
    assert paper() == light
    browser.open(visit.site.url)
    browser.one("#question")
    assert paper() == light, "what was chosen stays"
    browser.click("#theme")
    assert paper() == dark


def test_everything_goes_by_keyboard(visit: Visit) -> None:
    browser = visit.browser

    def focused() -> str:
        return str(browser.run("return document.activeElement.id || document.activeElement.name"))

    browser.press(Keys.ESCAPE, "n")
    assert focused() == "paste-text"
    browser.press("The owl is brown.", Keys.TAB, Keys.ENTER)
    browser.until(lambda: browser.shown("#activity .badge.good"), "memorized")
    browser.press(Keys.ESCAPE, "/")
    assert focused() == "question"
    browser.press(ASKED, Keys.ENTER)
    browser.until(lambda: browser.shown(".entry[aria-busy=false] .source"), "the answer")
    browser.press(Keys.ESCAPE, "1")
    browser.one("#reader mark")
    browser.press(Keys.ESCAPE)
    browser.until(lambda: not browser.shown("#reader"), "closed")
    browser.until(lambda: browser.shown("#axis span"), "the picture of what was memorized")
    browser.press("g", "p")
    assert focused() == "picture"
    browser.press(Keys.ENTER)
    browser.one("#reader mark")
    browser.press(Keys.ESCAPE)
    browser.press("?")
    browser.one("#shortcuts")
    browser.press(Keys.ESCAPE)
    browser.press("g", "m")
    browser.one("#memory-facts .fact")
    browser.press("g", "d")
    browser.one("#documents .open")
    while focused() != "state":
        browser.press(Keys.TAB)
    browser.press(Keys.TAB, Keys.TAB, Keys.ENTER)  # past the title, to Forget
    browser.one("#confirm")
    browser.press(Keys.TAB, Keys.ENTER)
    browser.until(lambda: len(browser.all(".receipt li.done")) == 4, "all stages")


def test_a_link_before_everything_skips_to_the_content(visit: Visit) -> None:
    browser = visit.browser
    browser.run("document.querySelector('.mark').focus()")
    browser.press(Keys.SHIFT + Keys.TAB)
    assert browser.run("return document.activeElement.className") == "skip"
    browser.press(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "main"
    assert browser.shown("#view-ask")


def test_text_stays_text(visit: Visit, tmp_path: Path) -> None:
    browser = visit.browser
    browser.run("window.hit = 0")
    file = tmp_path / "<img src=x onerror=hit=1>.txt"
    file.write_text(f"{HOSTILE} said the owl.")
    browser.all("#file")[0].send_keys(str(file))
    browser.until(lambda: browser.shown("#activity .badge.good"), "memorized")
    browser.add_text(HOSTILE, f"{HOSTILE} said the fox.")
    browser.ask(HOSTILE)
    for source in browser.shown(".source"):
        source.click()
        browser.until(lambda: HOSTILE[:8] in browser.text("#reader-text"), "the text")
        browser.press(Keys.ESCAPE)
    for view in ("documents", "memory", "ask"):
        browser.view(view)
    browser.view("documents")
    assert HOSTILE in browser.texts("#documents .open")
    browser.click("#documents tr:last-child .danger")
    browser.click("#confirm-yes")
    browser.until(lambda: len(browser.all(".receipt li.done")) == 4, "forgotten")
    assert browser.run("return window.hit") == 0
    outside = "body script, body img:not([src='console/icon.svg'])"
    assert browser.all(outside) == []


def test_nothing_but_its_own_files_is_loaded(visit: Visit) -> None:
    loaded = visit.browser.run(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert loaded
    assert [name for name in loaded if not name.startswith(visit.site.url)] == []
    page = httpx.get(visit.site.url)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|style=|<script(?![^>]*src=)|\son\w+=|https?://", page.text)


@pytest.mark.parametrize("width", [320, 375])
def test_a_phone_shows_it_without_scrolling_sideways(visit: Visit, width: int) -> None:
    browser = visit.browser
    browser.add_text("A title that goes on and on " * 5, "x" * 400 + " the owl is brown.")
    browser.ask("y" * 120)
    browser.resize(width, 700, mobile=True)
    for view in ("ask", "documents", "memory"):
        browser.view(view)
        browser.until(lambda: not browser.all("[aria-busy=true]"), "quiet")
        assert browser.run("return document.documentElement.scrollWidth") <= width, view
    browser.view("ask")
    browser.click(".source")
    browser.one("#reader mark")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("return document.getElementById('reader').scrollWidth") <= width


def test_every_control_has_a_name(visit: Visit) -> None:
    browser = visit.browser
    browser.add_text("Owl", "The owl is brown.")
    browser.ask(ASKED)
    browser.click("#options-toggle")
    roles = {"button", "link", "textbox", "searchbox", "combobox", "slider", "spinbutton"}
    roles |= {"meter", "progressbar", "img", "dialog", "navigation", "table"}
    for view in ("ask", "documents", "memory"):
        browser.view(view)
        tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})
        found = [node for node in tree["nodes"] if node.get("role", {}).get("value") in roles]
        assert len(found) > 8
        nameless = [
            node["role"]["value"]
            for node in found
            if not node["ignored"] and not node.get("name", {}).get("value", "").strip()
        ]
        assert nameless == [], view
