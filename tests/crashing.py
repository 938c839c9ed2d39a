"""Processes that are killed while they work on a memory, and go on from what they left behind.

A fork server is a process that has loaded the model and forks a child for every run: the child does
what the scenario says, and is killed before the n-th change of the storage, or by a timer. What
a kill leaves is what the operating system has, so flushing to the disk is left out here.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue
from typing import Any

import sqlalchemy

import mplus_ray.pipeline.maintenance.repair
import mplus_ray.pipeline.maintenance.tenant_lifecycle
from mplus_ray.model.errors import TenantNotFoundError
from mplus_ray.pipeline.ledger.database import Database
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.head_files import purge
from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.kill_points import Hooks
from tests.worlds import (
    World,
    load_model,
    log_of,
    make_text,
    many_files,
    merge_all,
    opened,
    without_flushing,
)


@dataclass
class Run:
    """One life of a tenant, in as many processes as it takes.

    Attributes:
        folder: has the store, the notes of what was acknowledged, and the outcome.
        url: of the ledger; by default it is a file in the folder.
        until: the stage after which the outcome is looked at; by default the last one.
    """

    folder: Path
    tenant: str = "anna"
    url: str | None = None
    until: str | None = None

    @property
    def ledger(self) -> str:
        return self.url or f"sqlite:///{self.folder / 'ledger.db'}"


class _Scenario:
    """Everything that changes a memory, once; what a process did not note is done again."""

    def __init__(self, world: World, run: Run) -> None:
        self.world, self.run = world, run

    def play(self, hooks: Hooks) -> None:
        notes = self.run.folder / "notes"
        done = notes.read_text().splitlines() if notes.exists() else []
        for stage, action in STAGES.items():
            hooks.stage = stage
            if stage not in done:
                action(self)
                with notes.open("a") as file:
                    file.write(f"{stage}\n")
            if stage == self.run.until:
                break

    def outcome(self) -> dict[str, Any]:
        """What is to be the same whatever happened, once garbage is removed."""
        world, log = self.world, self.log
        damaged = mplus_ray.pipeline.maintenance.repair.verify(world.engine, log).damaged
        summaries = [s.tenant.name for s in world.ledger.tenants()]
        mine = [world.ledger.tenant(n) for n in summaries if n.startswith(self.run.tenant)]
        for one in mine:
            with world.engine.lease(one) as lease:
                purge(world.engine, one, lease)
        named = {file for one in mine for file in one.heads.files()}
        receipts = [forget.receipt for forget in log.forgets.list()]
        return {
            "digest": world.digest(log),
            "log": log_of(log),
            "snapshots": [(shot.name, shot.step) for shot in log.snapshots.list()],
            "receipts": [(r.document, r.rebuilt is None, r.purged is None) for r in receipts],
            "tenants": len(mine) + len(world.ledger.marked.list()),
            "damaged": damaged,
            "garbage": sorted(world.names() - named),
        }

    @property
    def log(self) -> TenantLog:
        return self.world.tenant(self.run.tenant)

    def _accept(self, key: str, name: str, steps: int) -> None:
        self.world.accept(self.log, key, make_text(name, steps))

    def _catch_up(self) -> None:
        catch_up(self.world.engine, [self.log])

    def _snapshot(self) -> None:
        if not self.log.snapshots.list():
            self.log.snapshots.take("monday")

    def _fork(self) -> None:
        ledger, name = self.world.ledger, f"{self.run.tenant}-fork"
        try:
            fork = ledger.tenant(name)
        except TenantNotFoundError:
            fork = ledger.fork_tenant(self.log, name, 5)
        catch_up(self.world.engine, [fork])
        assert self.world.digest(fork) == self.world.digest(self.log, as_of=5)

    def _delete(self) -> None:
        with suppress(TenantNotFoundError):
            mplus_ray.pipeline.maintenance.tenant_lifecycle.delete(
                self.world.engine, f"{self.run.tenant}-fork"
            )
        mplus_ray.pipeline.maintenance.tenant_lifecycle.sweep(self.world.engine)


STAGES: dict[str, Callable[[_Scenario], Any]] = {
    "accept a": lambda s: s._accept("a", "a", 2),
    "accept b": lambda s: s._accept("b", "b", 4),
    "accept c": lambda s: s._accept("c", "c", 1),
    "memorize": _Scenario._catch_up,
    "accept a again": lambda s: s._accept("a", "another a", 2),
    "accept d": lambda s: s._accept("d", "d", 1),
    "replace": _Scenario._catch_up,
    "snapshot": _Scenario._snapshot,
    "request": lambda s: s.log.forgets.request("c"),
    "forget": _Scenario._catch_up,
    "fork": _Scenario._fork,
    "compact": lambda s: merge_all(s.world, s.log),
    "delete": _Scenario._delete,
    "cool": lambda s: mplus_ray.pipeline.maintenance.tenant_lifecycle.drop_rows(
        s.world.engine, s.log
    ),
    "accept e": lambda s: s._accept("e", "e", 1),
    "warm": _Scenario._catch_up,
}


class ForkServer:
    """Plays the scenario in forked children.

    Attributes:
        shared: has the checkpoint and what other fork servers need as well.
        server: URL of a ledger that is this fork server's own.
    """

    def __init__(self, shared: Path, server: str | None) -> None:
        many_files()
        without_flushing()
        self.shared, self.server = shared, server
        self.model = load_model(shared / "checkpoint")
        self._warm_up()
        gc.collect()
        gc.freeze()  # children would copy the pages of all objects to count them
        gc.disable()

    def _warm_up(self) -> None:
        """Import and prepare here, once, what every child would on its first time."""
        with tempfile.TemporaryDirectory() as folder:
            run = Run(Path(folder))
            with opened(self.model, run.ledger, run.folder / "rows") as world:
                scenario = _Scenario(world, run)
                scenario.play(Hooks(None))
                scenario.outcome()

    def undisturbed(self) -> dict[str, dict[str, Any]]:
        """The outcome after every stage, with its changes and how many seconds it takes.

        What an installation is like before each stage is kept for `from_image`.
        """
        outcomes = {}
        run = Run(self.shared / "undisturbed")
        run.folder.mkdir()
        Database(run.ledger).close()
        for stage in STAGES:
            shutil.copytree(run.folder, self.shared / "before" / stage)
            began = time.monotonic()
            found = self.finish(replace(run, until=stage))
            outcomes[stage] = {**found, "seconds": time.monotonic() - began}
        return outcomes

    def from_image(self, stage: str) -> Run:
        """An installation as it is before a stage, of which no more than that is played."""
        run = Run(self.shared / uuid.uuid4().hex, until=stage)
        shutil.copytree(self.shared / "before" / stage, run.folder)
        return run

    def on_server(self, until: str) -> Run:
        """A new installation on the fork server's server."""
        assert self.server is not None
        engine = sqlalchemy.create_engine(self.server)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("TRUNCATE tenants CASCADE"))
        engine.dispose()
        run = Run(self.shared / uuid.uuid4().hex, url=self.server, until=until)
        run.folder.mkdir()
        return run

    def finish(
        self, run: Run, kill: int | None = None, after: float | None = None
    ) -> dict[str, Any]:
        """The outcome of a run.

        Args:
            kill: before which change of the storage the first process is killed.
            after: seconds after which it is killed.
        """
        child = self.start(run, kill)
        if after is not None:
            time.sleep(after)
            os.kill(child, signal.SIGKILL)  # not reaped yet, so the number is still its own
        killed = _wait(child)
        outcome = run.folder / "outcome"
        if killed and not outcome.exists():
            assert not _wait(self.start(run, None))
        if not outcome.exists():
            raise AssertionError(f"{run}: {(run.folder / 'error').read_text()}")
        found: dict[str, Any] = json.loads(outcome.read_text())
        outcome.unlink()
        return {**found, "killed": killed}

    def start(self, run: Run, kill: int | None) -> int:
        """Play a run in a child; returns its process id."""
        child = os.fork()
        if child:
            return child
        try:
            self._live(run, kill)
        except BaseException:  # noqa: BLE001 - whatever it is, the fork server tells it
            (run.folder / "error").write_text(traceback.format_exc())
        finally:
            os._exit(0)

    def _live(self, run: Run, kill: int | None) -> None:
        hooks = Hooks(kill)
        hooks.install()
        with opened(self.model, run.ledger, run.folder / "rows") as world:
            scenario = _Scenario(world, run)
            scenario.play(hooks)
            changes, hooks.kill = list(hooks.seen), None
            outcome = {**scenario.outcome(), "changes": changes}
        temporary = run.folder / "outcome.new"
        temporary.write_text(json.dumps(outcome))
        temporary.replace(run.folder / "outcome")


def _wait(child: int) -> bool:
    """Whether it was killed."""
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _serve(fork_server: ForkServer) -> None:
    """Orders come in and outcomes go out, a line of JSON each."""
    for line in sys.stdin:
        order = json.loads(line)
        if order["task"] == "undisturbed":
            found: Any = fork_server.undisturbed()
        else:
            stage = order["stage"]
            run = fork_server.on_server(stage) if order["server"] else fork_server.from_image(stage)
            found = fork_server.finish(run, order["kill"], order["after"])
            shutil.rmtree(run.folder)
        print(json.dumps(found), flush=True)


class ForkServers:
    """Some processes that each are a fork server: only a process of one thread can be forked."""

    def __init__(self, shared: Path, servers: Sequence[str | None]) -> None:
        load_model(shared / "checkpoint")
        self._free: Queue[subprocess.Popen[str]] = Queue()
        self._all = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.crashing", str(shared), server or ""],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for server in servers
        ]
        for process in self._all:
            self._free.put(process)
        self._threads = ThreadPoolExecutor(len(servers))

    def undisturbed(self) -> dict[str, dict[str, Any]]:
        """See `ForkServer.undisturbed`."""
        return self._order({"task": "undisturbed"})

    def killed(
        self,
        stage: str,
        *,
        kill: int | None = None,
        after: float | None = None,
        server: bool = False,
    ) -> Future[dict[str, Any]]:
        """The outcome of a stage, on a server of all up to it, of which one process was killed."""
        order = {"task": "killed", "stage": stage, "kill": kill, "after": after, "server": server}
        return self._threads.submit(self._order, order)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        for process in self._all:
            process.communicate()  # at the end of its orders it ends

    def _order(self, order: dict[str, Any]) -> Any:
        process = self._free.get()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, "the fork server failed; it said why"
            return json.loads(line)
        finally:
            self._free.put(process)


if __name__ == "__main__":
    _serve(ForkServer(Path(sys.argv[1]), sys.argv[2] or None))
