"""The API's deployment: FastAPI in a replica without weights."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mplus_ray.services.serving.draining import Draining
from mplus_ray.services.serving.process import log_pipe
from mplus_ray.services.serving.process.allocator import share_arenas
from mplus_ray.services.serving.readers.client import ServeReaders
from mplus_ray.services.serving.readers.metrics import ReaderMetrics
from mplus_ray.services.serving.repair import Repairer

if TYPE_CHECKING:
    from mplus_ray.actors.messages import ReaderStats
    from mplus_ray.pipeline.installation import Installation
    from mplus_ray.pipeline.workers.ray_worker import Needs
    from mplus_ray.services.api.deps import Limits
    from mplus_ray.services.cross_origin import CrossOrigin
    from mplus_ray.services.webhooks.hosts import WebhookHosts

_FIGURES_SECONDS = 5.0  # for all readers to say theirs


class Ingress:
    """One replica by default, because what a tenant may do in a minute is counted in each."""

    async def __init__(  # type: ignore[misc]  # Serve waits for it
        self,
        installation: Installation,
        readers: Any,
        model_name: str,
        repairing: Needs,
        limits: Limits | None = None,
        cross_origin: CrossOrigin | None = None,
        webhook_hosts: WebhookHosts | None = None,
    ) -> None:
        """Waits for a reader, which knows the model.

        Args:
            readers: handle of the `Readers` deployment.
            repairing: what making damaged files again needs.
            limits: None are the API's defaults.
            cross_origin: which web pages may call; None: none of other origins.
            webhook_hosts: that webhooks may have beside those of the internet; None: none.
        """
        log_pipe.configure()
        share_arenas()
        self._installation = installation
        self._model_name = model_name
        self._repairing = repairing
        self._limits = limits
        self._cross_origin = cross_origin
        self._webhook_hosts = webhook_hosts
        self._writers: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()
        self._readers = ServeReaders(readers)
        self._card = await self._readers.card()

    def __serve_build_asgi_app__(self) -> Draining:
        """Called by Serve once this is made."""
        from prometheus_client import CollectorRegistry

        from mplus_ray.pipeline.ledger.ledger import Ledger
        from mplus_ray.pipeline.reports.metrics import WriterMetrics
        from mplus_ray.services.api.app import build
        from mplus_ray.services.api.deps import Deps, Limits
        from mplus_ray.services.cross_origin import CrossOrigin
        from mplus_ray.services.webhooks.deliverer import DeliverySettings
        from mplus_ray.services.webhooks.hosts import WebhookHosts

        registry, card = CollectorRegistry(), self._card
        registry.register(WriterMetrics(lambda: dict(self._writers)))
        registry.register(ReaderMetrics(self._readers_figures))
        deps = Deps(
            ledger=Ledger(self._installation.ledger_url),
            files=self._installation.store.open(),
            tokenizer=card.tokenizer,
            fingerprint=card.fingerprint,
            model_name=self._model_name,
            readers=self._readers,
            genesis=card.genesis,
            step_bytes=card.step_bytes,
            confident=card.confident,
            limits=self._limits or Limits(),
            cross_origin=self._cross_origin or CrossOrigin(),
            deliveries=DeliverySettings(self._webhook_hosts or WebhookHosts()),
            registry=registry,
            repair=Repairer(self._installation, self._repairing),
        )
        self._app = Draining(build(deps))
        return self._app

    def _readers_figures(self) -> Mapping[str, ReaderStats]:
        """For a scrape, which comes in a thread."""
        asking = asyncio.run_coroutine_threadsafe(self._readers.figures(), self._loop)
        return asking.result(_FIGURES_SECONDS)

    async def note_writers(self, metrics: Mapping[str, str]) -> None:
        """What each writer counts, in Prometheus' text format, for /metrics."""
        self._writers = dict(metrics)

    async def drain(self, seconds: float) -> int:
        """Finish what is under way, see `Draining.drain`."""
        return await self._app.drain(seconds)
