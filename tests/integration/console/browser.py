"""A headless Chromium looking at the console, as tests and the script for screenshots use it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

T = TypeVar("T")

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
)
_PATIENCE = 60.0  # seconds


def missing() -> str | None:
    """What there is to install before a browser can be opened; None: nothing."""
    if any(map(shutil.which, _NAMES)) and shutil.which("chromedriver"):
        return None
    return "needs Chromium and its driver; on Debian: apt-get install chromium chromium-driver"


class Browser:
    """A tab. Elements are named by CSS selectors, and looked for anew each time."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def shown(self, css: str) -> list[WebElement]:
        """Those that are visible; what is drawn anew meanwhile is looked for again."""
        while True:
            with suppress(StaleElementReferenceException):
                return [one for one in self.all(css) if one.is_displayed()]

    def texts(self, css: str) -> list[str]:
        """Of those that are visible, at one moment."""
        return self.until(lambda: [[one.text for one in self.shown(css)]], f"texts of {css}")[0]

    def one(self, css: str) -> WebElement:
        """The first one that is visible, as soon as there is one."""
        return self.until(lambda: self.shown(css), f"{css} to be visible")[0]

    def text(self, css: str) -> str:
        """Of the first one, visible or not."""
        return str(self.all(css)[0].get_property("textContent"))

    def click(self, css: str) -> None:
        """What is drawn anew under the hand is clicked once it stands."""

        def clicked() -> bool:
            try:
                self.one(css).click()
            except StaleElementReferenceException:
                return False
            return True

        self.until(clicked, f"{css} to be clicked")

    def type(self, css: str, *keys: str) -> None:
        self.one(css).send_keys(*keys)

    def replace(self, css: str, *keys: str) -> None:
        self.one(css).clear()
        self.type(css, *keys)

    def press(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: Callable[[], T], what: str, patience: float = _PATIENCE) -> T:
        """The condition's value, as soon as it is true."""
        wait = WebDriverWait(
            self.driver,
            patience,
            poll_frequency=0.05,
            ignored_exceptions=[StaleElementReferenceException, IndexError],
        )
        return wait.until(lambda _: condition(), f"waited for {what}")

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """What the system's theme is: light or dark."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def complaints(self) -> list[str]:
        """What the console of the browser said since it was asked last, with every violation of
        the content security policy; answers with an error status are not among them.
        """
        said = [str(line["message"]) for line in self.driver.get_log("browser")]
        return [line for line in said if "the server responded with a status of" not in line]

    # What a person does in the console.

    def arrive(self, url: str) -> None:
        """For the first time."""
        self.open(
            f"{url}console/icon.svg"
        )  # of the same origin, and no script runs that could write more
        self.run("sessionStorage.clear(); localStorage.clear()")
        self.open(url)

    def sign_in(self, url: str, key: str) -> None:
        """In a tab that was never signed in."""
        self.arrive(url)
        self.type("#key", key, Keys.ENTER)
        self.one("#question")

    def view(self, name: str) -> None:
        self.click(f"nav [data-view={name}]")
        self.until(lambda: self.shown(f"#view-{name}"), f"the view {name}")

    def add_text(self, title: str, text: str) -> None:
        """Paste a text and wait until it is memorized."""
        before = len(self.all("#activity .badge.good"))
        if not self.shown("#paste"):
            self.click("#paste-toggle")
        self.run("document.getElementById('paste-title').value = arguments[0]", title)
        self.run("document.getElementById('paste-text').value = arguments[0]", text)
        self.click("#paste button[type=submit]")
        self.until(lambda: len(self.all("#activity .badge.good")) > before, "memorized")

    def ask(self, question: str) -> WebElement:
        """The finished entry of a question, with its answer."""
        before = len(self.all(".entry"))
        self.type("#question", question, Keys.ENTER)
        self.until(lambda: len(self.all(".entry")) > before, "the question")
        self.until(lambda: not self.all(".entry[aria-busy=true]"), "the answer")
        return self.all(".entry")[0]


@contextmanager
def opened(width: int = 1280, height: int = 860) -> Iterator[Browser]:
    """A browser with one tab of this size, in points."""
    options = ChromeOptions()
    options.binary_location = next(path for path in map(shutil.which, _NAMES) if path)
    for flag in (*_FLAGS, f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        browser = Browser(driver)
        browser.resize(width, height)
        yield browser
    finally:
        driver.quit()
