"""Errors that only the API has."""

from __future__ import annotations

from collections.abc import Sequence

from mplus_ray.model.errors import (
    DocumentError,
    InvalidInputError,
    MPlusError,
    RetryLaterError,
)
from mplus_ray.services.api.schemas.problems import FailedSource, Refused


class DeadlineError(RetryLaterError):
    """The answer did not come in the time that a request may take."""

    exit_code = 6


class NothingTakenInError(DocumentError):
    """No document of a request could be taken in; `failed` says why of each, `refusals` how
    many, and `next_line` where to go on with a stream of which more could be read.
    """

    def __init__(
        self,
        failed: Sequence[FailedSource],
        refusals: Sequence[Refused] = (),
        next_line: int | None = None,
        complete: bool = True,
    ) -> None:
        first = failed[0].reason if failed else "there was none"
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        super().__init__(f"no document could be taken in: {first}{more}")
        self.failed = failed
        self.refusals = refusals
        self.next_line = next_line
        self.complete = complete


class ParameterError(InvalidInputError):
    """A parameter of a request cannot be taken; `param` is its name."""

    def __init__(self, param: str, why: str) -> None:
        super().__init__(f"{param}: {why}")
        self.param = param
        self.why = why


class InvalidSchemaError(ParameterError):
    """A JSON Schema cannot be followed."""


class UnknownModelError(MPlusError):
    """The request names a model that is not here."""

    exit_code = 5


class SnapshotNotFoundError(MPlusError):
    """The tenant has no such snapshot."""

    exit_code = 5
