"""Two processes that train together, without Ray: `python -m tests.training_processes FILE RANK`.

What they import is little, because it takes longer than what they do.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mplus_ray.model.training.loop import saves
from mplus_ray.model.training.loop.loss_curves import Records
from mplus_ray.model.training.loop.parallel import Group
from mplus_ray.model.training.run import TrainingOrder, open_trainer, tasks_of

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Pair:
    """What both do; the second one wants to stop at its `stop`-th step (0: at none)."""

    asked: TrainingOrder
    sharded: bool
    stop: int
    rendezvous: str


def together(asked: TrainingOrder, sharded: bool, stop: int = 0) -> dict[str, Any]:
    """Train with two processes; the state that is left."""
    job = asked.out / f"job-{stop}"
    job.write_bytes(pickle.dumps(Pair(asked, sharded, stop, f"file://{job}.rendezvous")))
    command = [sys.executable, "-m", "tests.training_processes", str(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([*command, rank], cwd=ROOT, env=environment, stderr=subprocess.PIPE)
        for rank in ("0", "1")
    ]
    try:
        said = [process.communicate()[1].decode() for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], "\n".join(said)
    return saves.read(asked.out)


def _work(pair: Pair, rank: int) -> None:
    dist.init_process_group("gloo", init_method=pair.rendezvous, rank=rank, world_size=2)
    Records.plot = lambda records: None  # type: ignore[assignment,method-assign]
    trainer = open_trainer(pair.asked, Group(rank, 2, pair.sharded), torch.device("cpu"))
    if pair.asked.resume:
        trainer.resume(pair.asked.out)
    step, made = trainer.step, []

    def counted(phase: Any) -> Any:
        made.append(phase)
        trainer.stopping = trainer.stopping or (rank == 1 and len(made) == pair.stop)
        return step(phase)

    trainer.step = counted  # type: ignore[method-assign]
    trainer.run(tasks_of(pair.asked))
    dist.barrier()  # one that is gone before the other has heard it can take that one along
    dist.destroy_process_group()


if __name__ == "__main__":
    _work(pickle.loads(Path(sys.argv[1]).read_bytes()), int(sys.argv[2]))
