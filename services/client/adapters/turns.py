"""The messages of a conversation as documents, each in its own, of one session."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from ..client import Operations
from ..flow import Flow
from ..models import NewDocument
from ..requests import quoted
from .runner import all_taken, every


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        role: whose it is.
        text: what is memorized of it; of a message without a text, whose it is.
        message: all of it, as its framework writes it as JSON; 64 KiB at most.
    """

    role: str
    text: str
    message: str


def add_turns(client: Operations, root: str, session: str, turns: Sequence[Turn]) -> Flow[int]:
    """Memorize messages, in this order; returns the step after which memory has them.

    Args:
        root: tells one framework's messages from another's.

    Raises:
        ValueError: one of them was refused.
    """
    if not turns:
        return 0
    documents = [
        NewDocument(
            id=f"{root}/{quoted(session)}/{uuid.uuid4().hex}",
            text=turn.text if turn.text.strip() else turn.role,
            title=f"{turn.role} in {session}"[:200],
            session=session,
            tags=[root],
            metadata={"role": turn.role, "message": turn.message},
        )
        for turn in turns
    ]
    taken = all_taken((yield from Operations.memorize_all(client, documents)))
    return taken.min_step


def read_turns(client: Operations, root: str, session: str) -> Flow[list[str]]:
    """All messages of a session, as JSON, the first one first."""
    documents = yield from every(client, {"session": session, "tags": [root]})
    return [document.metadata["message"] for document in documents]


def clear_turns(client: Operations, root: str, session: str) -> Flow[None]:
    """Have a session forgotten."""
    yield from Operations.delete_documents(client, {"session": session, "tags": [root]})
