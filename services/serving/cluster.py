"""The application for a cluster that is managed by Serve's own configuration.

`serve deploy deploy/serve/cluster.yaml` builds it on the cluster; writers are
`mplus memorize --writers MIN:MAX --ray-address auto` there, and the first keys
`mplus keys create --operator`. Where ledger, store and checkpoint are, the environment says.
"""

# Serve makes `Arguments` of a configuration only where the annotation is the class itself, and with
# `from __future__ import annotations` it is a string.

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt
from ray import serve

from mplus_ray.model.checkpoint.hub import checkpoint_name
from mplus_ray.pipeline.workers.ray_worker import Needs
from mplus_ray.services.embedded import Embedded
from mplus_ray.services.serving.application import Budget, Readership, application
from mplus_ray.services.serving.placement import check_reach
from mplus_ray.services.settings import Settings


class Arguments(BaseModel):
    """What the configuration's `args` may say; `Readership`, `Budget` and `Needs` explain it."""

    model_config = ConfigDict(extra="forbid")

    smallest: PositiveInt = 1
    largest: PositiveInt = 1
    device_bytes: PositiveInt | None = None
    host_bytes: PositiveInt | None = None
    slots: PositiveInt = 32
    queue: PositiveInt = 256
    reader_cpus: NonNegativeFloat = 1.0
    reader_gpus: NonNegativeFloat = 0.0
    writer_cpus: NonNegativeFloat = 1.0
    writer_gpus: NonNegativeFloat = 0.0


def build(arguments: Arguments) -> serve.Application:
    """Called by Serve.

    Raises:
        InvalidInputError: ledger or store are files, which several nodes do not share.
    """
    settings = Settings.read()
    installation = Embedded(settings).installation
    check_reach(installation, nodes=2)  # a cluster has several, sooner or later
    budget = Budget(arguments.device_bytes, arguments.host_bytes, arguments.slots, arguments.queue)
    return application(
        installation,
        checkpoint_name(settings.checkpoint).rpartition("/")[2],
        Readership(arguments.smallest, arguments.largest, budget=budget),
        needs=Needs(arguments.reader_cpus, arguments.reader_gpus),
        repairing=Needs(arguments.writer_cpus, arguments.writer_gpus),
        cross_origin=settings.cross_origin,
        webhook_hosts=settings.webhook_hosts,
    )
