"""What each error is over HTTP: its status, and whether its sender may read its message.

The one place that knows. A class that is not here is what its nearest parent is; a test sees to
it that none has only `MPlusError` for that, which is an error of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from mplus_ray.model.errors import (
    AttributeQuotaError,
    BusyError,
    CheckpointError,
    ConflictError,
    DamagedFileError,
    DocumentNotFoundError,
    FingerprintMismatchError,
    ForbiddenError,
    InvalidInputError,
    JobNotFoundError,
    KeyNotFoundError,
    MemoryTooLargeError,
    MPlusError,
    NotYetError,
    OverloadedError,
    QuotaError,
    RateLimitedError,
    ReaderLostError,
    RetryLaterError,
    StorageError,
    SwappedError,
    TenantNotFoundError,
    TrainingError,
    UnauthorizedError,
    WebhookNotFoundError,
)
from mplus_ray.services.api.problems.errors import (
    DeadlineError,
    InvalidSchemaError,
    SnapshotNotFoundError,
    UnknownModelError,
)

_UNAUTHORIZED = "the key is not valid; send a current one as `Authorization: Bearer mplus_…`"
_STORAGE = "the storage cannot be reached or refused; nothing was changed, try again later"
_BUSY = "somebody else is at work on what was asked for; try again in a moment"
_DAMAGED = (
    "a file of this memory is damaged; it can be made again from the documents: try again in a "
    "minute, and if it stays so have the operator run `mplus verify`"
)
UNEXPECTED = (
    "something went wrong here that is not your doing; the service's log has it under this "
    "request id"
)


@dataclass(frozen=True)
class ProblemStatus:
    """How an error is answered.

    Attributes:
        code: the HTTP status.
        detail: said instead of the error's message; None where that speaks of the request and of
            what the key may see.
        later: whether the same again may succeed, so that `Retry-After` says when.
    """

    code: int
    detail: str | None = None
    later: bool = False


STATUSES: dict[type[MPlusError], ProblemStatus] = {
    MPlusError: ProblemStatus(500, UNEXPECTED),
    # The request.
    InvalidInputError: ProblemStatus(422),
    InvalidSchemaError: ProblemStatus(400),
    UnauthorizedError: ProblemStatus(401, _UNAUTHORIZED),
    ForbiddenError: ProblemStatus(403),
    TenantNotFoundError: ProblemStatus(404),
    DocumentNotFoundError: ProblemStatus(404),
    JobNotFoundError: ProblemStatus(404),
    KeyNotFoundError: ProblemStatus(404),
    WebhookNotFoundError: ProblemStatus(404),
    SnapshotNotFoundError: ProblemStatus(404),
    UnknownModelError: ProblemStatus(404),
    ConflictError: ProblemStatus(409),
    FingerprintMismatchError: ProblemStatus(409),
    QuotaError: ProblemStatus(413),
    AttributeQuotaError: ProblemStatus(413),
    # What may be otherwise a little later.
    RetryLaterError: ProblemStatus(503, later=True),
    RateLimitedError: ProblemStatus(429, later=True),
    OverloadedError: ProblemStatus(503, later=True),
    ReaderLostError: ProblemStatus(503, later=True),
    NotYetError: ProblemStatus(504, later=True),
    DeadlineError: ProblemStatus(504, later=True),
    # The store, and what it holds.
    StorageError: ProblemStatus(503, _STORAGE, later=True),
    BusyError: ProblemStatus(503, _BUSY, later=True),
    DamagedFileError: ProblemStatus(503, _DAMAGED, later=True),
    SwappedError: ProblemStatus(503),
    MemoryTooLargeError: ProblemStatus(507),
    # Of commands; over HTTP they would be a defect.
    CheckpointError: ProblemStatus(500, UNEXPECTED),
    TrainingError: ProblemStatus(500, UNEXPECTED),
}


def status_of(kind: type[MPlusError]) -> ProblemStatus:
    """That of the class, or of its nearest parent that has one."""
    return next(STATUSES[each] for each in kind.__mro__ if each in STATUSES)
