"""The map in ARCHITECTURE.md has a line for every folder of code, and none for another."""

from __future__ import annotations

import re
import subprocess

from tests.paths import ROOT

# In one line with the folder they stand in.
TOGETHER = {
    "bench": "a folder a benchmark",
    "deploy": "`demo/`, which visits the service as a client; `serve/`",
}


def folders() -> set[str]:
    """Those that have files of code, as git knows them or would."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.py"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    found = {path.rpartition("/")[0] for path in done.stdout.splitlines() if (ROOT / path).exists()}
    top = ("model", "actors", "pipeline", "services", "deploy", "bench")
    return {folder for folder in found if folder.split("/")[0] in top}


def mapped() -> set[str]:
    """`a/b/`, `c/` in a line names a/b and the c beside it, or in it if that is there."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text("utf-8")
    table = text.partition("| folder | what is in it |")[2].partition("\n## ")[0]
    found = set()
    for line in table.splitlines():
        cell = line.split("|")[1] if line.startswith("|") else ""
        first, *others = re.findall(r"`([\w/]+)/`", cell) or [""]
        if first:
            found.add(first)
            beside = first.rpartition("/")[0]
            found |= {f"{beside}/{other}" for other in others}
    return found


def test_every_folder_has_a_line_and_every_line_a_folder() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text("utf-8")
    assert all(words in text for words in TOGETHER.values())
    there = {
        folder for folder in folders() if folder in TOGETHER or folder.split("/")[0] not in TOGETHER
    }
    assert there - mapped() == set(), "without a line in the map"
    assert {folder for folder in mapped() if not (ROOT / folder).is_dir()} == set(), "not there"
