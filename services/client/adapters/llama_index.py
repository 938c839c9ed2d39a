"""For LlamaIndex: passages as a retriever, and a chat memory that recalls.

Needs `pip install 'mplus-client[llama-index]'`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.memory import BaseMemory
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import PrivateAttr

from ..client import AsyncClient, Client, Operations
from ..flow import Flow
from ..operations.core import Filter
from .runner import Runner, described
from .turns import Turn, add_turns, clear_turns, read_turns

_ROOT = "llama-index"
_RECALLED = "What memory has on this:\n"


class MPlusRetriever(BaseRetriever):
    """Passages that memory has on a query as nodes, the best first.

    The metadata of each are those of its document, and `document_id`, `title`, `section`,
    `source`, `start`, `end` and `step` of the passage.

    Args:
        client: of the tenant whose memory it is.
        similarity_top_k: passages at most, up to 100.
        filter: these documents only.
        min_score: passages of a lower score are left out.
        options: of LlamaIndex's base class.
    """

    def __init__(
        self,
        client: Client | AsyncClient,
        *,
        similarity_top_k: int = 5,
        filter: Filter | None = None,  # noqa: A002 - as the service calls it
        min_score: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._client = client
        self._most, self._filter, self._least = similarity_top_k, filter, min_score

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return Runner(self._client).run(self._found(query_bundle.query_str))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await Runner(self._client).arun(self._found(query_bundle.query_str))

    def _found(self, query: str) -> Flow[list[NodeWithScore]]:
        reply = yield from Operations.search(
            self._client,
            query,
            limit=self._most,
            filter=self._filter,
            min_score=self._least,
        )
        own = yield from described(self._client, (hit.document_id for hit in reply.results))
        nodes = []
        for hit in reply.results:
            document = own.get(hit.document_id)
            metadata = {
                **(document.metadata if document else {}),
                **hit.model_dump(exclude={"text", "why", "score"}),
            }
            node = TextNode(
                id_=f"{hit.document_id}#{hit.step}",
                text=hit.text,
                metadata=metadata,
                start_char_idx=hit.start,
                end_char_idx=hit.end,
                excluded_llm_metadata_keys=list(metadata),
                excluded_embed_metadata_keys=list(metadata),
            )
            nodes.append(NodeWithScore(node=node, score=hit.score))
        return nodes


class MPlusMemory(BaseMemory):
    """A chat memory: the newest messages of a session as they were, and before them, as the
    system's message, the passages that memory has on what is asked now, wherever they are from.

    Attributes:
        session: whose conversation it is.
        newest: messages that are given as they were.
        recalled: passages at most; 0: none.
    """

    session: str
    newest: int = 20
    recalled: int = 5
    _client: Client | AsyncClient = PrivateAttr()

    def __init__(self, client: Client | AsyncClient, **fields: Any) -> None:
        super().__init__(**fields)
        self._client = client

    @classmethod
    def class_name(cls) -> str:
        """As LlamaIndex calls it."""
        return "MPlusMemory"

    @classmethod
    def from_defaults(cls, **kwargs: Any) -> Self:
        """Keywords are those of the class."""
        return cls(**kwargs)

    def get(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002
        """What a model is to be told.

        Args:
            input: what is asked now.
        """
        return self._run(self._told(input))

    async def aget(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002
        """What a model is to be told.

        Args:
            input: what is asked now.
        """
        return await self._arun(self._told(input))

    def get_all(self) -> list[ChatMessage]:
        """All messages of the session, the first one first."""
        return self._run(self._all())

    async def aget_all(self) -> list[ChatMessage]:
        """All messages of the session, the first one first."""
        return await self._arun(self._all())

    def put(self, message: ChatMessage) -> None:
        """Memorize a message."""
        self._run(self._add([message]))

    async def aput(self, message: ChatMessage) -> None:
        """Memorize a message."""
        await self._arun(self._add([message]))

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """Memorize messages."""
        self._run(self._add(messages))

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Memorize messages."""
        await self._arun(self._add(messages))

    def set(self, messages: list[ChatMessage]) -> None:
        """Put these messages in the place of all of the session's."""
        self._run(self._replace(messages))

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Put these messages in the place of all of the session's."""
        await self._arun(self._replace(messages))

    def reset(self) -> None:
        """Have the session forgotten."""
        self._run(clear_turns(self._client, _ROOT, self.session))

    async def areset(self) -> None:
        """Have the session forgotten."""
        await self._arun(clear_turns(self._client, _ROOT, self.session))

    def _run(self, flow: Flow[Any]) -> Any:
        return Runner(self._client).run(flow)

    async def _arun(self, flow: Flow[Any]) -> Any:
        return await Runner(self._client).arun(flow)

    def _all(self) -> Flow[list[ChatMessage]]:
        turns = yield from read_turns(self._client, _ROOT, self.session)
        return [ChatMessage.model_validate_json(turn) for turn in turns]

    def _told(self, asked: str | None) -> Flow[list[ChatMessage]]:
        messages = (yield from self._all())[-self.newest :]
        if not asked or not self.recalled:
            return messages
        reply = yield from Operations.search(self._client, asked, limit=self.recalled)
        shown = {message.content for message in messages}
        texts = [hit.text for hit in reply.results if hit.text not in shown]
        if not texts:
            return messages
        recalled = _RECALLED + "\n".join(f"- {text}" for text in texts)
        return [ChatMessage(role=MessageRole.SYSTEM, content=recalled), *messages]

    def _add(self, messages: Sequence[ChatMessage]) -> Flow[int]:
        turns = [
            Turn(message.role.value, message.content or "", message.model_dump_json())
            for message in messages
        ]
        step = yield from add_turns(self._client, _ROOT, self.session, turns)
        return step

    def _replace(self, messages: Sequence[ChatMessage]) -> Flow[None]:
        yield from clear_turns(self._client, _ROOT, self.session)
        yield from self._add(messages)
