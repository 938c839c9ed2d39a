"""`mplus parity`: the same numbers as the official code, or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mplus_ray.services.cli.options import JsonOption


def parity(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR…", help="Recorded traces of the official code.")
    ],
    json: JsonOption = None,
) -> None:
    """Replay recorded traces and print the largest difference for each kind of tensor.

    Exit code 1 if any difference is above 1e-4.
    """
    from mplus_ray.model.evaluation.parity import TOLERANCE, run
    from mplus_ray.services.cli.output import human, write_json

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
    console = human(json)
    for report in reports:
        console.print(
            f"{report.case}: {report.steps} steps, {report.queries} queries, "
            + ("[green]passed" if report.passed else f"[red]FAILED, above {TOLERANCE:g}")
        )
        for kind, difference in report.differences.items():
            console.print(f"  {kind:<14}{difference:.1e}")
    if not passed:
        raise typer.Exit(1)
