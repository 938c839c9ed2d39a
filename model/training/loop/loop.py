"""The training loop: phases in order, one optimizer step at a time, resumable to the step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mplus_ray.model.training.loop import optimizer, saves
from mplus_ray.model.training.loop.loss_curves import Records
from mplus_ray.model.training.loop.parallel import Group, Whole, gathered
from mplus_ray.model.training.loop.precision import mixed
from mplus_ray.model.training.loop.prefetch import DrawnBatch, batches
from mplus_ray.model.training.loop.progress import Display, Standing
from mplus_ray.model.training.recipe import Phase, Recipe
from mplus_ray.model.training.task import Task
from mplus_ray.model.training.validation.held_out import Validation, score

WARMUP_STEPS = 40
LOG_EVERY = 20

# Called with what writes the run's state into a folder; says where, and what becomes of it.
Keep = Callable[[Callable[[Path], None]], None]


class Trainer:
    """One run: `losses.csv`, `losses.png` and `best.pt` in `out`, its state where `keep` says."""

    def __init__(
        self,
        recipe: Recipe,
        whole: Whole,
        out: Path,
        group: Group | None = None,
        keep: Keep | None = None,
        validation: Validation | None = None,
        limit: int | None = None,
        drawers: int = 0,
        minutes: float | None = None,
    ) -> None:
        """
        Args:
            drawers: processes that draw batches ahead.
            keep: None writes into `out`.
            limit: so many steps of every phase at most.
            minutes: after which it saves and stops.
        """
        self.recipe, self.whole, self.out = recipe, whole, out
        self.group = group or Group()
        self.validation, self.limit, self.drawers = validation, limit, drawers
        self.standing = Standing()
        self.records = Records(out, recipe)
        self.optimizers: list[Optimizer] = []
        self.tasks: dict[int, Task] = {}
        self._drawn: Iterator[list[DrawnBatch]] = iter(())
        self.stopping = False  # set it to save and leave after the step under way
        self._keep: Keep = keep or (lambda write: write(out))
        self._restored: dict[int, Any] = {}
        self._saved = time.monotonic()
        self._until = None if minutes is None else self._saved + 60 * minutes

    def resume(self, folder: Path) -> None:
        """Continue from the save in a folder."""
        state = saves.read(folder)
        saves.set_weights(self.whole.network, state["network"])
        vars(self.standing).update(state["progress"])
        if self.group.rank == 0 and "log_bytes" in state["progress"]:
            self.records.cut(self.standing.log_bytes)
        self._restored = state["tasks"]
        # A save between two phases has no optimizers: the next phase starts its own.
        if state["optimizers"] and self.standing.phase < len(self.recipe.phases):
            self.start(self.recipe.phases[self.standing.phase])
            for opt, saved in zip(self.optimizers, state["optimizers"], strict=True):
                saves.set_optimizer(opt, saved)

    def run(self, task_of: Callable[[Phase], Task], display: Display | None = None) -> None:
        """Train every phase that is not finished."""
        with display or Display(self.recipe, self.group.rank == 0) as shown:
            while self.standing.phase < len(self.recipe.phases) and not self.stopping:
                phase = self.recipe.phases[self.standing.phase]
                if not self.optimizers:
                    self.start(phase)
                self.open_tasks(phase, task_of)
                shown.begin(phase, self.standing)
                self._run_phase(phase, shown)

    def start(self, phase: Phase) -> None:
        """Begin a phase with fresh optimizers."""
        network = self.whole.network
        self.optimizers = optimizer.build(network, phase.matrix_lr, phase.other_lr)
        for opt in self.optimizers:
            for group in opt.param_groups:
                group["full_lr"] = group["lr"]

    def open_tasks(self, phase: Phase, task_of: Callable[[Phase], Task]) -> None:
        """A task for every shard of this worker's, with the banks of the save, if there is one."""
        self.tasks = {shard: task_of(phase) for shard in self.group.shards(self.recipe.shards)}
        for shard, task in self.tasks.items():
            if shard in self._restored:
                task.restore(self._restored[shard], self.whole.network.device)
        self._restored = {}
        # Batches depend on (seed, phase, step, shard) only: a resumed run sees the same ones.
        name = f"{self.recipe.seed}/{phase.name}"
        self._drawn = batches(self.tasks, name, self.standing.step, self.drawers)

    def save(self) -> None:
        """Write the state, and draw the curves; all workers must come here together."""
        progress = vars(self.standing)
        state = {
            "network": saves.weights_of(self.whole.network),
            "optimizers": [gathered(opt.state_dict()) for opt in self.optimizers],
            "progress": progress,
        }
        tasks = {shard: task.state() for shard, task in self.tasks.items()}
        rank = self.group.rank

        def write(folder: Path) -> None:
            content = state if rank == 0 else {"total_tokens": self.standing.total_tokens}
            name = f"state.{rank}.pt" if rank else saves.STATE
            saves.write(folder / name, {**content, "tasks": tasks})

        self._keep(write)
        if rank == 0:
            self.records.plot()
        self._saved = time.monotonic()

    def _run_phase(self, phase: Phase, shown: Display) -> None:
        standing = self.standing
        while not self._is_over(phase):
            started, before = time.monotonic(), standing.total_tokens
            tokens, parts, due = self.step(phase)
            standing.add(tokens, parts, time.monotonic() - started)
            shown.step(phase, standing)
            if standing.step % LOG_EVERY == 0:
                self._record(phase, standing.means)
            over = self._is_over(phase)
            if self.validation and (over or self.validation.is_due(before, standing.total_tokens)):
                self._validate(self.validation, phase, shown)
            if over:
                break
            if due:
                self.save()
            if self.stopping:
                return
        self.optimizers, self.tasks, self._drawn = [], {}, iter(())
        standing.next_phase()
        self.save()

    def _is_over(self, phase: Phase) -> bool:
        standing = self.standing
        limited = self.limit is not None and standing.step >= self.limit
        return standing.tokens >= phase.tokens or limited

    def step(self, phase: Phase) -> tuple[int, dict[str, float], bool]:
        """One step of all workers: its tokens, its figures, and whether it is time to save."""
        standing, network = self.standing, self.whole.network
        share = learning_rate(standing.step, standing.tokens / phase.tokens, phase.last_lr)
        for opt in self.optimizers:
            for group in opt.param_groups:
                group["lr"] = group["full_lr"] * share
        names: list[str] = []
        values: list[list[float]] = []
        for task, drawn in zip(self.tasks.values(), next(self._drawn), strict=True):
            torch.manual_seed(drawn.seed)
            with mixed(self.recipe.precision, network.device):
                result = self.whole(task, drawn.batch, drawn.draws)
            (result.loss / len(self.tasks)).backward()
            names = list(result.parts)
            values.append([result.tokens, self._is_due(), *result.parts.values()])
        trained = [p for p in network.parameters() if p.requires_grad]
        self.group.average(trained)
        nn.utils.clip_grad_norm_(trained, 1.0)
        for opt in self.optimizers:
            opt.step()
            opt.zero_grad()
        tokens, dues, *columns = zip(*self.group.gather(values, network.device), strict=True)
        self.stopping = self.stopping or max(dues) > 1
        parts = dict(zip(names, map(_mean, columns), strict=True))
        return int(sum(tokens)), parts, max(dues) > 0

    def _is_due(self) -> int:
        """0: no save; 1: it is time for one; 2: and to stop after it. All do what one of them
        wants."""
        now = time.monotonic()
        if self.stopping or (self._until is not None and now > self._until):
            return 2
        return int((now - self._saved) / 60 > self.recipe.save_every_minutes)

    def _validate(self, validation: Validation, phase: Phase, shown: Display) -> None:
        figures = validation.measure(self.whole)
        value, best = score(figures), self.standing.best
        is_best = best is None or value < best
        shown.validated(figures, is_best)
        self._record(phase, {f"validation {name}": figure for name, figure in figures.items()})
        if is_best:
            self.standing.best, self.standing.best_tokens = value, self.standing.total_tokens
            weights = saves.weights_of(self.whole.network)
            if self.group.rank == 0:
                saves.write(self.out / saves.BEST, {"network": weights, "figures": figures})

    def _record(self, phase: Phase, values: dict[str, float]) -> None:
        if self.group.rank == 0:
            standing = self.standing
            standing.log_bytes = self.records.write(
                phase.name, standing.step, standing.tokens, values
            )


def learning_rate(step: int, done: float, last: float) -> float:
    """Share of the full rate: linear warm-up over steps, then linear decay over the budget."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 - (1 - last) * min(1.0, done))


def _mean(values: tuple[float, ...]) -> float:
    """Of those that are numbers; nan if none is."""
    numbers = [value for value in values if value == value]
    return sum(numbers) / len(numbers) if numbers else float("nan")
