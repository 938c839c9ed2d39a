"""Damaged files are made again by a process that has the write role's weights, if these are needed.

It is a task of its own: readers lack a place to write, and a fleet may have no writer just now.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mplus_ray.model.errors import MPlusError

if TYPE_CHECKING:
    from mplus_ray.pipeline.installation import Installation
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog
    from mplus_ray.pipeline.workers.ray_worker import Needs


class Repairer:
    """Call it with the tenant's log."""

    def __init__(self, installation: Installation, needs: Needs) -> None:
        self._installation = installation
        self._needs = needs

    async def __call__(self, log: TenantLog) -> None:
        """Read all of a tenant's files, and make again those that are damaged.

        Raises:
            MPlusError: also where the task's process ended.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        decorate: Any = ray.remote(
            num_cpus=self._needs.cpus,
            num_gpus=self._needs.gpus,
            resources=dict(self._needs.resources),
            max_retries=0,
        )
        task = decorate(_mend).remote(self._installation, log.tenant.id)
        try:
            await task
        except asyncio.CancelledError:
            ray.cancel(task, force=True)
            raise
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            raise MPlusError(f"the process that repairs a memory ended: {error}") from error


def _mend(installation: Installation, tenant: str) -> list[str]:
    """The files that were made again."""
    from mplus_ray.pipeline.maintenance.repair import verify

    engine = installation.engine()
    try:
        return verify(engine, engine.ledger.log_of(tenant)).repaired
    finally:
        engine.ledger.close()
