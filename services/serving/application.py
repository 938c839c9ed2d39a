"""The Serve application: which deployments, with which settings, and how they are wired."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.serving.api_deployment import Ingress
from mplus_ray.services.serving.readers.deployment import Readers
from mplus_ray.services.serving.readers.scaling import ByLoad

if TYPE_CHECKING:
    from mplus_ray.pipeline.installation import Installation
    from mplus_ray.pipeline.workers.ray_worker import Needs
    from mplus_ray.services.api.deps import Limits
    from mplus_ray.services.cross_origin import CrossOrigin
    from mplus_ray.services.webhooks.hosts import WebhookHosts

NAME = "mplus"  # of the application
READERS, INGRESS = "Readers", "Ingress"

_ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
# More than any queue: a replica never sends a question back, its own queue says when it is full.
# Serve would let one full reader hold up questions to the others.
_NO_BOUND = 10_000
_LOOKING = 256  # questions that may wait for a reader to be there
_REQUESTS = 1_000  # that the ingress has under way
_HEALTH_SECONDS = 1.0
_MEASURE_SECONDS = 0.5  # between two looks at how much a reader is asked


@dataclass(frozen=True)
class Budget:
    """What each reader may hold and do at a time, see `Readers.reconfigure`.

    Attributes:
        device_bytes, host_bytes: of memories; None: a share of what the machine has.
        slots: answers that are decoded at a time.
        queue: questions that may wait.
    """

    device_bytes: int | None = None
    host_bytes: int | None = None
    slots: int = 32
    queue: int = 256


@dataclass(frozen=True)
class Readership:
    """How many readers there may be.

    Attributes:
        quick: seconds for which more load must last before a reader is added; `patience`: for
            which less must do before one is ended, once it has answered what it was asked.
        smallest, largest: readers.
        patience: seconds for which less must do before one is ended, once it has answered what it
            was asked.
        budget: of each.
    """

    smallest: int = 1
    largest: int = 1
    quick: float = 2.0
    patience: float = 60.0
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.largest:
            raise InvalidInputError(
                f"{self.smallest}:{self.largest} readers cannot answer; give MIN:MAX with "
                "1 <= MIN <= MAX"
            )


def application(
    installation: Installation,
    model_name: str,
    readership: Readership,
    needs: Needs,
    repairing: Needs,
    limits: Limits | None = None,
    cross_origin: CrossOrigin | None = None,
    webhook_hosts: WebhookHosts | None = None,
) -> serve.Application:
    """Everything bound together, for `serve.run` or a cluster's Serve configuration.

    Args:
        needs: of one reader; `repairing`: of making a damaged file again.
    """
    readers = serve.deployment(
        name=READERS,
        ray_actor_options=_actor(needs),
        autoscaling_config=_scaling(readership),
        user_config=asdict(readership.budget),
        max_ongoing_requests=_NO_BOUND,
        max_queued_requests=_LOOKING,
        request_router_config={
            "request_router_class": _ROUTER,
            "request_router_kwargs": {"num_fallback_replicas": 0},
        },
        health_check_period_s=_HEALTH_SECONDS,
        health_check_timeout_s=30.0,  # a reader may be opening much
        graceful_shutdown_timeout_s=150.0,  # longer than any answer lasts
    )(Readers)
    ingress = serve.deployment(
        name=INGRESS,
        ray_actor_options={"num_cpus": 0.5},
        max_ongoing_requests=_REQUESTS,
        max_queued_requests=_REQUESTS,
        health_check_period_s=_HEALTH_SECONDS,
        graceful_shutdown_timeout_s=20.0,
    )(serve.ingress()(Ingress))
    bound = readers.bind(installation)
    return ingress.bind(
        installation, bound, model_name, repairing, limits, cross_origin, webhook_hosts
    )


def _actor(needs: Needs) -> dict[str, Any]:
    return {
        "num_cpus": needs.cpus,
        "num_gpus": needs.gpus,
        "resources": dict(needs.resources),
    }


def _scaling(readership: Readership) -> AutoscalingConfig:
    with warnings.catch_warnings():
        # The interval is about to become an environment variable of the whole cluster.
        warnings.simplefilter("ignore", DeprecationWarning)
        return AutoscalingConfig(
            min_replicas=readership.smallest,
            max_replicas=readership.largest,
            upscale_delay_s=readership.quick,
            downscale_delay_s=readership.patience,
            metrics_interval_s=_MEASURE_SECONDS,
            look_back_period_s=4 * _MEASURE_SECONDS,
            policy=AutoscalingPolicy(
                policy_function=f"{ByLoad.__module__}:{ByLoad.__name__}",
                policy_kwargs={"slots": readership.budget.slots},
            ),
        )
