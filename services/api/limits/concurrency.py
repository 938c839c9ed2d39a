"""How many requests are under way at once: per service and per tenant, and never of one kind only.

Each kind of request has places of its own, so that none can take those of another, and a tenant
has at most a quarter of them. Health checks need no place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from mplus_ray.model.errors import OverloadedError, RateLimitedError
from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.metrics import ApiMetrics
from mplus_ray.services.api.problems.responses import describe, respond

Kind = Literal["questions", "documents", "tools", "archives", "lookups"]

HEALTH = ("/healthz", "/readyz")
_QUESTIONS = (
    "/v1/query",
    "/v1/query/batch",
    "/v1/search",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
)
_ARCHIVES = ("/v1/memory/fork", "/v1/memory/export", "/v1/tenants/import")
_SHARE = 4  # a tenant may have one part in so many of a kind's places
_RETRY_SECONDS = 1.0


@dataclass
class Place:
    """What one request takes up.

    Attributes:
        kind: which places it is taken from.
        owner: whose it is counted as, once its key is known.
    """

    kind: Kind
    owner: str | None = None


class Places:
    """The places of one process. All of it runs in the event loop's thread."""

    def __init__(self, limits: Limits, figures: ApiMetrics) -> None:
        self._most: dict[Kind, int] = {
            "questions": limits.open_questions,
            "documents": limits.open_documents,
            "tools": limits.open_tools,
            "archives": limits.open_archives,
            "lookups": limits.open_lookups,
        }
        self._figures = figures
        self._taken: Counter[Kind] = Counter()
        self._owned: Counter[tuple[Kind, str]] = Counter()

    def claimed(self, kind: Kind) -> int:
        """How many requests of a kind are under way whose sender is known."""
        return sum(count for (each, _), count in self._owned.items() if each == kind)

    def take(self, kind: Kind) -> Place:
        """A place for a request whose sender is not known yet.

        Raises:
            OverloadedError: all are taken.
        """
        if self._taken[kind] >= self._most[kind]:
            self._figures.limited(f"open_{kind}")
            raise OverloadedError(
                f"{self._taken[kind]} requests of this kind are under way, as many as the service "
                "takes at once; send this one again",
                _RETRY_SECONDS,
            )
        self._taken[kind] += 1
        return Place(kind)

    def claim(self, place: Place, owner: str) -> None:
        """Count a place as its owner's.

        Args:
            owner: the id of a tenant; of a key without one, the key's.

        Raises:
            RateLimitedError: the owner has as many as it may.
        """
        most = max(1, self._most[place.kind] // _SHARE)
        mine = (place.kind, owner)
        if self._owned[mine] >= most:
            self._figures.limited(f"open_{place.kind}")
            raise RateLimitedError(
                f"{most} requests of this kind are under way for this tenant, as many as it may "
                "have at once; send this one again when one is answered",
                _RETRY_SECONDS,
            )
        self._owned[mine] += 1
        place.owner = owner

    @contextmanager
    def held(self, kind: Kind, owner: str) -> Iterator[None]:
        """A place for as long as this lasts.

        Raises:
            OverloadedError: all are taken.
            RateLimitedError: the owner has as many as it may.
        """
        place = self.take(kind)
        try:
            self.claim(place, owner)
            yield
        finally:
            self.free(place)

    def free(self, place: Place) -> None:
        """The request is answered."""
        self._taken[place.kind] -= 1
        if place.owner is not None:
            mine = (place.kind, place.owner)
            self._owned[mine] -= 1
            if not self._owned[mine]:
                del self._owned[mine]


class Concurrency:
    """Middleware that gives each request a place until the last byte of its response is sent."""

    def __init__(self, app: ASGIApp, places: Places) -> None:
        self._app = app
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await self._app(scope, receive, send)
            return
        try:
            place = self._places.take(kind_of(scope["method"], scope["path"]))
        except OverloadedError as error:
            answer = respond(describe(error), scope["path"], scope["state"]["request_id"])
            await answer(scope, receive, send)
            return
        scope["state"]["place"] = place
        try:
            await self._app(scope, receive, send)
        finally:
            self._places.free(place)


def _deletes_tenant(method: str, path: str) -> bool:
    return method == "DELETE" and path.startswith("/v1/tenants/") and "/keys/" not in path


def kind_of(method: str, path: str) -> Kind:
    """Which places a request takes from."""
    if path in _QUESTIONS:
        return "questions"
    if path == "/v1/documents" and method == "POST":
        return "documents"
    if path.rstrip("/") == "/mcp":
        return "tools"
    if path in _ARCHIVES or _deletes_tenant(method, path):
        return "archives"
    return "lookups"
