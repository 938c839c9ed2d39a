"""What those who watch a writer at work are told: an interface, logs, and several as one.

`pipeline.reports.metrics` counts it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mplus_ray.model.errors import InvalidInputError, MPlusError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """One forward pass.

    Attributes:
        tenants, room: chunks in it, and how many there could have been.
        tokens: of all chunks.
        waited: seconds that the pass waited for tokenized chunks.
        forward: seconds of the pass itself.
    """

    tenants: int
    room: int
    tokens: int
    waited: float
    forward: float


@dataclass(frozen=True)
class Commit:
    """Steps of one tenant that became durable and answerable.

    Attributes:
        tenant: its id.
        step: of the head now.
        steps, tokens: since the last commit.
        seal, ledger: seconds that writing the files and the transaction took.
        delays: seconds from acknowledged to answerable, of each document that is complete now.
    """

    tenant: str
    step: int
    steps: int
    tokens: int
    seal: float
    ledger: float
    delays: tuple[float, ...] = ()


class Observer(Protocol):
    """Called from the writer's threads, so calls must be quick and may overlap."""

    def batched(self, batch: Batch) -> None: ...

    def committed(self, commit: Commit) -> None: ...

    def opened(self, tenant: str, waited: float) -> None:
        """A tenant was claimed, whose oldest chunk had waited for so many seconds."""

    def closed(self, tenant: str) -> None: ...

    def lost(self, tenant: str) -> None:
        """Another writer took the tenant over; nothing of this one's was committed."""

    def failed(self, tenant: str, error: Exception, again_in: float) -> None:
        """A tenant is left alone for so many seconds; what was committed stands."""


class Unobserved:
    """Nobody watches."""

    def batched(self, batch: Batch) -> None:
        pass

    def committed(self, commit: Commit) -> None:
        pass

    def opened(self, tenant: str, waited: float) -> None:
        pass

    def closed(self, tenant: str) -> None:
        pass

    def lost(self, tenant: str) -> None:
        pass

    def failed(self, tenant: str, error: Exception, again_in: float) -> None:
        pass


class LoggingObserver:
    """What a writer does, as log records with fields; never what documents say.

    Passes and claims are DEBUG, commits INFO, a tenant that is lost or left alone WARNING.
    """

    def batched(self, batch: Batch) -> None:
        fields = {
            "chunks": batch.tenants,
            "room": batch.room,
            "tokens": batch.tokens,
            "wait_seconds": batch.waited,
            "forward_seconds": batch.forward,
        }
        _log.debug("pass", extra=fields)

    def committed(self, commit: Commit) -> None:
        fields = {
            "tenant": commit.tenant,
            "step": commit.step,
            "chunks": commit.steps,
            "tokens": commit.tokens,
            "documents": len(commit.delays),
            "seal_seconds": commit.seal,
            "ledger_seconds": commit.ledger,
        }
        _log.info("committed", extra=fields)

    def opened(self, tenant: str, waited: float) -> None:
        _log.debug("opened", extra={"tenant": tenant, "waited_seconds": waited})

    def closed(self, tenant: str) -> None:
        _log.debug("closed", extra={"tenant": tenant})

    def lost(self, tenant: str) -> None:
        _log.warning("lost to another writer", extra={"tenant": tenant})

    def failed(self, tenant: str, error: Exception, again_in: float) -> None:
        fields = {
            "tenant": tenant,
            "error": type(error).__name__,
            "reason": reason(error),
            "again_in_seconds": again_in,
        }
        _log.warning("left alone for a while", extra=fields)


class Observers:
    """Tells each of several observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def batched(self, batch: Batch) -> None:
        for observer in self._observers:
            observer.batched(batch)

    def committed(self, commit: Commit) -> None:
        for observer in self._observers:
            observer.committed(commit)

    def opened(self, tenant: str, waited: float) -> None:
        for observer in self._observers:
            observer.opened(tenant, waited)

    def closed(self, tenant: str) -> None:
        for observer in self._observers:
            observer.closed(tenant)

    def lost(self, tenant: str) -> None:
        for observer in self._observers:
            observer.lost(tenant)

    def failed(self, tenant: str, error: Exception, again_in: float) -> None:
        for observer in self._observers:
            observer.failed(tenant, error, again_in)


def reason(error: BaseException) -> str:
    """What can be said of an error without quoting what users sent.

    Messages of libraries are left out, and of databases all but the code: they quote statements
    with the text in them. Of ours, those about the input are, which quote the input.
    """
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    said = [_said(each, chain) for each in chain]
    return " ← ".join(said)


def _said(error: BaseException, chain: Sequence[BaseException]) -> str:
    name = type(error).__name__
    from_database = any(hasattr(each, "orig") for each in chain)
    if isinstance(error, MPlusError) and not isinstance(error, InvalidInputError):
        return name if from_database else f"{name}: {error}"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    code = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None)
    return f"{name} {code}" if code else name
