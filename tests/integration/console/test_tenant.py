"""What a person does with the console: a real browser, the real app, a tiny model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.integration.console.browser import Browser
from tests.integration.console.visits import ASKED, NEEDS_BROWSER, Site, Visit

pytest_plugins = ["tests.integration.console.visits"]
pytestmark = NEEDS_BROWSER


def test_a_wrong_key_is_refused_and_a_right_one_is_kept_in_the_tab_only(
    browser: Browser, site: Site
) -> None:
    log, _ = site.world.tenant("keys")
    key = site.key(log, "query")
    browser.arrive(site.url)
    browser.type("#key", key[:-1] + ("a" if key[-1] != "a" else "b"), Keys.ENTER)
    assert "not valid" in browser.one("#sign-in-problem .problem").text
    assert not browser.shown("#app")
    browser.replace("#key", key, Keys.ENTER)
    browser.one("#question")
    assert browser.text("#who") == "keys"
    assert browser.texts("#scopes li") == ["may ask"]
    assert not browser.one("#choose").is_enabled()  # it may not add
    assert browser.run("return Object.values(sessionStorage)") == [key]
    assert browser.run("return localStorage.length + document.cookie.length") == 0
    browser.open(site.url)
    browser.one("#question")  # a reload does not sign out
    browser.click("#sign-out")
    browser.one("#key")
    assert browser.run("return sessionStorage.length") == 0
    assert key not in browser.run("return document.documentElement.outerHTML")


def test_a_key_that_is_revoked_leads_back_to_the_door(visit: Visit) -> None:
    browser, credentials = visit.browser, visit.site.world.world.ledger.credentials
    for key in credentials.list(visit.log):
        credentials.revoke(visit.log, key.id)
    browser.run("location.hash = 'documents'")
    assert "not valid" in browser.one("#sign-in-problem .problem").text
    assert browser.run("return sessionStorage.length") == 0


def test_files_are_memorized_and_failures_have_reasons(visit: Visit, tmp_path: Path) -> None:
    browser = visit.browser
    good, bad = tmp_path / "owl.txt", tmp_path / "broken.pdf"
    good.write_text("The owl is brown and says nothing all day. " * 4)
    bad.write_bytes(b"%PDF-1.7 and then nothing of the kind")
    browser.all("#file")[0].send_keys(f"{good}\n{bad}")
    browser.until(lambda: browser.shown("#activity .badge.good"), "memorized")
    browser.until(lambda: browser.shown("#activity .badge.bad"), "failed")
    assert len(browser.text("#activity .why")) > 10
    steps = visit.site.get(visit.key, "v1/memory")["step"]
    browser.until(lambda: f"{steps} steps" in browser.text("#band-sum"), "the sum")
    assert "1 of 2 files" in browser.text("#rate")
    browser.view("documents")
    assert browser.one("#documents .open").text == "owl"
    assert browser.one("#documents .badge").text == "memorized"
    assert not browser.shown("#failures")

    visit.upload("fox.txt", "broken.pdf")  # in one request, so that there is a job which knows
    browser.view("ask")
    browser.view("documents")
    assert browser.one("#failures-sum").text == "1 source not taken in"
    browser.click("#failures-sum")
    assert browser.one("#failures-list b").text == "broken.pdf"
    assert len(browser.one("#failures-list span").text) > 10


def test_an_answer_streams_and_its_citations_open_the_passage(visit: Visit) -> None:
    browser = visit.browser
    browser.add_text("Long", " ".join(f"Number {number} is here." for number in range(60)))
    browser.run(
        """window.seen = [];
        new MutationObserver(() => {
          const entry = document.querySelector(".entry[aria-busy=true] .answer");
          if (entry) window.seen.push(entry.textContent.length);
        }).observe(document.getElementById("answers"), {subtree: true, childList: true});"""
    )
    entry = browser.ask(ASKED)
    assert len(set(browser.run("return window.seen"))) > 5, "words came one after another"
    assert "after step" in entry.text
    cited = browser.all(".entry:first-child .source .text")
    numbers = [str(number + 1) for number in range(len(cited))]
    assert numbers
    browser.until(lambda: browser.texts("#marks .mark-step") == numbers, "the marks")
    text = browser.run("return arguments[0].textContent", cited[0])
    cited[0].click()
    browser.one("#reader mark")
    assert browser.text("#reader mark") == text
    assert browser.run(
        """const box = document.getElementById("reader-text").getBoundingClientRect();
        const mark = document.querySelector("#reader mark").getBoundingClientRect();
        return box.top <= mark.top && mark.bottom <= box.bottom;"""
    )
    assert browser.text("#reader-text").count("Number") == 60
    browser.press(Keys.ESCAPE)
    browser.until(lambda: not browser.shown("#reader"), "closed")


def test_a_search_shows_what_an_answer_would_draw_on(visit: Visit) -> None:
    browser = visit.browser
    browser.add_text("Owl", "The owl is brown and says nothing all day. " * 3)
    entry = browser.ask(ASKED)
    cited = [one.text for one in browser.all(".entry:first-child .source .text")]
    browser.type("#question", ASKED)
    browser.click("#find")
    browser.until(lambda: len(browser.all(".entry")) == 2, "the search")
    browser.until(lambda: not browser.all(".entry[aria-busy=true]"), "its passages")
    found = browser.all(".entry:first-child .source .text")
    assert [one.text for one in found][: len(cited)] == cited
    assert browser.text("#question") == ""
    assert "vote" in browser.text(".entry:first-child .source .where")
    meta = browser.text(".entry:first-child .entry-meta")
    assert "layers" in meta
    assert "ms" in meta
    numbers = [str(number + 1) for number in range(len(found))]
    browser.until(lambda: browser.texts("#marks .mark-step") == numbers, "the marks")
    text = browser.run("return arguments[0].textContent", found[0])
    browser.press("1")  # as passages of an answer
    browser.one("#reader mark")
    assert browser.text("#reader mark") == text
    browser.press(Keys.ESCAPE)
    assert entry.text, "the answer before it stays"


def test_words_of_a_search_are_shown_and_the_keyboard_searches(visit: Visit) -> None:
    browser = visit.browser
    browser.add_text("Owl", "The owl is brown.")
    browser.type("#question", "owls in brown", Keys.CONTROL + Keys.ENTER)
    browser.until(lambda: browser.all(".entry.search .source"), "the passages")
    shown = " · ".join(one.text for one in browser.shown(".found-words b"))
    assert {"owls", "brown"} >= set(shown.split(" · ")) - {""}
    browser.click("#find")  # with nothing to search for
    assert len(browser.all(".entry")) == 1


def test_an_answer_can_be_stopped(visit: Visit) -> None:
    browser = visit.browser
    browser.add_text("Owl", "The owl is brown.")
    browser.click("#options-toggle")
    browser.replace("#max-tokens", "1024")
    browser.type("#question", ASKED, Keys.ENTER)
    browser.until(lambda: browser.text(".entry .answer"), "the first words")
    browser.click("#stop")
    browser.until(lambda: "stopped" in browser.text(".entry-meta"), "stopped")
    browser.one("#ask")
    stats = visit.site.world.answering.stats
    browser.until(lambda: stats().running == 0, "its slot to be free")


def test_a_document_is_forgotten_stage_by_stage(visit: Visit) -> None:
    browser = visit.browser
    browser.add_text("Owl", "The owl is brown.")
    browser.add_text("Fox", "The fox is red.")
    browser.view("documents")
    browser.until(lambda: len(browser.shown("#documents tr")) == 2, "both")
    browser.click("[aria-label='Forget Owl']")
    browser.click("#confirm [data-close]")
    assert len(visit.site.get(visit.key, "v1/documents")["documents"]) == 2
    browser.click("[aria-label='Forget Owl']")
    browser.click("#confirm-yes")
    browser.until(lambda: len(browser.all(".receipt li.done")) == 4, "all stages")
    browser.until(lambda: len(browser.shown("#documents tr")) == 1, "one left")
    assert browser.one("#documents .open").text == "Fox"


def test_documents_are_searched_filtered_and_paged(visit: Visit) -> None:
    browser, world = visit.browser, visit.site.world
    for number in range(60):
        world.world.accept(visit.log, f"note-{number:02}", f"Note {number}")
    browser.view("documents")
    browser.until(lambda: len(browser.shown("#documents tr")) == 50, "a page")
    browser.click("#documents-more")
    browser.until(lambda: len(browser.shown("#documents tr")) == 60, "the second page")
    browser.type("#search", "NOTE-4")
    browser.until(lambda: len(browser.shown("#documents tr")) == 10, "what is like it")
    browser.run("document.getElementById('state').value = 'forgetting'")
    browser.run("document.getElementById('state').dispatchEvent(new Event('change'))")
    assert browser.one("#documents-empty").text == "No document is like that."


def test_the_past_is_asked(visit: Visit) -> None:
    browser = visit.browser
    browser.add_text("Owl", "The owl is brown.")
    first = visit.site.get(visit.key, "v1/memory")["step"]
    browser.view("memory")
    browser.type("#snapshot-name", "the owl", Keys.ENTER)
    browser.one("[aria-label='Ask as of the owl']")
    browser.view("ask")
    browser.add_text("Fox", "The fox is red, and so is its tail.")
    now = visit.site.get(visit.key, "v1/memory")["step"]
    browser.until(lambda: browser.one("#as-of").get_property("max") == str(now), "the new steps")
    browser.type("#as-of", Keys.ARROW_LEFT)
    assert f"step {now - 1}" in browser.one("#asked-as-of").text
    assert f"after step {now - 1}" in browser.ask(ASKED).text
    browser.click("#as-of-label button")
    assert f"after step {now}" in browser.ask(ASKED).text
    browser.view("memory")
    browser.click("[aria-label='Ask as of the owl']")
    assert "the owl" in browser.one("#asked-as-of").text
    assert f"after step {first}" in browser.ask(ASKED).text


def test_the_picture_has_the_columns_and_rows_of_the_map(visit: Visit) -> None:
    browser = visit.browser
    browser.add_text("Long", "The owl is brown. " * 30)
    drawn = visit.site.get(visit.key, "v1/memory/map?steps=120")
    columns, layers = drawn["buckets"], drawn["layers"]

    def paths(tier: str) -> list[str]:
        return [one.get_attribute("d") or "" for one in browser.all(f"#picture path.{tier}")]

    browser.until(lambda: [d.count("H") for d in paths("pool")] == [columns] * layers, "it")
    assert [d.count("H") for d in paths("long")] == [columns] * layers
    assert len(browser.shown("#layer-labels span")) == layers
    for layer, path in enumerate(paths("pool")):
        tops = [float(top) for top in re.findall(r"V([\d.]+)H", path)]
        kept = [
            (pool + long) / (pool + long + gone)
            for pool, long, gone in zip(
                *(drawn[tier][layer] for tier in ("pool", "long_term", "gone")), strict=True
            )
        ]
        assert tops == pytest.approx([layers - layer - share for share in kept])
    picture = browser.one("#picture")
    assert picture.get_attribute("aria-valuemax") == str(columns - 1)
    browser.run("arguments[0].focus({focusVisible: true})", picture)
    browser.press(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_UP)
    said = picture.get_attribute("aria-valuetext") or ""
    pool = drawn["pool"][1][1]
    assert said.startswith("Step")
    assert f", Long. Layer 2: {pool} in the pool" in said
    assert browser.shown("#detail .here")
    browser.view("memory")
    browser.click("#table-details summary")
    rows = "#picture-table tbody tr"  # which the browser hears of a moment after the click
    browser.until(lambda: len(browser.all(rows)) == columns, "the table")
    assert len(browser.all("#picture-table thead th")) == layers + 1
