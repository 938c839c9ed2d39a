"""Figures as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.object_store.failures import refusals_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Curve:
    """Which of an entry's numbers is drawn.

    Attributes:
        name, low, high: keys of an entry.
        label: of the axis.
    """

    name: str
    low: str
    high: str
    label: str


def check(path: Path) -> None:
    """Refuse before hours of measuring what could not be drawn after them.

    Raises:
        InvalidInputError: matplotlib is not installed, or does not know the kind of file.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InvalidInputError(
            "--plot needs matplotlib; install it with pip install 'mplus-ray[train]'"
        ) from None
    kinds = Figure().canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in kinds:
        raise InvalidInputError(f"--plot {path} should end with one of .{', .'.join(kinds)}")


def draw_arms(
    path: Path, arms: Mapping[str, Mapping[str, Mapping[str, Any]]], curve: Curve, title: str
) -> None:
    """A line an arm over the tokens between, with its 95 % bounds."""
    figure, axes = _new(title)
    for name, points in arms.items():
        drawn = [(int(d), entry) for d, entry in points.items() if entry[curve.name] is not None]
        tokens = [d for d, _ in drawn]
        (line,) = axes.plot(tokens, [e[curve.name] for _, e in drawn], marker="o", label=name)
        bounds = [(d, e[curve.low], e[curve.high]) for d, e in drawn if e[curve.low] is not None]
        if bounds:
            at, low, high = zip(*bounds, strict=True)
            axes.fill_between(at, low, high, alpha=0.15, color=line.get_color())
    axes.set_xscale("symlog", linthresh=1000, linscale=0.5)
    asked = sorted({int(d) for points in arms.values() for d in points})
    axes.set_xticks(asked, [f"{d:,}" for d in asked])
    axes.minorticks_off()
    axes.set_xlabel("tokens between")
    axes.set_ylabel(curve.label)
    axes.legend()
    _save(figure, path)


def draw_roc(path: Path, roc: Sequence[Sequence[float]], title: str) -> None:
    """Trusted answers on what is in memory against those on what is not."""
    figure, axes = _new(title)
    axes.plot([x for x, _ in roc], [y for _, y in roc])
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.set_xlabel("trusted, of what was never told")
    axes.set_ylabel("trusted, of what was told")
    _save(figure, path)


def _new(title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # without pyplot there is no window and no global state

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    with refusals_of(f"--plot {path} cannot be written"):
        figure.savefig(path, dpi=150)
