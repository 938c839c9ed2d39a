"""What is said of a document beside its text: metadata, session, tags, times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.filters.attributes import own_metadata
from mplus_ray.pipeline.ledger.filters.index import details_of
from mplus_ray.pipeline.ledger.schema import documents
from mplus_ray.pipeline.parsing.document import Details, ParsedDocument

COLUMNS = tuple(
    documents.c[name] for name in ("metadata", "session", "tags", "occurred_at", "expires_at")
)

_PARSERS = frozenset({"format", "sections"})  # what a parser notes in the metadata


@dataclass(frozen=True)
class Description:
    """As the ledger keeps it.

    Attributes:
        metadata: also the headings of the text, as `sections`.
        details: the rest.
    """

    metadata: Mapping[str, Any]
    details: Details

    @classmethod
    def of(cls, row: Any) -> Self:
        """By the columns `COLUMNS`."""
        return cls(row.metadata, details_of(row))

    @classmethod
    def new(cls, document: ParsedDocument, now: float, ttl: float | None) -> Self:
        """Of a document that is taken in.

        Args:
            ttl: seconds after which it is to be forgotten if it does not say when.
        """
        sections = [asdict(section) for section in document.sections]
        details = document.details
        if details.expires_at is None and ttl is not None:
            details = Details(details.session, details.tags, details.occurred_at, now + ttl)
        return cls({**document.metadata, "sections": sections}, details)

    def changed_by(self, document: ParsedDocument) -> Self | None:
        """With what is said of the same document anew; None if that is nothing else.

        What is not given stays, and so does what its parser noted.
        """
        given = {name: value for name, value in document.metadata.items() if name != "format"}
        old, new = self.details, document.details
        details = Details(
            old.session if new.session is None else new.session,
            new.tags or old.tags,
            old.occurred_at if new.occurred_at is None else new.occurred_at,
            old.expires_at if new.expires_at is None else new.expires_at,
        )
        together = type(self)({**self.metadata, **given}, details)
        # 1 and true are equal, and not the same.
        same = details == self.details and _written(together) == _written(self)
        return None if same else together

    def patched(self, changes: Mapping[str, Any]) -> Self:
        """With what is changed of it; what is not named stays, and None clears.

        Args:
            changes: of `metadata`, in which None takes a field away, and of the fields of
                `Details`.

        Raises:
            InvalidInputError: it would change what a parser noted.
        """
        known = dict(self.metadata)
        if "metadata" in changes:
            given = changes["metadata"]
            if given is None:
                given = dict.fromkeys(known.keys() - _PARSERS)
            if taken := sorted(_PARSERS & given.keys()):
                raise InvalidInputError(
                    f"metadata.{taken[0]} is what its parser noted; take another name"
                )
            known = {**known, **given}
            known = {name: value for name, value in known.items() if given.get(name, 0) is not None}
        details = {name: value for name, value in changes.items() if name != "metadata"}
        if "tags" in details:
            details["tags"] = tuple(details["tags"] or ())
        return type(self)(known, replace(self.details, **details))

    @property
    def shown(self) -> dict[str, Any]:
        """What its owner wrote as metadata."""
        return own_metadata(self.metadata)

    @property
    def columns(self) -> dict[str, Any]:
        """Values of `COLUMNS`."""
        details = {**asdict(self.details), "tags": list(self.details.tags)}
        return {"metadata": dict(self.metadata), **details}


def _written(description: Description) -> str:
    return json.dumps(description.metadata, sort_keys=True)
