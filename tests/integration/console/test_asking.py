"""Filters, thresholds, how sure a passage is, and how it all looks; in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from mplus_ray.model import MPlus
from mplus_ray.model.retrieval.relevance import FILE, Relevance
from tests.api_world import serving
from tests.integration.console.browser import Browser
from tests.integration.console.visits import ASKED, NEEDS_BROWSER, Site, Visit
from tests.readers import load

pytest_plugins = ["tests.integration.console.visits"]
pytestmark = NEEDS_BROWSER

SPLIT = Relevance((0.0, 0.0, 1e9), 0.0)  # the best passage is certain, all others are hardly any
HARDLY = Relevance((0.0, 0.0, 0.0), -4.0)  # 1.8 % for each


def site_of(folder: Any, relevance: Relevance) -> Iterator[Site]:
    fingerprint = load(folder / "checkpoint").fingerprint
    fitted = Relevance(relevance.weights, relevance.bias, fingerprint)
    fitted.save(folder / "checkpoint" / FILE)
    model = MPlus.load(folder / "checkpoint", device="cpu")
    with serving(model, folder, loopback=True) as world:
        yield Site(f"{world.url}/", world)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Of a checkpoint whose passages have a score."""
    yield from site_of(tmp_path_factory.mktemp("split"), SPLIT)


@pytest.fixture(scope="module")
def hardly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from site_of(tmp_path_factory.mktemp("hardly"), HARDLY)


def search(browser: Browser, words: str) -> None:
    before = len(browser.all(".entry"))
    browser.type("#question", words)
    browser.click("#find")
    browser.until(lambda: len(browser.all(".entry")) > before, "the search")
    browser.until(lambda: not browser.all(".entry[aria-busy=true]"), "its passages")


def titles(browser: Browser) -> set[str]:
    return {one.text for one in browser.all(".entry:first-child .source .where b")}


@pytest.fixture
def library(visit: Visit) -> Visit:
    """Somebody who has three documents with all that filters look at."""
    world, headers = visit.site.world, {"authorization": f"Bearer {visit.key}"}
    about: list[dict[str, Any]] = [
        {"session": "s-1", "tags": ["news", "local"], "occurred_at": "2020-05-01T00:00:00Z"},
        {"session": "s-2", "tags": ["news"], "occurred_at": "2023-05-01T00:00:00Z"},
        {"tags": ["other"], "occurred_at": "2026-05-01T00:00:00Z"},
    ]
    for number, (name, fields) in enumerate(zip(("Anna", "Bela", "Cleo"), about, strict=True)):
        metadata = {"author": name, "year": 2020 + 3 * number, "checked": number == 0}
        text = f"{name} says that the owl is brown."
        world.memorize(headers, text, id=f"doc/{name}", title=name, metadata=metadata, **fields)
    return visit


def condition(browser: Browser, field: str, comparison: str, value: str = "") -> None:
    browser.click("#condition-add")
    row = "#conditions li:last-child"
    browser.type(f"{row} input", field)
    browser.type(f"{row} select", comparison)
    if value:
        browser.type(f"{row} input:last-of-type", value)


class TestFilters:
    def test_they_hold_for_questions_and_searches(self, library: Visit) -> None:
        browser = library.browser
        search(browser, ASKED)
        assert titles(browser) == {"Anna", "Bela", "Cleo"}
        browser.click("#options-toggle")
        browser.type("#filter-tags", "news")
        assert browser.one("#filter-sum").text == "only tags news"
        search(browser, ASKED)
        assert titles(browser) == {"Anna", "Bela"}
        assert "only tags news" in browser.text(".entry:first-child h2")
        browser.ask(ASKED)
        assert titles(browser) == {"Anna", "Bela"}
        assert "only tags news" in browser.text(".entry:first-child h2")
        browser.replace("#filter-tags", "news, local")
        search(browser, ASKED)
        assert titles(browser) == {"Anna"}
        browser.click("#filter-clear")
        assert browser.run("return document.activeElement.id") == "options-toggle"
        search(browser, ASKED)
        assert titles(browser) == {"Anna", "Bela", "Cleo"}

    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"#filter-session": "s-1, s-2"}, {"Anna", "Bela"}),
            ({"#filter-ids": f"doc/Anna{Keys.ENTER}doc/Cleo"}, {"Anna", "Cleo"}),
            ({"#filter-after": "2022-01-01T00:00"}, {"Bela", "Cleo"}),
            (
                {"#filter-after": "2022-01-01T00:00", "#filter-before": "2024-01-01T00:00"},
                {"Bela"},
            ),
        ],
        ids=["session", "ids", "after", "between"],
    )
    def test_each_field(self, library: Visit, fields: dict[str, str], found: set[str]) -> None:
        browser = library.browser
        browser.click("#options-toggle")
        for css, value in fields.items():
            if "T00" in value:
                browser.run(
                    "const one = document.querySelector(arguments[0]); one.value = arguments[1];"
                    "one.dispatchEvent(new Event('input', {bubbles: true}))",
                    css,
                    value,
                )
            else:
                browser.type(css, value)
        search(browser, ASKED)
        assert titles(browser) == found

    def test_conditions_on_metadata(self, library: Visit) -> None:
        browser = library.browser
        browser.click("#options-toggle")
        condition(browser, "year", "is at least", "2021")
        search(browser, ASKED)
        assert titles(browser) == {"Bela", "Cleo"}
        condition(browser, "author", "is one of", "Anna, Bela")
        assert browser.one("#filter-sum").text == (
            "only year is at least 2021, author is one of Anna, Bela"
        )
        search(browser, ASKED)
        assert titles(browser) == {"Bela"}
        browser.click("#conditions li:first-child button")
        assert browser.run("return document.activeElement.id") == "condition-add"
        search(browser, ASKED)
        assert titles(browser) == {"Anna", "Bela"}
        condition(browser, "nothing", "is there")
        search(browser, ASKED)
        assert "Nothing is memorized that could be found." in browser.text(".entry:first-child")

    def test_what_cannot_be_is_said_before_it_is_asked(self, library: Visit) -> None:
        browser = library.browser
        browser.click("#options-toggle")
        condition(browser, "year", "is at least", "2021")
        condition(browser, "year", "is at least", "2022")
        browser.click("#options-toggle")
        browser.type("#question", ASKED, Keys.ENTER)
        assert browser.shown("#options"), "the options open where something is wrong in them"
        assert not browser.all(".entry")
        wrong = browser.all("#conditions input:invalid")[0]
        assert "is one of" in str(wrong.get_property("validationMessage"))
        browser.replace("#conditions li:last-child select + input", "2021")
        browser.click("#conditions li:last-child button")
        browser.type("#question", Keys.ENTER)
        browser.until(lambda: browser.all(".entry[aria-busy=false]"), "it is asked")

    def test_a_search_is_as_of_a_snapshot_too(self, library: Visit) -> None:
        browser = library.browser
        step = library.site.get(library.key, "v1/documents/doc/Anna")["end_step"]
        library.site.world.client.post(
            "/v1/memory/snapshot",
            json={"name": "then", "step": step},
            headers={"authorization": f"Bearer {library.key}"},
        )
        browser.view("memory")
        browser.click("[aria-label='Ask as of then']")
        search(browser, ASKED)
        assert titles(browser) == {"Anna"}
        assert "then" in browser.text(".entry:first-child h2")


class TestWithheld:
    def test_an_answer_that_is_withheld_can_be_shown(self, visit: Visit) -> None:
        browser = visit.browser
        browser.ask(ASKED)  # of an empty memory, whose confidence is 0
        assert browser.shown(".entry.abstained .badge.wait")[0].text == "withheld"
        assert browser.text("#status").startswith("Withheld.")
        refusal = browser.text(".entry .answer")
        browser.click(".anyway")
        browser.until(lambda: not browser.all(".entry[aria-busy=true]"), "the answer")
        browser.until(lambda: browser.text(".entry .answer") != refusal, "other words")
        assert len(browser.all(".entry")) == 1, "in the same place"
        assert not browser.all(".entry.abstained")
        assert "shown although it was withheld" in browser.text(".entry-meta")
        assert browser.run("return document.activeElement.id") == "question"

    def test_a_question_has_a_threshold_of_its_own(self, visit: Visit) -> None:
        browser = visit.browser
        browser.click("#options-toggle")
        browser.type("#threshold", "0")
        browser.ask(ASKED)
        assert not browser.all(".entry.abstained")
        assert not browser.shown(".anyway")
        browser.replace("#threshold", "101")
        browser.type("#question", ASKED, Keys.ENTER)
        assert len(browser.all(".entry")) == 1, "no confidence is above 100 %"


class TestPassages:
    @pytest.mark.parametrize("how", ["ask", "find"])
    def test_one_that_hardly_matched_looks_and_reads_like_it(
        self, library: Visit, how: str
    ) -> None:
        browser = library.browser
        browser.ask(ASKED) if how == "ask" else search(browser, ASKED)
        figures = [one.text for one in browser.all(".entry .source .figure")]
        assert figures[0].endswith("% likely")
        assert "hardly" not in figures[0]
        assert all(one.startswith("hardly a match, ") for one in figures[1:])
        borders = [
            browser.run("return getComputedStyle(arguments[0]).borderTopStyle", one)
            for one in browser.all(".entry .source")
        ]
        assert borders == ["solid", *["dashed"] * (len(figures) - 1)]
        faint = [False, *[True] * (len(figures) - 1)]
        browser.until(lambda: len(browser.shown(".mark-step")) == len(figures), "the picture")
        labels = [str(one.get_attribute("aria-label")) for one in browser.shown(".mark-step")]
        assert [one.endswith("hardly a match") for one in labels] == faint

    def test_where_nothing_matched_it_says_so(self, hardly: Site, browser: Browser) -> None:
        log, headers = hardly.world.tenant("hardly")
        hardly.world.memorize(headers, "The owl is brown.", title="Owl")
        browser.sign_in(hardly.url, hardly.key(log))
        browser.ask(ASKED)
        assert "Nothing in memory matches well" in browser.text(".entry .sources-head")
        search(browser, ASKED)
        assert "Nothing matches well" in browser.text(".entry:first-child .sources-head")

    def test_each_says_where_it_stands(self, library: Visit) -> None:
        browser = library.browser
        search(browser, "Anna owl")
        best = browser.text(".entry .source .foot")
        assert "characters " in best
        assert "step " in best
        assert "has " in browser.text(".entry .found-words")

    def test_a_text_that_is_its_own_title_is_shown_once(self, visit: Visit) -> None:
        browser = visit.browser
        sentence = "The owl is brown."
        browser.add_text("", sentence)
        browser.ask(ASKED)
        cards = browser.all(".entry .source")
        assert cards
        for card in cards:
            title = browser.run("return arguments[0].querySelector('.where b').textContent", card)
            assert title == "Untitled text" or title == sentence
        whole = [one.text for one in cards if sentence in one.text]
        assert all(one.count(sentence) == 1 for one in whole)
        cards[0].click()
        browser.one("#reader mark")
        assert browser.text("#reader-title") == "Untitled text"
        browser.press(Keys.ESCAPE)


class TestLooks:
    def test_no_word_is_broken_beside_the_files(self, visit: Visit) -> None:
        browser = visit.browser
        browser.add_text("Owl", "The owl is brown.")
        browser.run(
            "document.getElementById('rate').textContent = '99 of 100 files · 12,345 tokens/s'"
        )
        lines = """
          const range = document.createRange();
          range.selectNodeContents(document.getElementById("rate"));
          return new Set([...range.getClientRects()].map((box) => box.top)).size"""
        assert browser.run(lines) == 1
        outside = """
          const right = (id) => document.getElementById(id).getBoundingClientRect().right;
          return right("rate") > right("adding") + 1"""
        assert not browser.run(outside)

    def test_on_a_phone_the_question_comes_first(self, visit: Visit) -> None:
        browser = visit.browser
        browser.add_text("Owl", "The owl is brown. " * 20)
        browser.resize(390, 844, mobile=True)
        browser.run("scrollTo(0, 0)")
        place = "return document.getElementById('question').getBoundingClientRect().top"
        assert browser.run(place) < 260
        assert not browser.shown("#picture")
        browser.ask(ASKED)
        toggle = browser.one("#band-toggle")
        assert toggle.get_attribute("aria-expanded") == "false"
        browser.click("#band-toggle")
        assert toggle.get_attribute("aria-expanded") == "true"
        browser.one("#picture")
        cited = len(browser.all(".entry .source"))
        browser.until(lambda: len(browser.shown("#marks .mark-step")) == cited, "the marks")
        browser.click("#band-toggle")
        assert not browser.shown("#picture")

    def test_the_door_has_no_scrollbar(self, browser: Browser, site: Site) -> None:
        browser.arrive(site.url)
        browser.one("#key")
        root = "const root = document.documentElement; return "
        assert browser.run(f"{root}getComputedStyle(root).overflowY") == "visible"
        assert browser.run(f"{root}root.scrollHeight <= root.clientHeight")

    def test_answers_are_told_in_a_place_that_was_there_before(self, visit: Visit) -> None:
        browser = visit.browser
        browser.add_text("Owl", "The owl is brown.")
        browser.run(
            """window.told = [];
            const said = document.getElementById("status");
            new MutationObserver(() => window.told.push(said.textContent))
              .observe(said, {subtree: true, childList: true});"""
        )
        browser.ask(ASKED)
        answer = browser.text(".entry .answer")
        told = browser.run("return window.told")
        assert told[0] == "Looking through memory."
        assert told[-1].startswith(answer)
        assert told[-1].endswith("passages.") or told[-1].endswith("passage.")
        assert len(told) == 2, "not word by word"
        assert browser.all("#status")[0].get_attribute("aria-live") == "polite"
