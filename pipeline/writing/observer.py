"""What those who watch a writer at work are told; counted in `pipeline.reports.metrics`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


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
