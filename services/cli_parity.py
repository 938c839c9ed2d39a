"""`mplus parity`: the same numbers as the official code, or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.options import JsonOption


def parity(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR…", help="Recorded traces of the official code.")
    ],
    json: JsonOption = None,
) -> None:
    """Replay recorded traces and print the largest difference for each kind of tensor.

    Exit code 1 if any difference is above 1e-4.
    """
    from rich.table import Table

    from model.parity import TOLERANCE, run
    from services.output import human, write_json

    reports = [run(folder) for folder in folders]
    cases = [
        {
            "case": report.case,
            "steps": report.steps,
            "queries": report.queries,
            "differences": report.differences,
            "passed": report.passed,
        }
        for report in reports
    ]
    passed = all(report.passed for report in reports)
    write_json(json, {"tolerance": TOLERANCE, "passed": passed, "cases": cases})
    kinds = list(dict.fromkeys(kind for report in reports for kind in report.differences))
    table = Table("case", *kinds, "", box=None)
    for report in reports:
        numbers = [f"{report.differences[k]:.1e}" if k in report.differences else "" for k in kinds]
        table.add_row(report.case, *numbers, "passed" if report.passed else "[red]FAILED")
    human(json).print(table)
    if not passed:
        raise typer.Exit(1)
