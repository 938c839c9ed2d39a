"""Memories brought up to date while somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog
    from mplus_ray.pipeline.writing.write_job import OnStep
    from mplus_ray.services.embedded import Embedded

Watch = Callable[[int, int], "AbstractContextManager[OnStep]"]  # of so many chunks and tokens


def memorize_waiting(system: Embedded, log: TenantLog, watch: Watch) -> None:
    """Memorize what waits, and forget what was asked for."""
    from mplus_ray.pipeline.workers.catch_up import catch_up

    step = log.heads.serving().head.step
    waiting = log.length() - step
    if waiting == 0 and not log.forgets.pending():
        return
    with watch(waiting, log.tokens(from_step=step)) as on_step:
        catch_up(system.engine, [log], on_step)


def warm(system: Embedded, log: TenantLog) -> None:
    """Make a memory again that was dropped, or imported without its rows.

    Raises:
        FingerprintMismatchError: the loaded checkpoint is not the memory's.
    """
    from mplus_ray.pipeline.workers.catch_up import is_cold
    from mplus_ray.services.cli.output import stderr

    if not is_cold(log):
        return
    console = stderr()
    with console.status(f"loading {system.settings.checkpoint}"):
        log.tenant.check_fingerprint(system.model.fingerprint)
    try:
        memorize_waiting(system, log, partial(_watch, log))
    except KeyboardInterrupt:
        console.print(f"stopped; `mplus ingest --tenant {log.tenant.name}` goes on from here")
        raise


@contextmanager
def _watch(log: TenantLog, chunks: int, tokens: int) -> Iterator[OnStep]:
    from mplus_ray.services.cli.output import stderr
    from mplus_ray.services.cli.progress import memorizing

    with memorizing(stderr(), log.tenant.name, chunks) as bar:
        yield bar.step
