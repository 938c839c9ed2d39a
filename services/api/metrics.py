"""Figures of the API for Prometheus. No label names a tenant, a document or a path."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ApiMetrics:
    """What this process was asked, and how it went."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "mplus_http_requests",
            "Requests by route template.",
            ["route", "method", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "mplus_http_seconds",
            "From a request to the end of its response.",
            ["route", "method"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._first = Histogram(
            "mplus_first_token_seconds",
            "From a question to the first piece of its answer.",
            registry=registry,
            buckets=_SECONDS,
        )
        self._tokens = Counter("mplus_answer_tokens", "Tokens of answers.", registry=registry)
        self._prompts = Counter("mplus_prompt_tokens", "Tokens of questions.", registry=registry)
        self._abstained = Counter("mplus_abstained", "Answers withheld.", registry=registry)
        self._cancelled = Counter(
            "mplus_cancelled", "Questions whose client went away.", registry=registry
        )
        self.running = Gauge("mplus_questions_running", "Questions under way.", registry=registry)
        self._limited = Counter(
            "mplus_limited", "Requests turned away by a limit.", ["limit"], registry=registry
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request is done. Methods are the client's to choose, so unknown ones are one."""
        known = method if method in _METHODS else "OTHER"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route, known).observe(seconds)

    def first_piece(self, seconds: float) -> None:
        self._first.observe(seconds)

    def told(self, prompt_tokens: int, completion_tokens: int, abstained: bool) -> None:
        self._prompts.inc(prompt_tokens)
        self._tokens.inc(completion_tokens)
        self._abstained.inc(abstained)

    def cancelled(self) -> None:
        self._cancelled.inc()

    def limited(self, limit: str) -> None:
        """Args: limit: documents, tokens or questions."""
        self._limited.labels(limit).inc()
