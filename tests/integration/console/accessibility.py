"""What axe finds in a page, and how large what is to be touched is."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from tests.integration.console.browser import Browser

_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {runOnly: arguments[0], resultTypes: ["violations"]}).then(
  (found) => done(found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)])),
  (error) => done([["axe failed", [String(error)]]]),
);
"""
# Of what is visible and takes a pointer: [name, width, height].
_TARGETS = """
const wanted = "a[href], button, input, select, textarea, summary, [role=slider]";
return [...document.querySelectorAll(wanted)]
  .filter((one) => one.checkVisibility({visibilityProperty: true}) && !one.disabled)
  .filter((one) => one.className !== "skip")
  .map((one) => one.matches("label input[type=checkbox]") ? one.closest("label") : one)
  .map((one) => [one, one.getBoundingClientRect()])
  .map(([one, box]) => [one.id || one.className || one.textContent, box.width, box.height]);
"""


@cache
def _script() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


def violations(browser: Browser) -> list[Any]:
    """[rule, elements] of each rule of WCAG 2.2 AA and of good practice that is broken."""
    if not browser.run("return 'axe' in window"):
        browser.run(_script())
    browser.driver.set_script_timeout(60)
    return list(browser.driver.execute_async_script(_RUN, _TAGS))


def too_small(browser: Browser, least: float, *but: str) -> list[Any]:
    """What is smaller than so many pixels either way, without those of these ids or classes."""
    found = browser.run(_TARGETS)
    assert found, "there is something to touch"
    return [one for one in found if min(one[1:]) < least and one[0] not in but]
