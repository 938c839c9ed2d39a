"""The loop: losses fall, a resumed run equals one that was never stopped, exports load."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import Optimizer

from mplus_ray.model.config import Retrieval
from mplus_ray.model.errors import CheckpointError, InvalidInputError
from mplus_ray.model.mplus import MPlus
from mplus_ray.model.training.export import export
from mplus_ray.model.training.loop.loop import Trainer, learning_rate
from mplus_ray.model.training.loop.loss_curves import Records
from mplus_ray.model.training.loop.optimizer import orthogonalize
from mplus_ray.model.training.network.initial import first_weights
from mplus_ray.model.training.phases.memory import MemoryTask
from mplus_ray.model.training.run import train
from mplus_ray.model.training.task import Draws
from tests.training import LANGUAGE, MEMORY, order, tiny_recipe, trainer

BLOCKS = replace(MEMORY, name="blocks", chunks=(2,), gradient_chunks=1, continuing=0.3)
PHASES = (LANGUAGE, MEMORY, BLOCKS)


def _state(run: Trainer) -> list[torch.Tensor]:
    def moments(opt: Optimizer) -> list[torch.Tensor]:
        return [v for s in opt.state.values() for v in s.values() if torch.is_tensor(v)]

    banks = [block for task in run.tasks.values() for block in task.state().get("blocks", ())]
    return [*run.whole.network.parameters(), *chain(*map(moments, run.optimizers)), *banks]


def _stop_after(run: Trainer, steps: int) -> None:
    """As SIGTERM would: the step under way is finished."""
    step, made = run.step, 0

    def counted(phase):
        nonlocal made
        made += 1
        run.stopping = made == steps
        return step(phase)

    run.step = counted  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than everything else here; test_training_records.py draws one."""
    monkeypatch.setattr(Records, "plot", lambda records: None)


def test_batches_drawn_ahead_are_the_same(tmp_path: Path) -> None:
    recipe = tiny_recipe(phases=PHASES)
    runs = []
    for drawers in (0, 2):
        run, task_of = trainer(recipe, tmp_path, f"run{drawers}", steps=4, drawers=drawers)
        run.run(task_of)
        runs.append(list(run.whole.network.parameters()))

    for here, ahead in zip(*runs, strict=True):
        assert torch.equal(here, ahead)


@pytest.mark.parametrize(("cores", "gpus", "drawers"), [(16, 1, 8), (16, 4, 3), (4, 8, 0)])
def test_a_gpu_gets_the_cores_that_its_worker_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, gpus: int, drawers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    asked = order(tiny_recipe(), tmp_path)
    assert asked.drawers_of(torch.device("cuda:0")) == drawers
    assert asked.drawers_of(torch.device("cpu")) == 0


@pytest.mark.parametrize("stops", [(3, 6), (13, 1, 2)])
def test_a_resumed_run_equals_an_uninterrupted_one_in_every_phase(
    tmp_path: Path, stops: tuple[int, ...]
) -> None:
    recipe = tiny_recipe(phases=PHASES)
    whole, task_of = trainer(recipe, tmp_path, "whole", validated=True)
    whole.run(task_of)

    for number, steps in enumerate(stops):
        part, task_of = trainer(recipe, tmp_path, "part", validated=True, resume=number > 0)
        if number:
            part.resume(part.out)
        _stop_after(part, steps)
        part.run(task_of)
        assert part.stopping
    with (tmp_path / "part" / "losses.csv").open("a") as table:
        table.write("memory,1,1,lost with the process that wrote it,1.0\n")
    last, task_of = trainer(recipe, tmp_path, "part", validated=True, resume=True)
    last.resume(last.out)
    last.run(task_of)

    assert last.standing.phase == len(PHASES)
    for mine, theirs in zip(_state(last), _state(whole), strict=True):
        assert torch.equal(mine, theirs)
    assert _read(tmp_path, "part", "losses.csv") == _read(tmp_path, "whole", "losses.csv")
    assert last.standing.best == whole.standing.best
    ours, others = (torch.load(tmp_path / name / "best.pt") for name in ("part", "whole"))
    assert all(torch.equal(ours["network"][n], w) for n, w in others["network"].items())


def _read(folder: Path, run: str, name: str) -> str:
    return (folder / run / name).read_text()


def test_a_run_can_begin_with_a_checkpoint(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    earlier, _ = trainer(replace(recipe, seed=9), tmp_path)
    earlier.save()
    export(recipe, earlier.out, tmp_path / "checkpoint")
    begun = first_weights(replace(recipe, start=str(tmp_path / "checkpoint")))
    kept = earlier.whole.network.to(torch.bfloat16).state_dict()
    for name, weights in begun.state_dict().items():
        assert torch.equal(weights, kept[name].float()), name
    other = replace(recipe.model, hidden_size=32)
    with pytest.raises(CheckpointError):
        first_weights(replace(recipe, model=other, start=str(tmp_path / "checkpoint")))


def test_an_export_can_keep_a_share_of_the_first_weights(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    earlier, _ = trainer(replace(recipe, seed=9), tmp_path, "earlier")
    earlier.save()
    export(recipe, earlier.out, tmp_path / "first")
    recipe = replace(recipe, start=str(tmp_path / "first"), kept=0.25)
    run, task_of = trainer(recipe, tmp_path, "run")
    run.run(task_of)

    export(recipe, run.out, tmp_path / "mixed", last=True)

    first = first_weights(recipe).state_dict()
    mixed = first_weights(replace(recipe, start=str(tmp_path / "mixed"))).state_dict()
    for name, last in run.whole.network.state_dict().items():
        expected = (0.75 * last + 0.25 * first[name]).to(torch.bfloat16).float()
        assert torch.allclose(mixed[name], expected, rtol=0.01), name
    assert any(not torch.allclose(mixed[n], first[n], rtol=0.01) for n in mixed)


@pytest.mark.parametrize("changes", [{"kept": 0.5}, {"kept": 1.0, "start": "first"}])
def test_what_cannot_be_kept_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="kept"):
        tiny_recipe(**changes)


def test_a_finished_run_goes_on_when_its_recipe_gets_another_phase(tmp_path: Path) -> None:
    run, task_of = trainer(tiny_recipe(), tmp_path)
    run.run(task_of)
    longer = tiny_recipe(phases=(LANGUAGE, replace(LANGUAGE, name="more")))

    resumed, task_of = trainer(longer, tmp_path, resume=True)
    resumed.resume(resumed.out)
    resumed.run(task_of)

    assert resumed.standing.phase == 2
    assert resumed.standing.total_tokens >= 2 * LANGUAGE.tokens


def test_a_run_is_not_begun_where_another_is(tmp_path: Path) -> None:
    assert train(order(tiny_recipe(), tmp_path, steps=1))

    with pytest.raises(InvalidInputError, match="--resume"):
        order(tiny_recipe(), tmp_path)


def test_texts_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"absent\.jsonl"):
        order(tiny_recipe(questions=("absent.jsonl",)), tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_to_start_from_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"starts from .*absent"):
        order(tiny_recipe(start=str(tmp_path / "absent")), tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("retrieval", ["blocks", "rows"])
def test_memory_training_lowers_the_loss(tmp_path: Path, retrieval: Retrieval) -> None:
    phase = replace(MEMORY, matrix_lr=0.1, other_lr=0.05, retriever_weight=1.0)
    model = replace(tiny_recipe().model, retrieval=retrieval)
    run, task_of = trainer(tiny_recipe(phases=(phase,), model=model), tmp_path)
    run.start(phase)
    run.open_tasks(phase, task_of)
    losses = []
    for _ in range(30):
        _, parts, _ = run.step(phase)
        run.standing.step += 1
        losses.append(parts["answering"])

    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    task = run.tasks[0]
    assert isinstance(task, MemoryTask)
    assert len(task.bank) == task.bank.capacity


@pytest.mark.parametrize("retrieval", ["blocks", "rows"])
def test_every_parameter_of_the_memory_is_trained(tmp_path: Path, retrieval: Retrieval) -> None:
    phase = replace(MEMORY, chunks=(2,))
    model = replace(tiny_recipe().model, retrieval=retrieval)
    run, task_of = trainer(tiny_recipe(phases=(phase,), model=model), tmp_path)
    task = task_of(phase)
    for step in range(3):
        draws = Draws.of(str(step), 0)
        run.whole(task, task.draw(draws), draws).loss.backward()

    parameters = run.whole.network.named_parameters()
    silent = [n for n, p in parameters if p.grad is None or not p.grad.any()]
    assert silent == []


def test_recomputing_activations_changes_no_gradient(tmp_path: Path) -> None:
    phase = replace(MEMORY, chunks=(2,))
    gradients = []
    for recompute in (False, True):
        recipe = tiny_recipe(phases=(phase,), recompute=recompute)
        run, task_of = trainer(recipe, tmp_path, f"run{recompute}")
        task = task_of(phase)
        for step in range(2):
            torch.manual_seed(step)
            draws = Draws.of(str(step), 0)
            run.whole(task, task.draw(draws), draws).loss.backward()
        gradients.append([p.grad for p in run.whole.network.parameters()])

    for kept, again in zip(*gradients, strict=True):
        assert torch.allclose(kept, again, atol=1e-7)


def test_an_export_loads_and_answers(tmp_path: Path) -> None:
    assert train(order(tiny_recipe(phases=PHASES), tmp_path, steps=2))

    mplus = MPlus.load(tmp_path / "run" / "checkpoint")
    memory = mplus.memorize(mplus.empty_memory(), "Maren Tolva lives in Brelin.")
    assert mplus.ask(memory, "Where does Maren Tolva live?", max_tokens=3).usage.memory_rows
    assert mplus.config.prompt_template is not None


def test_learning_rate_warms_up_and_decays_to_its_last_share() -> None:
    assert learning_rate(0, 0.0, 0.1) < learning_rate(20, 0.0, 0.1) < 1
    assert learning_rate(1000, 0.0, 0.1) == 1
    assert learning_rate(1000, 1.0, 0.1) == pytest.approx(0.1)


def test_orthogonalized_steps_have_like_singular_values() -> None:
    values = torch.linalg.svdvals(orthogonalize(torch.randn(2, 12, 6)))

    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.5
