"""For LangChain: passages as a retriever, and conversations that are memorized.

Needs `pip install 'mplus-client[langchain]'`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from ..client import AsyncClient, Client, Operations
from ..flow import Flow
from ..models import DocumentFilter
from .runner import Runner, described
from .turns import Turn, add_turns, clear_turns, read_turns

_ROOT = "langchain"


class MPlusRetriever(BaseRetriever):
    """Passages that memory has on a query, the best first.

    The metadata of each are those of its document, and `document_id`, `title`, `section`,
    `source`, `start`, `end`, `step` and `score` of the passage.

    Attributes:
        client: of the tenant whose memory it is.
        k: passages at most, up to 100.
        filter: these documents only.
        min_score: passages of a lower score are left out.
        as_of: the memory as it was after so many steps, or at that time.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    client: Client | AsyncClient
    k: int = 5
    filter: DocumentFilter | dict[str, Any] | None = None
    min_score: float | None = None
    as_of: int | str | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return Runner(self.client).run(self._found(query))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        return await Runner(self.client).arun(self._found(query))

    def _found(self, query: str) -> Flow[list[Document]]:
        reply = yield from Operations.search(
            self.client,
            query,
            limit=self.k,
            filter=self.filter,
            min_score=self.min_score,
            as_of=self.as_of,
        )
        own = yield from described(self.client, (hit.document_id for hit in reply.results))
        return [
            Document(
                id=f"{hit.document_id}#{hit.step}",
                page_content=hit.text,
                metadata={
                    **(own[hit.document_id].metadata if hit.document_id in own else {}),
                    **hit.model_dump(exclude={"text", "why"}),
                },
            )
            for hit in reply.results
        ]


class MPlusChatMessageHistory(BaseChatMessageHistory):
    """A conversation whose messages are documents of one session: they come back as they were,
    and memory can be asked about them, also in other conversations.

    Args:
        session_id: whose conversation it is.
        client: of the tenant whose memory it is.
    """

    def __init__(self, session_id: str, client: Client | AsyncClient) -> None:
        self.session_id = session_id
        self._client = client
        self._runner = Runner(client)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """All of them, the first one first."""
        return _read(self._runner.run(read_turns(self._client, _ROOT, self.session_id)))

    async def aget_messages(self) -> list[BaseMessage]:
        """All of them, the first one first."""
        return _read(await self._runner.arun(read_turns(self._client, _ROOT, self.session_id)))

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Memorize messages.

        Raises:
            ValueError: one of them was refused.
        """
        self._runner.run(add_turns(self._client, _ROOT, self.session_id, _turns(messages)))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Memorize messages.

        Raises:
            ValueError: one of them was refused.
        """
        await self._runner.arun(add_turns(self._client, _ROOT, self.session_id, _turns(messages)))

    def clear(self) -> None:
        """Have the conversation forgotten."""
        self._runner.run(clear_turns(self._client, _ROOT, self.session_id))

    async def aclear(self) -> None:
        """Have the conversation forgotten."""
        await self._runner.arun(clear_turns(self._client, _ROOT, self.session_id))


def _turns(messages: Sequence[BaseMessage]) -> list[Turn]:
    return [
        Turn(message.type, str(message.text), json.dumps(message_to_dict(message)))
        for message in messages
    ]


def _read(turns: list[str]) -> list[BaseMessage]:
    return messages_from_dict([json.loads(turn) for turn in turns])
