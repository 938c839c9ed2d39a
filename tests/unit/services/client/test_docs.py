"""docs/CLIENT.md: every example runs, one after another, as it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mplus_client
from mplus_client import Client
from mplus_client.client import Operations
from mplus_ray.model import MPlus
from tests.api_world import ApiWorld, serving
from tests.paths import ROOT

TEXT = (ROOT / "docs" / "CLIENT.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
URL = "http://127.0.0.1:8000"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiWorld]:
    with serving(MPlus.load("tiny", device="cpu"), tmp_path, loopback=True) as world:
        yield world


def test_every_example_runs(
    api: ApiWorld,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = api.fresh()["authorization"].removeprefix("Bearer ")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "owl.txt").write_text("The owl is brown.")
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES) >= 10
    with Client(api.url, key) as client:
        names: dict[str, object] = {"KEY": key}
        for number, example in enumerate(EXAMPLES):
            compiled = compile(
                example.replace(URL, api.url), f"docs/CLIENT.md, example {number}", "exec"
            )
            exec(compiled, names)
            if number == 0:  # the examples that follow have a client that is open
                names["client"] = client
    said = capsys.readouterr().out
    told = "people/ilse memorized", "owl.txt 17 17", "21 0 0 []", "documents=20 ", "Dorvas ["
    for part in (*told, "Anna lives in"):
        assert part in said


def test_every_operation_and_exception_is_told_of() -> None:
    operations = {
        name for base in Operations.__mro__ for name in vars(base) if not name.startswith("_")
    }
    told = set(re.findall(r"\w+", TEXT))
    assert operations - {"patience"} - told == set()
    errors = {name for name in mplus_client.__all__ if name.endswith("Error")}
    assert errors - told == set()
