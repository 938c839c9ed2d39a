"""A cluster of several nodes on this machine, whose autoscaler adds and removes them.

`python -m tests.autoscaling CHECKPOINT URL STORE` lets a fleet memorize what waits, on nodes that
come for it; one of them is lost in the middle. It prints what it saw, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

NODES = 2
_PORT = 28_391
_PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
_OBJECT_STORE = 80 * 2**20


def _config(address: str, head: str) -> dict[str, Any]:
    lists = "initialization setup head_setup worker_setup head_start_ray worker_start_ray".split()
    return {
        "cluster_name": "fake",
        "max_workers": NODES,
        "provider": {
            "type": "external",
            "module": _PROVIDER,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "gcs_address": address,
            "launch_multiple": True,
            "head_node_id": head,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "writer": {
                "resources": {"CPU": 1, "writer": 1, "object_store_memory": _OBJECT_STORE},
                "node_config": {},
                "min_workers": 0,
                "max_workers": NODES,
            },
        },
        "head_node_type": "ray.head.default",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 0.05,
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "cluster_synced_files": [],
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{name}_commands": [] for name in lists},
    }


@contextmanager
def autoscaling_cluster() -> Iterator[None]:
    """A head without room for writers, and an autoscaler that may add two nodes with."""
    folder = Path(tempfile.mkdtemp(prefix="as-", dir=os.environ.get("RAY_TMPDIR", "/tmp")))
    os.environ |= {
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "disabled",
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "1",
        # A node that is lost is found out about in seconds.
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_failure_threshold": "3",
        "RAY_health_check_initial_delay_ms": "1000",
    }
    # Ray reads its environment when it is imported.
    from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID as HEAD

    os.environ |= {"RAY_CLOUD_INSTANCE_ID": HEAD, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD}
    import ray
    from ray.cluster_utils import Cluster

    config = folder / "autoscaler.json"
    config.write_text(json.dumps(_config(f"{ray.util.get_node_ip_address()}:{_PORT}", HEAD)))
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "gcs_server_port": _PORT,
            "include_dashboard": False,
            "autoscaling_config": str(config),
            "object_store_memory": _OBJECT_STORE,
            "temp_dir": str(folder / "ray"),
        },
    )
    del os.environ["RAY_OVERRIDE_NODE_ID_FOR_TESTING"]
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()
        _end_what_is_left(str(folder))


def _end_what_is_left(folder: str) -> None:
    """Helpers of a node whose raylet was killed; they are known by the session's folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and any(folder in part for part in process.cmdline()):
                process.kill()


def nodes() -> int:
    """Alive ones with room for a writer."""
    import ray

    return sum(1 for node in ray.nodes() if node["Alive"] and "writer" in node["Resources"])


def main(checkpoint: str, url: str, store: str) -> None:
    from mplus_ray.pipeline.installation import Installation, StoreUrl
    from mplus_ray.pipeline.ledger.ledger import Ledger
    from mplus_ray.pipeline.workers.fleet import Fleet, Scale
    from mplus_ray.pipeline.workers.ray_worker import Needs, RemoteWorker

    installation = Installation(checkpoint, url, StoreUrl(store, Path(store).parent / "cache"))
    needs = Needs(cpus=0, resources=(("writer", 1.0),))
    numbers = iter(range(100))
    with autoscaling_cluster():
        fleet: Fleet = Fleet(
            Ledger(url),
            lambda: RemoteWorker(f"w{next(numbers)}", installation, needs, slots=2),
            Scale(0, NODES, slots=2, worth=1, patience=8.0),
        )

        def tick_until(done: Callable[[], bool], seconds: float = 100.0) -> float:
            began = time.monotonic()
            while not done():
                assert time.monotonic() - began < seconds, (fleet, nodes())
                fleet.tick()
                time.sleep(0.2)
            return round(time.monotonic() - began, 1)

        def working() -> list[RemoteWorker]:
            return [w for w in fleet.writers if isinstance(w, RemoteWorker) and w.started]

        seen: dict[str, Any] = {"nodes_before": nodes()}
        seen["seconds_to_first_writer"] = tick_until(lambda: bool(working()))
        started = working()[0].started
        assert started is not None
        tick_until(lambda: any(h.owner.startswith(started.owner) for h in fleet.ledger.holders()))
        raylet = psutil.Process(started.pid).parent()
        assert raylet is not None
        assert "raylet" in raylet.name()
        seen["waiting_when_the_node_was_lost"] = fleet.ledger.backlog().chunks
        raylet.send_signal(signal.SIGKILL)
        seen["seconds_to_its_death"] = tick_until(lambda: fleet.deaths > 0)
        seen["seconds_to_the_end"] = tick_until(fleet.idle)
        seen["most_nodes"] = nodes()
        seen["deaths"] = fleet.deaths
        tick_until(lambda: not fleet.writers)
        began = time.monotonic()
        while nodes() and time.monotonic() - began < 60:
            time.sleep(0.5)
        seen["seconds_to_no_node"] = round(time.monotonic() - began, 1)
        seen["nodes_after"] = nodes()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
