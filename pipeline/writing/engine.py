"""What keeping memories, and bringing them up to their logs, needs in one hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from mplus_ray.model.errors import BusyError
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.ledger.heads.lease_owner import is_gone, new_owner
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.writing.write_job import WriterLike

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mplus_ray.model import MPlus
    from mplus_ray.model.object_store.object_store import ObjectStore

LivingSteps = Callable[[int, str, Sequence[int]], "NDArray[np.bool_] | None"]

LEASE_SECONDS = 60.0  # a commit renews it; a holder that is silent for so long is taken for dead
_POLL_SECONDS = 0.2
_DAY = 24 * 3600.0


@dataclass(frozen=True)
class Stores:
    """The ledger and the files: enough for all that needs no weights.

    Attributes:
        patience: seconds to wait for another writer of the same tenant.
        ledger: text, order and heads.
        files: the rows.
    """

    ledger: Ledger
    files: ObjectStore
    patience: float = field(default=_DAY, kw_only=True)

    @contextmanager
    def lease(self, log: TenantLog) -> Iterator[Lease]:
        """Hold a tenant for writing, waiting for another writer to finish.

        Raises:
            BusyError: it did not within `patience`.
        """
        lease = claim(log, self.patience)
        try:
            yield lease
        finally:
            log.heads.release(lease)


@dataclass(frozen=True)
class Engine(Stores):
    """The stores, with a writer and its weights.

    Attributes:
        fingerprint: of the weights.
        living_steps: which steps a memory still has rows of, see `MPlus.living_steps`; without
            it, files of forgotten rows stay.
        writer: of the write role.
        tokenizer: of the weights.
    """

    writer: WriterLike
    tokenizer: Tokenizer
    fingerprint: str
    living_steps: LivingSteps | None = None

    @classmethod
    def of(cls, model: MPlus, ledger: Ledger, files: ObjectStore, patience: float = _DAY) -> Self:
        """The engine of a model, which needs no more than its write role."""
        from mplus_ray.actors.writer import Writer

        return cls(
            ledger,
            files,
            Writer(model, files),
            model.tokenizer,
            model.fingerprint,
            model.living_steps,
            patience=patience,
        )

    def check(self, log: TenantLog) -> None:
        """Refuse to write on a memory that other weights made.

        Raises:
            FingerprintMismatchError: which weights it belongs to.
        """
        made_with = log.heads.serving().head.fingerprint
        replace(log.tenant, fingerprint=made_with).check_fingerprint(self.fingerprint)


def claim(log: TenantLog, patience: float) -> Lease:
    """Take a tenant's lease, waiting for its holder to finish or to be found dead."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return log.heads.claim(new_owner(), LEASE_SECONDS, is_gone)
        except BusyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_SECONDS)
