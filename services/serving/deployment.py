"""The application on a Ray that is there already: started, looked after, and brought to its end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray import serve
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from mplus_ray.model.errors import InvalidInputError, MPlusError, StorageError
from mplus_ray.services.serving.application import INGRESS, NAME, READERS
from mplus_ray.services.serving.model_card import Card

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
_CARD_SECONDS = 5.0  # after which it is looked at what became of the readers
_READERS_SECONDS = 3.5  # in which a reader finishes what it was asked before the end
_REQUESTS_SECONDS = 4.5  # and the ingress, which then passes on what readers told
_TAKEN = ("Failed to bind", "cannot bind socket")  # as Serve's proxy and HAProxy say it
_QUIET = {"enable_access_log": False, "log_level": "WARNING"}  # the API has its own access log


@dataclass(frozen=True)
class Address:
    """Where the service listens.

    Attributes:
        host: a name or an IP address.
        port: 0 for any that is free.
    """

    host: str
    port: int

    @property
    def url(self) -> str:
        """By which this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class Deployment:
    """The deployed application."""

    def __init__(self, handles: dict[str, Any]) -> None:
        self._handles = handles

    def card(self) -> Card:
        """The model that the readers have loaded, once one has.

        Raises:
            MPlusError: it cannot be loaded.
        """
        card: Card | None = None
        while card is None:
            self.deployed()  # or an error
            card = self._call(READERS, "card", _CARD_SECONDS)
        return card

    def deployed(self) -> bool:
        """Whether all deployments run.

        Raises:
            StorageError: Serve has given up one that fails again and again.
        """
        status = serve.status().applications.get(NAME)
        if status is None:
            return False
        if status.status == "DEPLOY_FAILED":
            said = [status.message, *(each.message for each in status.deployments.values())]
            raise StorageError("the service cannot start:\n" + "\n".join(filter(None, said)))
        return status.status == "RUNNING"

    def note_writers(self, metrics: dict[str, str]) -> None:
        """Have the ingress show what writers count."""
        _hear(self._handles[INGRESS].broadcast("note_writers", metrics), seconds=2.0)

    def drain(self, hurry: threading.Event) -> None:
        """Let the ingress and the readers come to their end; once `hurry` is set, do not wait."""
        threads: list[threading.Thread] = []
        for name, seconds in ((INGRESS, _REQUESTS_SECONDS), (READERS, _READERS_SECONDS)):
            said = self._handles[name].broadcast("drain", seconds)
            thread = threading.Thread(target=_hear, args=(said, seconds + 1.5), daemon=True)
            thread.start()
            threads.append(thread)
        while any(thread.is_alive() for thread in threads) and not hurry.wait(_LOOK_SECONDS):
            pass

    def _call(self, name: str, method: str, seconds: float) -> Any:
        """One call, or None if it takes longer."""
        try:
            return getattr(self._handles[name], method).remote().result(timeout_s=seconds)
        except RayTaskError as error:
            if isinstance(error.cause, MPlusError):
                raise error.cause from error
            raise
        except (TimeoutError, RayServeException, RayActorError):
            return None


def _hear(broadcast: Any, seconds: float) -> None:
    """Wait until all replicas have done it; those that are gone need not."""
    try:
        broadcast.results(timeout_s=seconds, return_exceptions=True)
    except (TimeoutError, RayServeException, RayError) as error:
        _log.warning("not all replicas could be told: %s", type(error).__name__)


@contextmanager
def running(app: serve.Application, address: Address, everywhere: bool) -> Iterator[Deployment]:
    """Deploy the application; leaving it takes it away. Drain it before.

    Args:
        everywhere: a proxy on each node of the cluster, where Serve and other applications may
            be running already; then this one is taken away at the end, and they are not.

    Raises:
        InvalidInputError: the cluster has such an application, or Serve with another address.
        StorageError: what listens does not start.
    """
    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # which it says here, besides
    before = serve.status()
    if NAME in before.applications:
        raise InvalidInputError(f"the cluster has an application {NAME!r} already")
    try:
        serve.start(
            proxy_location="EveryNode" if everywhere else "HeadOnly",
            http_options={"host": address.host, "port": address.port, "keep_alive_timeout_s": 90},
            logging_config=_QUIET,
        )
    except (RayActorError, GetTimeoutError):
        pass  # a slow proxy; Serve starts another
    except RuntimeError as error:  # a task's error is of its cause's class
        if not any(words in str(error) for words in _TAKEN):
            reason = str(error).strip().rpartition("\n")[2]
            raise StorageError(f"what listens at {address.url} does not start: {reason}") from error
        raise InvalidInputError(
            f"cannot serve at {address.host}:{address.port}: another program took the port while "
            "Ray started; start again, or give another --port"
        ) from error
    handles: dict[str, Any] = {}
    try:
        target = serve.RunTarget(target=app, name=NAME, route_prefix="/", logging_config=_QUIET)
        serve.run_many([target], wait_for_applications_running=False)
        handles |= {name: serve.get_deployment_handle(name, NAME) for name in (READERS, INGRESS)}
        yield Deployment(handles)
    finally:
        for handle in handles.values():
            handle.shutdown()  # its threads would ask a Ray that is gone
        if everywhere:  # else it ends with its Ray
            serve.delete(NAME) if before.proxies else serve.shutdown()
