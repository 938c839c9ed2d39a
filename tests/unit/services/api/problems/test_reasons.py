"""What is said of a request that cannot be taken."""

from __future__ import annotations

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.api.problems.responses import describe
from mplus_ray.services.api.schemas.filters import DocumentFilter, read_filter


def test_a_field_that_does_not_exist_is_said_in_our_words() -> None:
    with pytest.raises(ValidationError) as caught:
        DocumentFilter.model_validate({"tag": ["news"]})
    told = describe(RequestValidationError(caught.value.errors()))
    assert "tag: there is no such field; /openapi.json has those" in told.detail


def test_a_filter_in_a_url_says_the_same() -> None:
    with pytest.raises(InvalidInputError, match=r"filter\.tag: there is no such field"):
        read_filter('{"tag": ["news"]}')
