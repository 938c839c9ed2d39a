"""Every error has a status over HTTP; a new one cannot become a 500 by being forgotten."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import mplus_ray.model
import mplus_ray.pipeline
import mplus_ray.services
from mplus_ray.model.errors import (
    DocumentError,
    InvalidInputError,
    MPlusError,
    OverloadedError,
    StaleLeaseError,
    StorageError,
)
from mplus_ray.services.api.problems.responses import describe
from mplus_ray.services.api.problems.statuses import STATUSES, UNEXPECTED, status_of


def every_error() -> Iterator[type[MPlusError]]:
    for package in (mplus_ray.model, mplus_ray.pipeline, mplus_ray.services):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith(("__main__", "migrations.env")):
                importlib.import_module(found.name)
    kinds = [MPlusError]
    for each in kinds:
        kinds += each.__subclasses__()
    # Those of benchmarks, which a test may have imported, and of commands never reach a request.
    others = "mplus_ray.bench.", "mplus_ray.services.cli."
    return (
        each
        for each in kinds
        if each.__module__.startswith("mplus_ray.") and not each.__module__.startswith(others)
    )


def forgotten(kind: type[MPlusError]) -> bool:
    """Whether nothing but the tree's root says what it is."""
    return not any(each in STATUSES for each in kind.__mro__ if each is not MPlusError)


def test_none_is_forgotten() -> None:
    kinds = [kind for kind in every_error() if kind is not MPlusError]
    assert len(kinds) > 25
    assert [kind.__name__ for kind in kinds if forgotten(kind)] == []


def test_a_forgotten_one_would_be_noticed() -> None:
    class NewError(MPlusError):
        pass

    class NewKindOfInputError(InvalidInputError):
        pass

    assert forgotten(NewError)
    assert not forgotten(NewKindOfInputError)


def test_a_class_is_what_its_nearest_parent_is() -> None:
    assert status_of(DocumentError).code == 422
    assert status_of(StaleLeaseError) == status_of(StorageError)


def test_what_is_ours_says_nothing() -> None:
    problem = describe(MPlusError("/srv/secret"))
    assert (problem.status, problem.kind, problem.detail) == (500, "internal-error", UNEXPECTED)


def test_what_may_be_otherwise_later_says_when() -> None:
    problem = describe(OverloadedError("full", retry_after=3.2))
    assert (problem.status, problem.detail, problem.headers) == (503, "full", {"retry-after": "4"})
    for status in STATUSES.values():
        assert 400 <= status.code < 600
        assert not (status.later and status.code < 429)
