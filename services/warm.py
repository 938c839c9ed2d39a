"""Memories brought up to date while somebody watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.tenant_log import TenantLog
    from services.embedded import Embedded


def memorize_waiting(system: Embedded, log: TenantLog) -> tuple[int, int]:
    """Memorize what waits, and forget what was asked for; returns (chunks, tokens)."""
    from pipeline.catch_up import catch_up
    from services.output import stderr
    from services.progress import memorizing

    console = stderr()
    step = log.heads.serving().head.step
    waiting = log.length() - step
    if waiting == 0 and not log.forgets.pending():
        return 0, 0
    tokens = log.tokens(from_step=step)
    try:
        with memorizing(console, {log: waiting}) as on_step:
            return catch_up(system.engine, [log], on_step), tokens
    except KeyboardInterrupt:
        console.print(f"stopped; `mplus ingest --tenant {log.tenant.name}` goes on from here")
        raise


def warm(system: Embedded, log: TenantLog) -> None:
    """Make a memory again that was dropped, or imported without its rows.

    Raises:
        FingerprintMismatchError: the loaded checkpoint is not the memory's.
    """
    from pipeline.catch_up import is_cold
    from services.output import stderr

    if is_cold(log):
        with stderr().status(f"loading {system.settings.checkpoint}"):
            log.tenant.check_fingerprint(system.model.fingerprint)
        memorize_waiting(system, log)
