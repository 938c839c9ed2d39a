"""`mplus train`: a checkpoint from a recipe."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.cli.options import RayAddressOption

if TYPE_CHECKING:
    from mplus_ray.model.training.run import TrainingOrder


class _Strategy(StrEnum):
    ddp = "ddp"
    fsdp = "fsdp"


def train(
    recipe: Annotated[
        Path,
        typer.Argument(
            help="A YAML file, or the name of one that ships: tiny, more, small, adapt, read, "
            "read_gpu."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of the run; the checkpoint is DIR/checkpoint."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the training texts.", show_default=False),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|ID|FILE",
            help="The model to adapt, for recipes that adapt: folder, hub id or GGUF file.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Begin with the weights in this folder; in its adapters.safetensors, where a "
            "backbone is adapted.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last save.")] = False,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="cpu or cuda; by default a GPU if there is one.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Of every phase, at most; to try a recipe.", show_default=False),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Save and end after so many, to go on with --resume.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Train by so many Ray workers; by default in this process and without Ray.",
            show_default=False,
        ),
    ] = None,
    strategy: Annotated[
        _Strategy,
        typer.Option(help="Of several workers: each has all weights, or a share of them."),
    ] = _Strategy.ddp,
    ray_address: RayAddressOption = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Do not train: write the run's weights there.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Export the last weights, not the best in validation.")
    ] = False,
    trained_only: Annotated[
        bool,
        typer.Option(
            "--trained-only",
            help="Export adapters.safetensors and config.json only; other files there stay.",
        ),
    ] = False,
) -> None:
    """Train an M+ from nothing, or adapt a backbone: see docs/TRAINING.md.

    SIGTERM and Ctrl-C save and end; --resume goes on as if nothing had been.
    """
    from mplus_ray.model.training.export import export as write
    from mplus_ray.model.training.recipe import Recipe
    from mplus_ray.model.training.run import TrainingOrder
    from mplus_ray.services.cli.output import stderr

    loaded = Recipe.load(_shipped(recipe), backbone, start)
    if export is not None:
        write(loaded, out, export, last, trained_only)
        return
    for name, given in (("--last", last), ("--trained-only", trained_only)):
        if given:
            raise InvalidInputError(
                f"{name} says what --export writes; without it, it means nothing"
            )
    if minutes is not None and workers is not None:
        raise InvalidInputError("--minutes is for one process; with --workers use --steps")
    if data is None:
        raise InvalidInputError("training needs --data, the folder of the training texts")
    folders = data.absolute(), out.absolute()
    order = TrainingOrder(loaded, *folders, device, resume, steps, minutes=minutes)
    if workers is None:
        ended = _alone(order)
    else:
        _together(order, workers, strategy, ray_address)
        ended = True
    done = f"trained; the checkpoint is {out / 'checkpoint'}"
    said = done if ended else "stopped and saved; go on with --resume"
    stderr().print(f"{out}: {said}", soft_wrap=True)


def _alone(order: TrainingOrder) -> bool:
    from mplus_ray.model.training.run import train as run

    return run(order)


def _together(order: TrainingOrder, workers: int, strategy: _Strategy, address: str | None) -> None:
    from mplus_ray.pipeline.ray_cluster import local_ray, ray_at

    gpu = order.device_of().type == "cuda"
    with local_ray(workers) if address is None else ray_at(address):
        from mplus_ray.pipeline.training.cluster import (
            train_on_cluster,  # after Ray has its settings
        )

        train_on_cluster(order, workers, strategy.value, gpu)


def _shipped(recipe: Path) -> Path:
    """The file itself, or the one of that name among those that ship."""
    import mplus_ray.model.training.recipe

    shipped = Path(mplus_ray.model.training.recipe.__file__).with_name("recipes") / f"{recipe}.yaml"
    return shipped if not recipe.exists() and shipped.exists() else recipe
