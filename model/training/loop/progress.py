"""Where a run stands, and how that is shown: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from mplus_ray.model.training.recipe import Phase, Recipe

_LINE_EVERY = 20  # steps
_SMOOTHING = 0.9


@dataclass
class Standing:
    """Everything a resumed run needs beside weights, optimizers and banks.

    Attributes:
        phase: number of the phase.
        step, tokens: of the phase.
        means: the losses, smoothed over steps.
        best, best_tokens: the best validation so far, and after how many tokens.
        log_bytes: length of losses.csv.
        total_tokens: of all phases so far.
        seconds: spent so far, over all runs.
    """

    phase: int = 0
    step: int = 0
    tokens: int = 0
    total_tokens: int = 0
    seconds: float = 0.0
    means: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    best_tokens: int = 0
    log_bytes: int = 0

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.total_tokens / max(self.seconds, 1e-9)

    def add(self, tokens: int, parts: dict[str, float], seconds: float) -> None:
        """Count a step."""
        self.step += 1
        self.tokens += tokens
        self.total_tokens += tokens
        self.seconds += seconds
        for name, value in parts.items():
            if value == value:  # a batch may hold no token of a kind
                before = self.means.get(name, value)
                self.means[name] = _SMOOTHING * before + (1 - _SMOOTHING) * value

    def next_phase(self) -> None:
        self.phase += 1
        self.step = self.tokens = 0
        self.means = {}


class Display:
    """Shows a run on standard error; `shown` is false for all workers but one."""

    def __init__(self, recipe: Recipe, shown: bool = True, console: Console | None = None) -> None:
        self._recipe, self._shown = recipe, shown
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = shown and self._console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            disable=not self._live,
        )
        total = sum(phase.tokens for phase in recipe.phases)
        self._run = self._bar.add_task(recipe.name, total=total, figures="")
        self._phase = self._bar.add_task("", total=None, figures="", visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, phase: Phase, standing: Standing) -> None:
        """A phase begins, or goes on after a resume."""
        self._bar.reset(
            self._phase,
            description=phase.name,
            total=phase.tokens,
            completed=standing.tokens,
            visible=True,
        )

    def step(self, phase: Phase, standing: Standing) -> None:
        """A step was made."""
        if self._live:
            figures = f"{standing.speed:,.0f} tokens/s"
            self._bar.update(self._run, completed=standing.total_tokens, figures=figures)
            self._bar.update(
                self._phase, completed=standing.tokens, figures=_figures(standing.means)
            )
        elif self._shown and standing.step % _LINE_EVERY == 0:
            left = (phase.tokens - standing.tokens) / standing.speed
            later = sum(p.tokens for p in self._recipe.phases[standing.phase + 1 :])
            self._console.print(
                f"{phase.name} {standing.tokens / 1e6:.2f}M of {phase.tokens / 1e6:.2f}M tokens, "
                f"{standing.speed:.0f}/s, {left / 60:.0f} min left, "
                f"{(left + later / standing.speed) / 60:.0f} of the run | "
                f"{_figures(standing.means)}",
                markup=False,
            )

    def validated(self, figures: dict[str, float], best: bool) -> None:
        """The held-out figures were taken."""
        if self._shown:
            note = " (the best so far)" if best else ""
            self._console.print(f"validation | {_figures(figures)}{note}", markup=False)


def _figures(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in values.items())
