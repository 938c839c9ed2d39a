"""A training run by several workers, through Ray Train.

Ray starts the workers, notices when one is lost, and starts all of them again from the last
checkpoint, as often as a run may need on machines that come and go. What is trained does not
depend on it (see `model.training.loop.parallel`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import ray.train
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from mplus_ray.model.errors import InvalidInputError, TrainingError
from mplus_ray.model.training.export import export
from mplus_ray.model.training.loop import saves
from mplus_ray.model.training.run import CHECKPOINT, TrainingOrder, make_ready
from mplus_ray.pipeline.training.follow import following
from mplus_ray.pipeline.training.worker import LOG, work

Strategy = Literal["ddp", "fsdp"]
_FOLDER = "workers"  # of the run's folder: what Ray keeps while it is at work
_FAILURES = 8  # of workers, before the run gives up


def train_on_cluster(order: TrainingOrder, workers: int, strategy: Strategy, gpu: bool) -> None:
    """Train with so many workers on the Ray that this process is connected to.

    Args:
        order: its folders are seen by all workers, under the same paths.
        strategy: "ddp" has all weights on every worker, "fsdp" spreads them.
        gpu: one for each worker.

    Raises:
        TrainingError: workers failed too often; what was saved can be resumed.
    """
    place = order.out.absolute() / _FOLDER
    if place.exists() and not order.resume:
        raise InvalidInputError(
            f"{order.out} holds a run; go on with it by --resume, or name another folder"
        )
    make_ready(order)
    _drop_if_older(place, order.out / saves.STATE)
    trainer = TorchTrainer(
        work,
        train_loop_config={"order": order, "sharded": strategy == "fsdp"},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpu),
        run_config=RunConfig(
            name="run",
            storage_path=str(place),
            failure_config=FailureConfig(max_failures=_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    try:
        with following(order.out / LOG):
            result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise TrainingError(
            f"the training ended after {_FAILURES} failures; --resume goes on from the last save "
            f"in {order.out}: {error}"
        ) from error
    assert result.checkpoint is not None  # the last phase ends with a save
    with result.checkpoint.as_directory() as folder:
        for path in Path(folder).glob("state*.pt"):
            shutil.copyfile(path, order.out / path.name)
    shutil.rmtree(place)
    export(order.recipe, order.out, order.out / CHECKPOINT)


def _drop_if_older(place: Path, state: Path) -> None:
    """Forget what Ray kept of an earlier run if a process alone went on after it."""
    kept = [path.stat().st_mtime for path in place.rglob("*") if path.is_file()]
    if kept and state.exists() and state.stat().st_mtime > max(kept):
        shutil.rmtree(place)
