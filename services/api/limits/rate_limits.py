"""What a tenant may do in a minute and at once, its forks included: else they would multiply it.
One API process is assumed: each counts alone.

A bucket holds a minute's worth and fills evenly. A request that is larger than the bucket is let
through when the bucket is full and leaves it below zero, so the average holds for any size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from mplus_ray.model.errors import RateLimitedError
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.services.api.deps import Limits
from mplus_ray.services.api.metrics import ApiMetrics

Kind = Literal["documents", "tokens", "parse seconds"]

_KEPT_BUCKETS = 10_000  # buckets; beyond that full ones are forgotten, which changes nothing
_NEVER = 3600.0  # seconds to wait for what a tenant may not do at all
_ROUNDING = 1e-9
_MINUTE = 60.0


@dataclass
class _Bucket:
    level: float
    at: float


@dataclass(frozen=True)
class Rates:
    """What one tenant may do: its own settings, or the service's.

    Attributes:
        documents, tokens: a minute.
        questions: at once.
    """

    documents: int
    tokens: int
    questions: int

    @classmethod
    def of(cls, tenant: Tenant, limits: Limits) -> Rates:
        def own(value: int | None, default: int) -> int:
            return default if value is None else value

        return cls(
            own(tenant.documents_per_minute, limits.documents_per_minute),
            own(tenant.tokens_per_minute, limits.tokens_per_minute),
            own(tenant.concurrent_questions, limits.concurrent_questions),
        )


class Meter:
    """Counts what tenants do."""

    def __init__(self, limits: Limits, figures: ApiMetrics, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._figures = figures
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, Kind], _Bucket] = {}
        self._running: dict[str, int] = {}

    def rates(self, tenant: Tenant) -> Rates:
        return Rates.of(tenant, self._limits)

    def take(self, tenant: Tenant, documents: int, tokens: int) -> None:
        """Count what is taken in; both or none.

        Raises:
            RateLimitedError: it is more than the tenant may in a minute; when to come again.
        """
        rates = self.rates(tenant)
        with self._lock:
            self._need_both(tenant, rates, documents, tokens)
            self._bucket(tenant, "documents", rates.documents).level -= documents
            self._bucket(tenant, "tokens", rates.tokens).level -= tokens
            self._let_go()

    def check_parsing(self, tenant: Tenant) -> None:
        """Whether a tenant may have a file parsed now.

        Raises:
            RateLimitedError: its files of the last minute took all the time that it may have.
        """
        with self._lock:
            self._need(tenant, "parse seconds", 1, self._limits.parse_seconds_per_minute)

    def parsed(self, tenant: Tenant, seconds: float) -> None:
        """Count what a file took, whether it gave a document or not; it may go below zero."""
        per_minute = self._limits.parse_seconds_per_minute
        with self._lock:
            self._bucket(tenant, "parse seconds", per_minute).level -= seconds
            self._let_go()

    def check(self, tenant: Tenant, documents: int, tokens: int) -> None:
        """Whether `take` would succeed now; nothing is counted.

        Raises:
            RateLimitedError: it would not.
        """
        with self._lock:
            self._need_both(tenant, self.rates(tenant), documents, tokens)

    @contextmanager
    def question(self, tenant: Tenant) -> Iterator[None]:
        """One question is under way.

        Raises:
            RateLimitedError: as many as the tenant may have are.
        """
        most = self.rates(tenant).questions
        with self._lock:
            running = self._running.get(tenant.family, 0)
            if running >= most:
                self._figures.limited("questions")
                raise RateLimitedError(
                    f"{running} questions of this tenant are under way, and it may have {most} at "
                    "once; ask again when one is answered",
                    1.0 if most else _NEVER,
                )
            self._running[tenant.family] = running + 1
        self._figures.running.inc()
        try:
            yield
        finally:
            self._figures.running.dec()
            with self._lock:
                self._running[tenant.family] -= 1
                if not self._running[tenant.family]:
                    del self._running[tenant.family]

    def _need_both(self, tenant: Tenant, rates: Rates, documents: int, tokens: int) -> None:
        self._need(tenant, "documents", documents, rates.documents)
        self._need(tenant, "tokens", tokens, rates.tokens)

    def _need(self, tenant: Tenant, kind: Kind, amount: int, per_minute: int) -> None:
        lacking = min(amount, per_minute) - self._bucket(tenant, kind, per_minute).level
        if (lacking <= _ROUNDING and per_minute) or not amount:
            return
        self._figures.limited(kind)
        seconds = lacking * _MINUTE / per_minute if per_minute else _NEVER
        raise RateLimitedError(
            f"this tenant may have {per_minute:,} {kind} a minute, and this is more; try again in "
            f"{seconds:.0f} s",
            seconds,
        )

    def _bucket(self, tenant: Tenant, kind: Kind, per_minute: int) -> _Bucket:
        """As full as it is now."""
        now = self._clock()
        bucket = self._buckets.setdefault((tenant.family, kind), _Bucket(per_minute, now))
        grown = bucket.level + (now - bucket.at) * per_minute / _MINUTE
        bucket.level, bucket.at = min(float(per_minute), grown), now
        return bucket

    def _let_go(self) -> None:
        """Forget those who did nothing for a while."""
        if len(self._buckets) <= _KEPT_BUCKETS:
            return
        now = self._clock()
        idle = [key for key, bucket in self._buckets.items() if now - bucket.at > _MINUTE]
        for key in idle:
            if self._buckets[key].level >= 0:  # a minute fills it
                del self._buckets[key]
