"""What is shown while documents are taken in and memorized: a live line on a terminal, elsewhere
a line now and then, so that a log says that it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mplus_ray.services.cli.output import printable

if TYPE_CHECKING:
    from mplus_ray.pipeline.ingest.ingestor import IngestReport
    from mplus_ray.pipeline.ledger.tenant_log import Tenant
    from mplus_ray.pipeline.writing.write_job import OnStep


LINE_SECONDS = 15.0  # between two lines where no terminal is


class _TokenRate(ProgressColumn):
    def render(self, task: Task) -> Text:
        elapsed = task.finished_time or task.elapsed
        rate = task.fields["tokens"] / elapsed if elapsed else 0.0
        return Text(f"{rate:,.0f} tokens/s", style="cyan")


class ProgressLines:
    """Where no terminal is: a line at most every `pause` seconds, the first one after that."""

    def __init__(
        self,
        console: Console,
        pause: float = LINE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._pause = pause
        self._clock = clock
        self._said = clock()

    def say(self, text: str) -> None:
        """Print it if one is due, and this is no terminal."""
        if self._console.is_terminal or self._clock() - self._said < self._pause:
            return
        self._said = self._clock()
        self._console.print(printable(text), markup=False, soft_wrap=True)


class Memorizing:
    """A bar over the chunks of one memory, of which each is a step.

    Both its sides count steps that were or are to be memorized here; a document that comes in the
    middle makes the whole larger.
    """

    def __init__(self, progress: Progress, name: str, steps: int | None) -> None:
        self._progress = progress
        self._total = 0 if steps is None else steps
        self._done = 0
        self._tokens = 0
        self._name = name
        self._lines = ProgressLines(progress.console)
        self._task = progress.add_task(f"memorizing {name}", total=steps, tokens=0)

    def expect(self, tenant: Tenant, steps: int) -> None:
        """So many are still to be memorized, whatever was thought before."""
        self._total = self._done + steps
        self._progress.update(self._task, total=self._total)

    def step(self, tenant: Tenant, tokens: int) -> None:
        """One was memorized."""
        self._done += 1
        self._tokens += tokens
        self._total = max(self._total, self._done)
        self._progress.update(
            self._task, completed=self._done, total=self._total, tokens=self._tokens
        )
        self._lines.say(
            f"memorizing {self._name}: {self._done:,} of {self._total:,} chunks, "
            f"{self._tokens:,} tokens"
        )


@contextmanager
def memorizing(console: Console, name: str, steps: int | None = None) -> Iterator[Memorizing]:
    """Show how a memory is made.

    Args:
        name: of the tenant.
        steps: that are to be memorized, if they are known before `Memorizing.expect` is told.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("chunks"),
        _TokenRate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Memorizing(progress, escape(printable(name)), steps)


@dataclass
class Figures:
    """What an ingest has done, and what waits.

    Attributes:
        documents, tokens, failures: taken in, their tokens, left out.
        chunks: that wait to be memorized, as far as it is known.
        left: tokens of them that are being memorized.
        memorized: tokens, in so many `seconds`.
        seconds: spent on memorizing.
    """

    documents: int = 0
    tokens: int = 0
    failures: int = 0
    chunks: int = 0
    left: int = 0
    memorized: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = [f"{self.documents:,} documents", f"{self.tokens:,} tokens"]
        if self.failures:
            parts.append(f"{self.failures:,} failed")
        parts.append(f"{self.chunks:,} chunks wait")
        if self.memorized and self.seconds > 0:
            rate = self.memorized / self.seconds
            parts.append(f"{rate:,.0f} tokens/s")
            if self.left:
                parts.append(f"{_clock_face(self.left / rate)} left")
        return " · ".join(parts)


class Ingesting:
    """One live line for both sides of an ingest: taking in, and memorizing.

    Attributes:
        figures: what it shows; it keeps them also where nobody looks.
    """

    def __init__(
        self, console: Console, tenant: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.figures = Figures()
        self._console = console
        self._held = False
        self._clock = clock
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn(escape(printable(tenant))),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[figures]}"),
            TextColumn("[dim]{task.fields[doing]}"),
            console=console,
            transient=True,  # the summary says it for good
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, figures="", doing="")
        self._tenant = tenant
        self._lines = ProgressLines(console, clock=clock)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Give the terminal back."""
        self._progress.stop()

    def doing(self, what: str) -> None:
        """Show what is done at the moment, such as the name of a document."""
        self._show(doing=escape(printable(what)))

    def taken(self, intake: IngestReport, name: str, waiting: int) -> None:
        """A document was taken in, or left out.

        Args:
            waiting: chunks of the tenant that are to be memorized.
        """
        figures = self.figures
        figures.documents = intake.new + intake.known
        figures.tokens, figures.failures = intake.tokens, intake.failures
        figures.chunks = waiting
        self.doing(name)

    def held(self, waiting: int) -> None:
        """Nothing is taken in until writers have memorized some of what waits."""
        self.figures.chunks = waiting
        self.doing("waiting for the writers")
        if not (self._console.is_terminal or self._held):
            self._console.print(
                f"{waiting:,} chunks wait to be memorized; no more is taken in until "
                "`mplus memorize` has done some",
                soft_wrap=True,
            )
        self._held = True

    @contextmanager
    def memorizing(self, chunks: int, tokens: int) -> Iterator[OnStep]:
        """Show how so many chunks are memorized; yields what is called at each step."""
        figures = self.figures
        figures.chunks, figures.left = chunks, tokens
        done, total = 0, chunks
        self._progress.update(self._task, total=chunks, completed=0)
        before = figures.seconds
        began = self._clock()

        def on_step(tenant: Tenant, count: int) -> None:
            nonlocal done, total
            done += 1
            total = max(total, done)  # documents may come meanwhile, from others too
            figures.chunks = max(figures.chunks - 1, 0)
            figures.left = max(figures.left - count, 0)
            figures.memorized += count
            figures.seconds = before + self._clock() - began
            self._progress.update(self._task, completed=done, total=total)
            self._show()

        self.doing("memorizing")
        try:
            yield on_step
        finally:
            self._progress.update(self._task, total=None, completed=0)

    def _show(self, doing: str | None = None) -> None:
        fields: dict[str, Any] = {} if doing is None else {"doing": doing}
        self._progress.update(self._task, figures=str(self.figures), **fields)
        self._lines.say(f"{self._tenant}: {self.figures}")


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
