"""What evaluations found, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from mplus_ray.model.evaluation.plots import Curve

Arms = Mapping[str, Mapping[str, Mapping[str, Any]]]
# Of an entry, what is shown: key, keys of the bounds, and whether it is a share.
_COLUMNS = (
    ("exact", "low", "high"),
    ("f1", "f1_low", "f1_high"),
    ("in_output", "in_output_low", "in_output_high"),
    ("hit@1", "hit@1_low", "hit@1_high"),
    ("hit@3", "hit@3_low", "hit@3_high"),
    ("perplexity", "low", "high"),
    ("ratio", "ratio_low", "ratio_high"),
)


def arms_out(
    result: dict[str, Any], json: str | None, plot: Path | None, curve: Curve, title: str
) -> None:
    """Every arm at every distance: as a picture, as JSON, and for people.

    Args:
        curve: what is drawn of an arm.
        title: of the picture.
    """
    from mplus_ray.model.evaluation.plots import draw_arms
    from mplus_ray.services.cli.output import human, write_json

    if plot is not None:
        draw_arms(plot, result["arms"], curve, title)
    write_json(json, result)
    human(json).print(arms_table(result["arms"], curve))


def arms_table(arms: Arms, curve: Curve) -> Table:
    """An arm and a distance a line, with every figure and its bounds."""
    first = next(iter(next(iter(arms.values())).values()))
    columns = [column for column in _COLUMNS if column[0] in first]
    table = Table("arm", "tokens", *(name for name, _, _ in columns), "n", box=None)
    for arm, points in arms.items():
        for tokens, entry in points.items():
            cells = [_cell(entry, *column) for column in columns]
            table.add_row(arm, f"{int(tokens):,}", *cells, f"{entry['n']:,}")
    table.caption = f"{curve.label}; in brackets the bounds of 95 %"
    return table


def abstention_line(result: Mapping[str, Any]) -> str:
    """What a confidence can do, in two sentences."""
    return (
        f"AUROC {result['auroc']:.3f} ({result['low']:.3f} to {result['high']:.3f}, "
        f"n={result['n']} of each kind) by {' + '.join(result['features'])}. At the threshold "
        f"{result['threshold']:.3f} answers are trusted to {result['answered_stored']:.0%} of what "
        f"was told and {result['answered_not_stored']:.0%} of what never was."
    )


def relevance_table(result: Mapping[str, Any]) -> Table:
    """How often passages with a score were right."""
    table = Table("score", "passages", "mean score", "right", box=None)
    for entry in result["bins"]:
        scores = f"{entry['from']:.2f}-{entry['to']:.2f}"
        table.add_row(scores, f"{entry['n']:,}", f"{entry['mean']:.0%}", f"{entry['right']:.0%}")
    table.caption = (
        f"of the half that nothing was fitted to; Brier score {result['brier']:.3f}, "
        f"{result['brier_constant']:.3f} without looking"
    )
    return table


def quick_table(result: Mapping[str, Any]) -> Table:
    """One table of all evaluations."""
    table = Table("evaluation", "arm", "tokens", "figure", "", "n", box=None)
    for name in ("retention", "sentences", "updates", "many_facts", "qa", "citations"):
        for row in _rows(result[name]["arms"]):
            table.add_row(name.replace("_", " "), *row)
    for tokens, entry in result["retention"]["read"].items():
        cell = _cell(entry, "block", "low", "high")
        table.add_row("retrieval", "mplus", f"{int(tokens):,}", "block read", cell, str(entry["n"]))
    found = result["abstention"]
    table.add_row("abstention", "mplus", "0", "AUROC", _numbers(found, "auroc"), str(found["n"]))
    for row in _rows(result["perplexity"]["arms"]):
        table.add_row("perplexity", *row)
    return table


def _rows(arms: Arms) -> Iterator[tuple[str, str, str, str, str]]:
    for arm, points in arms.items():
        for tokens, entry in points.items():
            for column in _COLUMNS:
                if column[0] in entry:
                    cell = _cell(entry, *column)
                    yield arm, f"{int(tokens):,}", column[0], cell, f"{entry['n']:,}"


def _cell(entry: Mapping[str, Any], name: str, low: str, high: str) -> str:
    if entry[name] is None:
        return "–"
    if name in ("perplexity", "ratio"):
        return _numbers(entry, name, low, high)
    return f"{entry[name]:.1%} ({entry[low]:.0%}–{entry[high]:.0%})"


def _numbers(entry: Mapping[str, Any], name: str, low: str = "low", high: str = "high") -> str:
    if entry[low] is None:
        return f"{entry[name]:.3f}"
    return f"{entry[name]:.3f} ({entry[low]:.3f}–{entry[high]:.3f})"
