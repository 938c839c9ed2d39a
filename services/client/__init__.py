"""A client of the mplus-ray service: documents in, answers out, over HTTP.

As a distribution of its own it is `mplus-client` and imported as `mplus_client`; it needs httpx
and pydantic alone. Within mplus-ray it is `mplus_ray.services.client`.
"""

from .client import AsyncClient, Client
from .errors import (
    ApiError,
    AuthenticationError,
    ClientError,
    ConflictError,
    IncompleteError,
    InvalidRequestError,
    JobFailedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TooLargeError,
    UnreachableError,
    WaitTimeoutError,
)
from .models import Answer, Document, DocumentFilter, NewDocument, SearchResults, TakenIn
from .operations.sent import Sent
from .requests import Patience
from .version import __version__

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "ClientError",
    "ConflictError",
    "Document",
    "DocumentFilter",
    "IncompleteError",
    "InvalidRequestError",
    "JobFailedError",
    "NewDocument",
    "NotFoundError",
    "Patience",
    "PermissionDeniedError",
    "RateLimitError",
    "SearchResults",
    "Sent",
    "ServerError",
    "TakenIn",
    "TooLargeError",
    "UnreachableError",
    "WaitTimeoutError",
    "__version__",
]
