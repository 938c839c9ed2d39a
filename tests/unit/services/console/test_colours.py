"""The console's colours: enough contrast in both themes, and named in one place."""

from __future__ import annotations

import re
from itertools import product

import pytest

from mplus_ray.services.api.console import FOLDER

# Text on what may lie under it (AA: 4.5), and marks and edges beside what they border on (AA: 3).
_TEXT = {
    "ink": "paper surface sunk found danger-sunk",
    "quiet": "paper surface sunk",
    "link": "paper surface",
    "danger": "paper surface sunk danger-sunk",
    "good": "surface good-sunk",
    "wait": "paper surface wait-sunk",
    "on-strong": "strong",
    "on-cited": "cited",
}
_MARKS = {
    "edge": "paper surface",
    "focus": "paper surface sunk",
    "pool": "surface",
    "cited": "gone",
}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast_is_enough(theme: int) -> None:
    css = (FOLDER / "style" / "theme.css").read_text()
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    colours = {name: values[theme] for name, *values in pairs}
    for least, wanted in ((4.5, _TEXT), (3.0, _MARKS)):
        for front, backs in wanted.items():
            for back in backs.split():
                assert _contrast(colours[front], colours[back]) >= least, (front, back)


def test_colours_are_named_in_one_place() -> None:
    styles = [path for path in (FOLDER / "style").iterdir() if path.name != "theme.css"]
    assert len(styles) > 5
    for path, pattern in product(styles, (r"#[0-9a-f]{3,8}\b", r"hsl|oklch")):
        css = re.sub(r"#[a-z][a-z-]+", "", path.read_text())  # without selectors of ids
        assert re.findall(pattern, css) == [], path.name


def _contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
