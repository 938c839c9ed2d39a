"""A cluster whose head loses its control store (the GCS) in the middle, and gets it back.

`python -m tests.control_store CHECKPOINT URL STORE` prints what it saw, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(checkpoint: str, url: str, store: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="cs-", dir=os.environ.get("RAY_TMPDIR", "/tmp")))
    os.environ |= {
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "disabled",
        "RAY_gcs_storage": "rocksdb",
        "RAY_gcs_storage_path": str(folder / "gcs"),
    }
    import ray  # it reads its environment when it is imported
    from ray.cluster_utils import Cluster

    from mplus_ray.pipeline.installation import Installation, StoreUrl
    from mplus_ray.pipeline.ledger.ledger import Ledger
    from mplus_ray.pipeline.workers.fleet import Fleet, Scale
    from mplus_ray.pipeline.workers.ray_worker import Needs, RemoteWorker

    (folder / "gcs").mkdir()
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "include_dashboard": False,
            "object_store_memory": 80 * 2**20,
            "temp_dir": str(folder / "ray"),
        },
    )
    ray.init(address=cluster.address, log_to_driver=False)
    installation = Installation(checkpoint, url, StoreUrl(store, Path(store).parent / "cache"))
    fleet: Fleet = Fleet(
        Ledger(url),
        lambda: RemoteWorker(f"w{time.monotonic_ns()}", installation, Needs(cpus=0.5), slots=2),
        Scale(2, 2, slots=2),
    )

    def tick_until(done: Callable[[], bool], seconds: float = 100.0) -> None:
        began = time.monotonic()
        while not done():
            assert time.monotonic() - began < seconds, fleet
            fleet.tick()
            time.sleep(0.2)

    def owners() -> list[str]:
        return sorted(writer.owner for writer in fleet.writers)

    try:
        tick_until(lambda: len([owner for owner in owners() if owner]) == 2)
        time.sleep(0.5)  # they have claimed their tenants
        before = owners()
        seen: dict[str, Any] = {"waiting_when_it_was_killed": fleet.ledger.backlog().chunks}
        head: Any = cluster.head_node
        head.kill_gcs_server()
        time.sleep(3.0)
        seen["memorized_without_it"] = (
            seen["waiting_when_it_was_killed"] - fleet.ledger.backlog().chunks
        )
        head.start_gcs_server()
        tick_until(fleet.idle)
        seen["same_writers_afterwards"] = owners() == before
    finally:
        fleet.stop()
        ray.shutdown()
        cluster.shutdown()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
