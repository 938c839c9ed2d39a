"""What Ray and Serve go by, set before either is imported."""

from __future__ import annotations

import os

_SERVE = {
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",  # between replicas, instead of the object store
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "1",  # a busy reader is not a lost one
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # nor is a busy machine
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # what listens is back soon
    "RAY_SERVE_LOG_TO_STDERR": "0",  # Serve's own lines are in its files
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else a thread of Serve's starts a Ray after the end of ours
}


def set_serve_environment(own_ray: bool) -> None:
    """Set what is not set already.

    Args:
        own_ray: whether a Ray of this program alone is going to be started.
    """
    from mplus_ray.pipeline.ray_cluster import set_environment

    if own_ray:
        set_environment()
    for name, value in _SERVE.items():
        os.environ.setdefault(name, value)
