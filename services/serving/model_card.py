"""What a process without weights needs to know of the model that the readers have loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mplus_ray.model import MPlus
    from mplus_ray.model.generation.tokenizer import TextTokenizer
    from mplus_ray.model.memory.membership import Membership


@dataclass(frozen=True)
class Card:
    """A loaded model, without its weights.

    Attributes:
        genesis: where every tenant's memory begins.
        geometry: its shape, kept with every tenant.
        step_bytes: what the rows of a step take, by precision.
        confident: whether it has a fitted confidence.
        fingerprint: of the weights.
        chunk_tokens: the longest chunk.
        tokenizer: cuts documents.
    """

    fingerprint: str
    chunk_tokens: int
    tokenizer: TextTokenizer
    genesis: Membership
    geometry: Mapping[str, Any]
    step_bytes: Mapping[str, int]
    confident: bool


def card_of(model: MPlus) -> Card:
    """Describe a model."""
    from mplus_ray.model.store.row_format import RowFormat
    from mplus_ray.pipeline.ledger.tenant import PRECISIONS

    config = model.config
    rows = config.num_hidden_layers * config.num_tokens
    return Card(
        fingerprint=model.fingerprint,
        chunk_tokens=config.chunk_tokens,
        tokenizer=model.tokenizer,
        genesis=model.empty_memory().membership,
        geometry=config.to_dict(),
        step_bytes={p: rows * RowFormat.of(config, p).row_bytes for p in PRECISIONS},
        confident=model.confidence is not None,
    )
