"""A retriever and a chat memory in LlamaIndex."""

from __future__ import annotations

import asyncio

from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.llms import ChatMessage, MessageRole, MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine

from mplus_client import AsyncClient, Client
from mplus_client.adapters.llama_index import MPlusMemory, MPlusRetriever
from tests.api_world import ApiWorld


def test_passages_are_nodes(client: Client) -> None:
    client.memorize("Ilse keeps bees.", id="ilse", metadata={"author": "Otto"}, wait=30)
    retriever = MPlusRetriever(client, similarity_top_k=1)
    (found,) = retriever.retrieve("Who keeps bees?")
    assert found.node.get_content() == "Ilse keeps bees."
    assert found.node.metadata["author"] == "Otto"
    assert found.node.metadata["document_id"] == "ilse"
    assert (asyncio.run(retriever.aretrieve("bees"))[0].node.node_id) == found.node.node_id
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    assert engine.query("Who keeps bees?").source_nodes[0].node.node_id == found.node.node_id


def said(role: MessageRole, text: str) -> ChatMessage:
    return ChatMessage(role=role, content=text)


def test_a_memory_recalls_what_is_no_longer_shown(client: Client) -> None:
    memory = MPlusMemory.from_defaults(client=client, session="s1", newest=2)
    first = said(MessageRole.USER, "Maren Tolva lives in Dorvas.")
    memory.put_messages([first, said(MessageRole.ASSISTANT, "I see.")])
    memory.put(said(MessageRole.USER, "Let us talk of bees."))
    assert memory.get_all()[0] == first
    newest = memory.get()
    assert [message.content for message in newest] == ["I see.", "Let us talk of bees."]
    client.wait(next(iter(client.jobs())).id)
    recalled = memory.get("Where does Maren Tolva live?")
    assert recalled[1:] == newest
    assert recalled[0].role == MessageRole.SYSTEM
    assert "Maren" in (recalled[0].content or "")
    memory.set([first])
    assert memory.get_all() == [first]
    memory.reset()
    assert memory.get_all() == []


def test_a_chat_engine_remembers(client: Client) -> None:
    client.memorize("Ilse keeps bees.", id="ilse", wait=30)
    memory = MPlusMemory(client, session="s2")
    engine = ContextChatEngine.from_defaults(
        retriever=MPlusRetriever(client), memory=memory, llm=MockLLM()
    )
    engine.chat("Who keeps bees?")
    assert [message.role for message in memory.get_all()] == [
        MessageRole.USER,
        MessageRole.ASSISTANT,
    ]


def test_a_memory_that_is_awaited(api: ApiWorld, key: str) -> None:
    async def run() -> None:
        async with AsyncClient(api.url, key) as client:
            memory = MPlusMemory(client, session="s1")
            await memory.aput(said(MessageRole.USER, "One."))
            await memory.aput_messages([said(MessageRole.ASSISTANT, "Two.")])
            assert [message.content for message in await memory.aget()] == ["One.", "Two."]
            await memory.aset([said(MessageRole.USER, "Three.")])
            assert [message.content for message in await memory.aget_all()] == ["Three."]
            await memory.areset()
            assert await memory.aget_all() == []

    asyncio.run(run())
