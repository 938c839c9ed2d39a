"""Which documents a request is about."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any, Self

from fastapi import Query
from pydantic import Field, PrivateAttr, TypeAdapter, ValidationError, model_validator

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.filters.filter import Filter, conditions_of
from mplus_ray.pipeline.parsing.details import parse_time
from mplus_ray.services.api.problems.reasons import reason_of
from mplus_ray.services.api.schemas.base import Request, Text, example

Texts = Text | list[Text] | None
FilterText = Annotated[
    str | None,
    Query(
        alias="filter",
        description="As JSON, what `filter` is in a search: session, tags, ids, metadata, after, "
        "before.",
        max_length=4000,  # a URL is not endless
        examples=['{"tags": ["news"], "metadata": {"year": {"gte": 2020}}}'],
    ),
]


class DocumentFilter(Request):
    """Documents for which all of this holds. Others are left out before anything is looked for, so
    what is left is found as well as if it were alone.
    """

    model_config = example(
        {
            "tags": ["news"],
            "metadata": {"author": "Ilse", "year": {"gte": 2020}},
            "after": "2026-01-01",
        }
    )

    session: Texts = Field(None, description="Their session is this, or one of these.")
    tags: Texts = Field(None, description="They have all of these.")
    ids: Texts = Field(None, description="They are called this, or one of these.")
    metadata: dict[str, Any] | None = Field(
        None,
        description="A value, a list of which one is enough, or an object of comparisons: eq, ne, "
        "in, exists, gt, gte, lt, lte. Entries of nested objects are named by their path, such as "
        '`author.name`. 5 and "5" are the same; times of one form of ISO 8601 compare right.',
    )
    after: str | None = Field(
        None,
        description="They tell of this time or a later one: by `occurred_at`, or by when they were "
        "taken in. ISO 8601, UTC if it names no offset.",
    )
    before: str | None = Field(None, description="They tell of an earlier time.")
    _read: Filter = PrivateAttr(default=Filter())

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("session", "tags", "ids"):
            if getattr(self, name) == []:
                raise ValueError(f"{name} is an empty list, which leaves nothing; leave it out")
        try:
            self._read = Filter(
                _texts(self.session),
                _texts(self.tags),
                _texts(self.ids),
                conditions_of(self.metadata or {}),
                None if self.after is None else parse_time(self.after, UTC),
                None if self.before is None else parse_time(self.before, UTC),
            )
        except InvalidInputError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def wanted(self) -> Filter | None:
        """As the ledger takes it; None of all documents."""
        return self._read or None


def read_filter(text: str | None) -> Filter | None:
    """The filter of a URL's query; None of all documents.

    Raises:
        InvalidInputError: it is none.
    """
    if text is None:
        return None
    try:
        return TypeAdapter(DocumentFilter).validate_json(text).wanted
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(["filter", *map(str, first["loc"])])
        raise InvalidInputError(f"{place}: {reason_of(first)}") from None


def _texts(given: str | list[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())
