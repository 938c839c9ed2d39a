"""Every loss of a run, as `losses.csv` and as `losses.png`.

A line of the table is phase, step and tokens of the phase, name, value; names that begin with
"validation" are those of held-out facts and text.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from math import ceil
from pathlib import Path

from mplus_ray.model.training.recipe import Recipe

_COLUMNS = 4  # of pictures


class Records:
    """The table and the picture of the run in one folder."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.table, self.picture = folder / "losses.csv", folder / "losses.png"
        self._drawn = 0  # bytes of the table that are in the picture
        self._budgets = {phase.name: phase.tokens for phase in recipe.phases}

    def cut(self, size: int) -> None:
        """Forget what was written after a save: it is written again."""
        self.table.touch()
        with self.table.open("r+b") as file:
            file.truncate(size)

    def write(self, phase: str, step: int, tokens: int, values: dict[str, float]) -> int:
        """Add a line for each value; returns the size of the table in bytes."""
        with self.table.open("a", newline="") as file:
            rows = csv.writer(file)
            for name, value in values.items():
                rows.writerow([phase, step, tokens, name, f"{value:.5f}"])
        return self.table.stat().st_size

    def curves(self) -> dict[str, tuple[list[float], list[float]]]:
        """By name, millions of tokens since the run began, and values."""
        starts, start = {}, 0
        for phase, budget in self._budgets.items():
            starts[phase] = start
            start += budget
        curves: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
        if self.table.exists():
            with self.table.open(newline="") as file:
                for phase, _, tokens, name, value in csv.reader(file):
                    if phase in starts:  # not of a recipe that was edited since
                        at, values = curves[name]
                        at.append((starts[phase] + int(tokens)) / 1e6)
                        values.append(float(value))
        return curves

    def plot(self) -> None:
        """Draw every curve of the table, if there is more in it than was drawn."""
        size = self.table.stat().st_size if self.table.exists() else 0
        curves = self.curves() if size != self._drawn else {}
        if not curves:
            return
        self._drawn = size
        from matplotlib.figure import Figure  # takes a second, and a picture comes late

        rows = ceil(len(curves) / _COLUMNS)
        figure = Figure(figsize=(4.0 * _COLUMNS, 2.2 * rows))
        figure.subplots_adjust(0.05, 0.1 / rows, 0.99, 1 - 0.15 / rows, 0.2, 0.5)
        for number, (name, (at, values)) in enumerate(sorted(curves.items())):
            axes = figure.add_subplot(rows, _COLUMNS, number + 1)
            axes.plot(at, values, marker="." if name.startswith("validation") else "")
            axes.set_title(f"{name}, over million tokens", fontsize="medium")
            axes.tick_params(labelsize="small")
        figure.savefig(self.picture, dpi=80)
