"""The keys that a new installation begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mplus_ray.pipeline.ledger.api_keys import TENANT_SCOPES
from mplus_ray.pipeline.ledger.tenant import default_precision

if TYPE_CHECKING:
    from mplus_ray.pipeline.ledger.ledger import Ledger
    from mplus_ray.services.serving.model_card import Card

TENANT = "default"


@dataclass(frozen=True)
class FirstKeys:
    """Texts of keys, which nothing can show again.

    Attributes:
        operator: makes tenants and keys.
        tenant: opens the tenant `default`.
    """

    operator: str
    tenant: str

    def lines(self) -> list[str]:
        return [f"MPLUS_OPERATOR_KEY={self.operator}", f"MPLUS_API_KEY={self.tenant}"]


def first_keys(ledger: Ledger, card: Card) -> FirstKeys | None:
    """Where the ledger has no key at all: an operator's, and one of the tenant `default`.

    Raises:
        FingerprintMismatchError: there is such a tenant, with a memory of other weights.
    """
    if ledger.credentials.any():
        return None
    log = ledger.create_tenant(
        TENANT,
        card.fingerprint,
        bytes_per_step=card.step_bytes[default_precision(card.geometry)],
        geometry=dict(card.geometry),
    )
    _, operator = ledger.credentials.create(None, ["operator"], "first start")
    _, tenant = ledger.credentials.create(log, TENANT_SCOPES, "first start")
    return FirstKeys(operator, tenant)
