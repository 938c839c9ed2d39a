"""`mplus train`: a checkpoint from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file of model/training/recipes.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the training texts.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the new checkpoint.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run.")] = False,
) -> None:
    """Train an M+ from nothing: language, then memory, then long memory with retrieval."""
    from model.training.run import train as run

    run(recipe, data, out, resume)
