"""A progress bar for each tenant whose log is being memorized."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipeline.memorize import OnStep
from pipeline.tenant_log import Tenant, TenantLog


class _TokenRate(ProgressColumn):
    def render(self, task: Task) -> Text:
        elapsed = task.finished_time or task.elapsed
        rate = task.fields["tokens"] / elapsed if elapsed else 0.0
        return Text(f"{rate:,.0f} tokens/s", style="cyan")


@contextmanager
def memorizing(console: Console, waiting: dict[TenantLog, int]) -> Iterator[OnStep]:
    """Show the progress of `waiting` chunks of each tenant; yields what is called at each step."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("chunks"),
        _TokenRate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks = {
            log.tenant.id: progress.add_task(f"memorizing {log.tenant.name}", total=n, tokens=0)
            for log, n in waiting.items()
        }

        def on_step(tenant: Tenant, tokens: int) -> None:
            task = progress.tasks[progress.task_ids.index(tasks[tenant.id])]
            progress.update(task.id, advance=1, tokens=task.fields["tokens"] + tokens)

        yield on_step
