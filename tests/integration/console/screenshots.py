"""The README's pictures of the console: real documents, the default checkpoint, a real browser.

python -m tests.integration.console.screenshots [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from mplus_ray.deploy.demo.questions import DOCUMENTS
from mplus_ray.model import MPlus
from mplus_ray.services.settings import Settings
from tests.api_world import serving
from tests.integration.console.browser import Browser, opened

_ROOT = Path(__file__).parents[3]
_WIDTH, _HEIGHT = 1280, 860
_PATIENCE = 1800.0  # seconds
_COLOURS = 128  # a palette of so many is enough for flat areas, and a third of the bytes
_BEFORE = ("Which instrument does Pavel Strand play?",)
_QUESTION = "What is Hugo Vannis allergic to?"


def main(folder: Path) -> None:
    model = MPlus.load(Settings.read().checkpoint)
    with (
        tempfile.TemporaryDirectory() as data,
        serving(model, Path(data), loopback=True, model_name="mplus-small") as world,
    ):
        _, headers = world.tenant("anna")
        url, key = f"{world.url}/", headers["authorization"].removeprefix("Bearer ")
        with opened(_WIDTH, _HEIGHT) as browser:
            browser.prefer("light")
            browser.sign_in(url, key)
            _fill(browser)
            _shoot(browser, folder / "console-light.png")
            browser.prefer("dark")
            _shoot(browser, folder / "console-dark.png")


def _fill(browser: Browser) -> None:
    files = sorted((DOCUMENTS / "anna").iterdir())
    browser.all("#file")[0].send_keys("\n".join(map(str, files)))
    memorized = "#activity .badge.good"
    browser.until(lambda: len(browser.all(memorized)) == len(files), "all of them", _PATIENCE)
    for question in (*_BEFORE, _QUESTION):
        browser.ask(question)


def _shoot(browser: Browser, path: Path) -> None:
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    browser.driver.save_screenshot(str(path))
    with Image.open(path) as taken:
        taken.convert("RGB").quantize(_COLOURS).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _ROOT / "docs")
