"""The one exception tree. Each class maps to one HTTP status and one exit code."""

from __future__ import annotations


class MPlusError(Exception):
    """Something the caller can act on; the message says what was wrong and what to do."""

    exit_code = 1
    http_status = 500


class CheckpointError(MPlusError):
    """A checkpoint cannot be read as the model it claims to be."""

    exit_code = 3


class FingerprintMismatchError(MPlusError):
    """A memory was made with other weights than the ones that are loaded."""

    exit_code = 4
    http_status = 409


class InvalidInputError(MPlusError):
    """The request itself is wrong: empty text, an impossible option, an unknown format."""

    exit_code = 2
    http_status = 422


class DocumentError(InvalidInputError):
    """A document cannot be parsed, or is not what its name says."""


class TenantNotFoundError(MPlusError):
    """The tenant does not exist."""

    exit_code = 5
    http_status = 404


class StorageError(MPlusError):
    """Storage refused to read or write; what was committed before is unchanged."""

    exit_code = 6
    http_status = 503
