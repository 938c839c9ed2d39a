"""The one exception tree, with the exit code of each class; `services.api.problems.statuses` has
what it is over HTTP."""

from __future__ import annotations


class MPlusError(Exception):
    """Something the caller can act on; the message says what was wrong and what to do."""

    exit_code = 1


class CheckpointError(MPlusError):
    """A checkpoint cannot be read as the model it claims to be."""

    exit_code = 3


class FingerprintMismatchError(MPlusError):
    """A memory was made with other weights than the ones that are loaded."""

    exit_code = 4


class InvalidInputError(MPlusError):
    """The request itself is wrong: empty text, an impossible option, an unknown format."""

    exit_code = 2


class DocumentError(InvalidInputError):
    """A document cannot be parsed, or is not what its name says.

    Attributes:
        reason: why, in a few words that such documents share; they are counted by it.
    """

    def __init__(self, message: str, reason: str = "unreadable") -> None:
        super().__init__(message)
        self.reason = reason


class TenantNotFoundError(MPlusError):
    """The tenant does not exist."""

    exit_code = 5


class StorageError(MPlusError):
    """Storage refused to read or write; what was committed before is unchanged."""

    exit_code = 6


class DamagedFileError(StorageError):
    """A file of a memory is missing or not what was written; it can be made again from text."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(
            f"{file} is damaged ({reason}); `mplus verify` makes it again from the documents"
        )
        self.file = file
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Errors come back from actors; the default would call the constructor with one text."""
        return type(self), (self.file, self.reason)


class StaleLeaseError(StorageError):
    """Another writer has taken this tenant over; what this one had not committed is void."""


class BusyError(StorageError):
    """Somebody else holds what is asked for; the same again later may succeed."""


class QuotaError(MPlusError):
    """The tenant would become larger than it may."""

    exit_code = 7


class AttributeQuotaError(MPlusError):
    """A session, a tag or a field of the metadata would have more than it may; others may not."""

    exit_code = 7


class DocumentNotFoundError(MPlusError):
    """The tenant has no such document."""

    exit_code = 5


class MissingFileError(StorageError):
    """A file that should be in the row store is not there."""


class SwappedError(StorageError):
    """The memory that was read has been replaced meanwhile; the same again sees the new one."""


class BehindError(InvalidInputError):
    """A memory that is to take over has not seen all that the one before it has."""


class UnauthorizedError(MPlusError):
    """The key is not one that opens anything; which of the reasons it is, is not said."""

    exit_code = 8


class ForbiddenError(MPlusError):
    """The key is good, and does not allow this."""

    exit_code = 8


class KeyNotFoundError(MPlusError):
    """The owner has no such key."""

    exit_code = 5


class JobNotFoundError(MPlusError):
    """The tenant has no such job."""

    exit_code = 5


class WebhookNotFoundError(MPlusError):
    """The tenant has no such webhook, or it has no such delivery."""

    exit_code = 5


class ConflictError(MPlusError):
    """An idempotency key stands for another request, or for one that is still at work."""

    exit_code = 2


class RetryLaterError(MPlusError):
    """Asked again after `retry_after` seconds, it may succeed."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type, tuple[str, float]]:
        """Errors come back from actors; the default would forget the seconds."""
        return type(self), (str(self), self.retry_after)


class NotYetError(RetryLaterError):
    """The memory has not come as far as was asked for."""

    exit_code = 6


class RateLimitedError(RetryLaterError):
    """The tenant asks for more in a minute, or at once, than it may."""

    exit_code = 7


class OverloadedError(RetryLaterError):
    """A reader has as many questions as it can hold, or is about to stop."""

    exit_code = 6


class ReaderLostError(RetryLaterError):
    """The reader that was answering ended, and what it had begun is lost."""

    exit_code = 6


class MemoryTooLargeError(MPlusError):
    """A memory does not fit into what a reader may use, not even alone."""

    exit_code = 6


class TrainingError(MPlusError):
    """Workers of a training run failed too often; what it saved can be resumed."""

    exit_code = 6
