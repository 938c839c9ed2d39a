"""Errors that only the API has."""

from __future__ import annotations

from collections.abc import Sequence

from mplus_ray.model.errors import DocumentError, MPlusError, RetryLaterError
from mplus_ray.services.api.schemas.problems import FailedSource


class DeadlineError(RetryLaterError):
    """The answer did not come in the time that a request may take."""

    exit_code = 6


class NothingTakenInError(DocumentError):
    """No document of a request could be taken in; `failed` says why of each."""

    def __init__(self, failed: Sequence[FailedSource]) -> None:
        first = failed[0].reason if failed else "there was none"
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        super().__init__(f"no document could be taken in: {first}{more}")
        self.failed = failed


class UnknownModelError(MPlusError):
    """The request names a model that is not here."""

    exit_code = 5


class SnapshotNotFoundError(MPlusError):
    """The tenant has no such snapshot."""

    exit_code = 5
