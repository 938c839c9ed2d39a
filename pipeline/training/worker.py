"""One worker of a training run on Ray Train: the same trainer, with its saves handed to Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray.train
import ray.train.torch
from rich.console import Console

from mplus_ray.model.training.loop.parallel import Group
from mplus_ray.model.training.loop.progress import Display
from mplus_ray.model.training.run import TrainingOrder, open_trainer, tasks_of

LOG = "progress.log"  # what the first worker says, in the run's folder


def work(settings: dict[str, Any]) -> None:
    """Train from the last save that Ray has, else from the one in the run's folder, else from the
    beginning.

    Args:
        settings: "order" and "sharded".
    """
    asked: TrainingOrder = settings["order"]
    context = ray.train.get_context()
    group = Group(context.get_world_rank(), context.get_world_size(), settings["sharded"])
    trainer = open_trainer(asked, group, ray.train.torch.get_device(), _keep)
    saved = ray.train.get_checkpoint()
    if saved is not None:
        with saved.as_directory() as folder:
            trainer.resume(Path(folder))
    elif asked.resume:
        trainer.resume(asked.out)
    with (asked.out / LOG).open("a", buffering=1) as log:
        console = Console(file=log, highlight=False, soft_wrap=True)
        trainer.run(tasks_of(asked), Display(asked.recipe, group.rank == 0, console))


def _keep(write: Callable[[Path], None]) -> None:
    """All workers' files become one checkpoint; it counts once every worker has handed its in."""
    with TemporaryDirectory() as folder:
        write(Path(folder))
        ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(folder))
