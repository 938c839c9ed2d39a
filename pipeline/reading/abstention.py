"""When an answer is withheld: by HTTP and the command line alike."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.ledger.tenant import Tenant

if TYPE_CHECKING:
    from mplus_ray.actors.messages import AskResult

REFUSAL = "I do not know: nothing in memory answers this well enough."

# What models answer of their own accord where memory does not say; mplus-tiny says the first.
_NO_ANSWERS = frozenset({"unknown", "not said", "not stated", "i do not know", "i don't know"})


def check_threshold(threshold: float | None) -> None:
    """
    Raises:
        InvalidInputError: it is no threshold.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidInputError(f"{threshold} is no threshold; use 0 … 1, or leave it out")


@dataclass(frozen=True)
class AskOutcome:
    """What becomes of an answer.

    Attributes:
        told: what the model said; an empty memory has what was asked with confidence 0.
        text: the answer, or a refusal.
        abstained: whether it was withheld.
    """

    told: AskResult
    text: str
    abstained: bool


def judge(
    tenant: Tenant, plan: ReadPlan, told: AskResult, threshold: float | None = None
) -> AskOutcome:
    """Whether an answer stands or is withheld.

    Args:
        plan: of the memory that gave it.
        threshold: the question's own; None: the tenant's, else the checkpoint's. 0 withholds
            nothing.
    """
    if plan.holds_nothing:
        told = replace(told, confidence=0.0)
        abstained = withholds(tenant, threshold)
    else:
        wanted = tenant.threshold if threshold is None else threshold
        least = told.threshold if wanted is None else wanted
        sure = told.confidence
        abstained = least is not None and sure is not None and sure < least
    return AskOutcome(told, REFUSAL if abstained else told.answer.text, abstained)


def withholds(tenant: Tenant, threshold: float | None = None) -> bool:
    """Whether answers may be withheld at all; see `judge`."""
    return (tenant.threshold if threshold is None else threshold) != 0


def may_abstain(tenant: Tenant, confident: bool, threshold: float | None = None) -> bool:
    """Whether an answer may turn out to be withheld when it is complete.

    Args:
        confident: the checkpoint has a fitted confidence.
        threshold: the question's own.
    """
    return confident and withholds(tenant, threshold)


def says_nothing(told: AskResult) -> bool:
    """Whether the model itself says that it does not know, so that its words are no knowledge."""
    text = told.answer.text.casefold().strip().strip(string.punctuation)
    return told.refused or text in _NO_ANSWERS or not text
