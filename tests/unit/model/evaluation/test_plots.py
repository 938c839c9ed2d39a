"""Pictures of evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation import plots


class TestPlots:
    arms: dict[str, dict[str, dict[str, Any]]] = {
        "mplus": {
            "0": {"f1": 0.5, "low": 0.4, "high": 0.6},
            "20000": {"f1": None, "low": None, "high": None},
        }
    }
    curve = plots.Curve("f1", "low", "high", "F1")

    def test_pictures(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        plots.check(tmp_path / "a.png")
        plots.draw_arms(tmp_path / "a.png", self.arms, self.curve, "title")
        plots.draw_roc(tmp_path / "b.svg", [[0.0, 0.0], [1.0, 1.0]], "title")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "b.svg").read_text()
        with pytest.raises(InvalidInputError, match=r"\.png"):
            plots.check(tmp_path / "a.doc")

    def test_without_matplotlib(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
        with pytest.raises(InvalidInputError, match="pip install"):
            plots.check(Path("a.png"))
