"""A passage in the one vocabulary of everything that leaves the service: API, MCP, command line.

Steps are counted from 1 there, as `as_of` counts them: the memory `as_of` n has the steps 1 … n.
"""

from __future__ import annotations

from typing import Any

from mplus_ray.pipeline.ledger.documents.documents import ChunkPassage


def passage_fields(passage: ChunkPassage) -> dict[str, Any]:
    """{"document_id", "title", "section", "source", "start", "end", "text", "step"}."""
    return {
        "document_id": passage.key,
        "title": passage.title,
        "section": passage.section,
        "source": passage.source,
        "start": passage.start,
        "end": passage.end,
        "text": passage.text,
        "step": passage.step + 1,
    }
