"""Whether what a service depends on still lives, looked at from a thread of its own.

Serve repairs what it started: HAProxy, the API, readers. Nobody repairs Ray itself, and without it
nothing would ever answer again; so the service ends then, and says why.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from mplus_ray.model.errors import StorageError

HEALTH_SECONDS = 60.0  # without an answer, after which nothing will bring it back
_LOOK_SECONDS = 0.5
_PROCESS_SECONDS = 0.02  # Ray ends a program soon after its raylet, without a word
_ANSWER_SECONDS = 5.0
# Of Ray's own processes, those without which it does not work. The raylet ends when one of its
# agents does.
_NEEDED = {"gcs_server": "its control store", "raylet": "its raylet, or an agent of it,"}
_log = logging.getLogger(__name__)


class ServiceLostError(StorageError):
    """Something ended that the service cannot do without and that nobody repairs."""


class Child(Protocol):
    """A process that was started; `subprocess.Popen` is one."""

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""


@dataclass
class Supervisor:
    """Looks after a service; `check` is to be called often.

    Args:
        processes: that have to live, with what to call them.
        healthy: whether the service answers; it may take seconds.
        patience: seconds for which it may not.
        clock: seconds that only grow.
    """

    processes: Mapping[str, Child]
    healthy: Callable[[], bool] | None = None
    patience: float = HEALTH_SECONDS
    clock: Callable[[], float] = time.monotonic
    _silent_since: float | None = field(default=None, init=False)

    def check(self) -> None:
        """Look once.

        Raises:
            ServiceLostError: what ended, or that the service does not answer.
        """
        self.check_processes()
        self._check_answers()

    def check_processes(self) -> None:
        """Look at the processes alone, which takes no time.

        Raises:
            ServiceLostError: what ended.
        """
        for name, process in self.processes.items():
            if (code := process.poll()) is not None:
                raise ServiceLostError(
                    f"Ray lost {name} ({_ending(code)}), so this has ended; everything that "
                    "was accepted is in the ledger: start it again"
                )

    def _check_answers(self) -> None:
        if self.healthy is None:
            return
        if self.healthy():
            if self._silent_since is not None:
                _log.warning("the service answers again")
            self._silent_since = None
            return
        now = self.clock()
        if self._silent_since is None:
            self._silent_since = now
            _log.warning("the service does not answer /healthz; waiting for Serve to repair it")
        elif now - self._silent_since > self.patience:
            raise ServiceLostError(
                f"the service has not answered /healthz for {self.patience:.0f} s, so it has "
                "ended; everything that was accepted is in the ledger: start it again"
            )


@dataclass(frozen=True)
class _Raylet:
    """One that another program started, known by the socket it listens at."""

    path: str

    def poll(self) -> int | None:
        """1 if nobody listens any more."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_ANSWER_SECONDS)
            try:
                probe.connect(self.path)
            except TimeoutError:
                return None  # busy
            except OSError:
                return 1
        return None


def ray_processes() -> dict[str, Child]:
    """What has to live of the Ray that this process started, or is connected to."""
    import ray._private.worker as driver

    node: Any = driver._global_node
    found: dict[str, Child] = {}
    for kind, said in _NEEDED.items():
        for info in node.all_processes.get(kind, ()):
            found[said] = info.process
    return found or {"the raylet of this machine": _Raylet(node.raylet_socket_name)}


def answers(url: str) -> bool:
    """Whether the API behind a URL says that it lives."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=_ANSWER_SECONDS):
            return True
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def supervised(supervisor: Supervisor, lost: Callable[[ServiceLostError], None]) -> Iterator[None]:
    """Check again and again while this lasts.

    Args:
        lost: is called in the thread that looks, once.
    """
    done, told = threading.Event(), threading.Lock()

    def run(look: Callable[[], None], seconds: float) -> None:
        while not done.wait(seconds):
            try:
                look()
            except ServiceLostError as error:
                if not done.is_set() and told.acquire(blocking=False):
                    lost(error)
                return

    # Apart, because an answer may take seconds, and Ray ends this process soon after its raylet.
    looks = (supervisor.check_processes, _PROCESS_SECONDS), (supervisor.check, _LOOK_SECONDS)
    threads = [threading.Thread(target=run, args=look, daemon=True) for look in looks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join(_ANSWER_SECONDS + 1)


def abandon(error: ServiceLostError) -> None:
    """End at once. With Ray gone, every call to it waits for minutes or aborts this process; what
    it started is ended by who waits for our end, see `ray_leftovers`."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    os._exit(error.exit_code)


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
