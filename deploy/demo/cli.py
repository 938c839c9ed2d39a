"""`mplus demo`: two tenants memorize documents that ship, and ask about them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from mplus_ray.services.cli.options import CheckpointOption, JsonOption


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="A new folder that keeps the memories; by default they are gone afterwards.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Two tenants memorize real documents and ask about them, with the service's own parts."""
    from mplus_ray.deploy.demo.run import run_demo

    if data:
        run_demo(data, checkpoint, json)
        return
    with tempfile.TemporaryDirectory(prefix="mplus-demo-") as folder:
        run_demo(Path(folder), checkpoint, json)
