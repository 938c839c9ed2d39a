"""What may be changed of a tenant, and that it lasts."""

from __future__ import annotations

from typing import Any

import pytest

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant import LIMITS, TenantLimits
from tests.logs import put

pytest_plugins = ["tests.postgres"]

ALL: TenantLimits = {
    "max_documents": 5,
    "max_bytes": 2**40,
    "cold_after": 1.5,
    "documents_per_minute": 0,
    "tokens_per_minute": 2**62,
    "concurrent_questions": 4,
    "threshold": 0.25,
    "ttl": 60.0,
    "max_webhooks": 2,
    "attribute_quotas": {"session": {"max_documents": 3, "max_bytes": None}},
}


def limits_of(ledger: Ledger, name: str) -> dict[str, Any]:
    tenant = ledger.tenant(name).tenant
    return {field: getattr(tenant, field) for field in LIMITS}


def test_they_are_kept_from_the_start(ledger: Ledger) -> None:
    ledger.create_tenant("anna", "f1", **ALL)
    assert limits_of(ledger, "anna") == ALL
    ledger.create_tenant("bela", "f1")
    assert limits_of(ledger, "bela") == dict.fromkeys(LIMITS)


def test_only_what_is_given_changes(ledger: Ledger) -> None:
    log = ledger.create_tenant("anna", "f1", **ALL)
    log.set_limits(threshold=0, max_documents=None)
    log.set_limits()
    assert limits_of(ledger, "anna") == {**ALL, "threshold": 0, "max_documents": None}


def test_a_fork_has_them(ledger: Ledger) -> None:
    log = ledger.create_tenant("anna", "f1", **ALL)
    put(log, "a")
    ledger.fork_tenant(log, "bela")
    assert limits_of(ledger, "bela") == ALL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 1.01),
        ("ttl", 0.0),
        ("ttl", float("inf")),
        ("threshold", -0.1),
        ("threshold", float("nan")),
        ("tokens_per_minute", -1),
        ("concurrent_questions", 2**63),
        ("cold_after", float("inf")),
        ("seed", 3),
        ("name", "bela"),
    ],
)
def test_what_is_no_limit_changes_nothing(ledger: Ledger, name: str, value: Any) -> None:
    log = ledger.create_tenant("anna", "f1", **ALL)
    with pytest.raises(InvalidInputError):
        log.set_limits(**{"max_documents": 1, name: value})
    assert limits_of(ledger, "anna") == ALL
    if name in LIMITS:
        with pytest.raises(InvalidInputError):
            ledger.create_tenant("bela", "f1", **{name: value})
