"""The training loop: phases in order, one optimizer step at a time, resumable to the step."""

from __future__ import annotations

import csv
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from model.network import Network
from model.training import optimizer
from model.training.precision import mixed
from model.training.recipe import LanguagePhase, MemoryPhase, Recipe
from model.training.step import Task

WARMUP_STEPS = 40
LOG_EVERY = 20


class Progress:
    """Where the run stands; everything a resumed run needs beside weights and optimizers."""

    def __init__(self) -> None:
        self.phase = 0
        self.step = 0  # of the phase
        self.tokens = 0  # of the phase
        self.total_tokens = 0
        self.seconds = 0.0


class Trainer:
    """One run in one folder: `state.pt` to resume from, `losses.csv` to look at."""

    def __init__(self, recipe: Recipe, network: Network, out: Path) -> None:
        self.recipe, self.network, self.out = recipe, network, out
        self.progress = Progress()
        self.optimizers: list[Optimizer] = []
        self._stopping = False

    def resume(self) -> None:
        """Continue from the last save of this folder."""
        state = torch.load(self.out / "state.pt", weights_only=True)
        self.network.load_state_dict(state["network"])
        vars(self.progress).update(state["progress"])
        # A save between two phases has no optimizers: the next phase starts its own.
        if state["optimizers"] and self.progress.phase < len(self.recipe.phases):
            self._start(self.recipe.phases[self.progress.phase])
            for opt, saved in zip(self.optimizers, state["optimizers"], strict=True):
                rates = [group["full_lr"] for group in opt.param_groups]
                opt.load_state_dict(saved)
                for group, rate in zip(opt.param_groups, rates, strict=True):
                    group["full_lr"] = rate  # the recipe's, should it have been edited

    def run(self, task_of: Callable[[LanguagePhase | MemoryPhase], Task]) -> None:
        """Train every phase that is not finished."""
        while self.progress.phase < len(self.recipe.phases):
            phase = self.recipe.phases[self.progress.phase]
            if not self.optimizers:
                self._start(phase)
            self._run_phase(phase, task_of(phase))
            self.optimizers = []
            self.progress.phase += 1
            self.progress.step = self.progress.tokens = 0
            self.save()

    def save(self) -> None:
        """Write the state beside the old one and swap, so that a kill leaves one of the two."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimizers": [opt.state_dict() for opt in self.optimizers],
            "progress": vars(self.progress),
        }
        torch.save(state, self.out / "state.tmp")
        (self.out / "state.tmp").replace(self.out / "state.pt")

    def _start(self, phase: LanguagePhase | MemoryPhase) -> None:
        self.optimizers = optimizer.build(self.network, phase.matrix_lr, phase.other_lr)
        for opt in self.optimizers:
            for group in opt.param_groups:
                group["full_lr"] = group["lr"]

    def _run_phase(self, phase: LanguagePhase | MemoryPhase, task: Task) -> None:
        progress, saved = self.progress, time.monotonic()
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        means: dict[str, float] = {}
        while progress.tokens < phase.tokens:
            started = time.monotonic()
            tokens, parts = self._step(phase, task)
            progress.step += 1
            progress.tokens += tokens
            progress.total_tokens += tokens
            progress.seconds += time.monotonic() - started
            for name, value in parts.items():
                if value == value:  # a batch may hold no token of a kind
                    means[name] = 0.9 * means.get(name, value) + 0.1 * value
            if progress.step % LOG_EVERY == 0:
                self._log(phase, means)
            due = time.monotonic() - saved > 60 * self.recipe.save_every_minutes
            if due or self._stopping:
                self.save()
                saved = time.monotonic()
            if self._stopping:
                raise SystemExit(0)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _step(self, phase: LanguagePhase | MemoryPhase, task: Task) -> tuple[int, dict[str, float]]:
        progress = self.progress
        for opt in self.optimizers:
            for group in opt.param_groups:
                group["lr"] = group["full_lr"] * learning_rate(
                    progress.step, progress.tokens / phase.tokens, phase.last_lr
                )
        # Batches depend on (seed, phase, step) only, so a resumed run sees the same ones.
        seed = f"{self.recipe.seed}/{phase.name}/{progress.step}"
        torch.manual_seed(Random(seed).getrandbits(63))
        with mixed(self.recipe.precision, self.network.device):
            loss, tokens, parts = task.loss(self.network, Random(seed))
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for opt in self.optimizers:
            opt.step()
            opt.zero_grad()
        return tokens, parts

    def _log(self, phase: LanguagePhase | MemoryPhase, means: dict[str, float]) -> None:
        progress = self.progress
        speed = progress.total_tokens / max(progress.seconds, 1e-9)
        left = (phase.tokens - progress.tokens) / speed / 60
        figures = " ".join(f"{name} {value:.3f}" for name, value in means.items())
        print(
            f"{phase.name} {progress.tokens / 1e6:.2f}M of {phase.tokens / 1e6:.2f}M tokens, "
            f"{speed:.0f}/s, {left:.0f} min left | {figures}",
            file=sys.stderr,
            flush=True,
        )
        with (self.out / "losses.csv").open("a", newline="") as file:
            rows = csv.writer(file)
            for name, value in means.items():
                rows.writerow([phase.name, progress.step, progress.tokens, name, f"{value:.5f}"])


def learning_rate(step: int, done: float, last: float) -> float:
    """Share of the full rate: linear warm-up over steps, then linear decay over the budget."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 - (1 - last) * min(1.0, done))
