"""What the demo's questions came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mplus_ray.deploy.demo.questions import DemoQuestion, DemoTenant


@dataclass(frozen=True)
class DemoReply:
    """One question's outcome.

    Attributes:
        tenant: who asked.
        question: what.
        answer: the service's words.
        abstained: whether it refused to answer from what it remembers.
        seconds: from the request to the whole response.
        citations: the response's passages, as `POST /v1/query` gives them.
    """

    tenant: DemoTenant
    question: DemoQuestion
    answer: str
    abstained: bool
    seconds: float
    citations: list[Mapping[str, Any]]

    @property
    def right(self) -> bool:
        return _mentions(self.answer, self.question.expected)

    @property
    def found(self) -> bool:
        """Whether a passage shown holds the expected answer."""
        return any(_mentions(c["text"], self.question.expected) for c in self.citations)

    @property
    def leaked(self) -> bool:
        """Whether a passage is of a document that is not the tenant's."""
        own = self.tenant.documents
        return any(citation["document_id"] not in own for citation in self.citations)


def _mentions(text: str, expected: str | None) -> bool:
    return expected is not None and expected.casefold() in text.casefold()
