"""A retriever and a history of messages in LangChain."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from mplus_client import AsyncClient, Client, DocumentFilter
from mplus_client.adapters.langchain import MPlusChatMessageHistory, MPlusRetriever
from tests.api_world import ApiWorld


def test_passages_are_documents(client: Client) -> None:
    client.memorize("Ilse keeps bees.", id="ilse", metadata={"author": "Otto"}, tags=["a"])
    client.memorize("Maren mends nets.", id="maren", wait=30)
    (found,) = MPlusRetriever(client=client, k=1, filter={"tags": ["a"]}).invoke("Ilse")
    assert (found.page_content, found.metadata["document_id"]) == ("Ilse keeps bees.", "ilse")
    assert (found.metadata["author"], found.metadata["start"]) == ("Otto", 0)
    chosen = DocumentFilter(ids=["maren"])
    chain = MPlusRetriever(client=client, filter=chosen) | RunnableLambda(len)
    assert chain.invoke("Maren") > 0


def test_a_retriever_that_is_awaited(api: ApiWorld, key: str, client: Client) -> None:
    client.memorize("Ilse keeps bees.", id="ilse", wait=30)

    async def run() -> None:
        async with AsyncClient(api.url, key) as awaited:
            own = MPlusRetriever(client=awaited)
            assert (await own.ainvoke("Ilse"))[0].metadata["document_id"] == "ilse"
            with pytest.raises(TypeError, match="AsyncClient"):
                own.invoke("Ilse")
        assert await MPlusRetriever(client=client).ainvoke("Ilse")  # in a thread

    asyncio.run(run())


def test_messages_come_back_as_they_were(client: Client) -> None:
    history = MPlusChatMessageHistory("s / 1", client)
    call = {"name": "look", "args": {"at": [1, 2]}, "id": "c1", "type": "tool_call"}
    said = [
        HumanMessage("I live in Dorvas.", id="m1"),
        AIMessage("", tool_calls=[call], id="m2"),
        ToolMessage("seen", tool_call_id="c1", id="m3"),
        AIMessage([{"type": "text", "text": "Noted."}], id="m4"),
    ]
    history.add_messages(said)
    history.add_user_message("I live in Dorvas.")  # again, word for word
    others = MPlusChatMessageHistory("s2", client)
    others.add_ai_message("Good morning.")
    found = history.messages
    assert found[:4] == said
    assert [message.content for message in found[4:]] == ["I live in Dorvas."]
    history.clear()
    assert history.messages == []
    assert [message.content for message in others.messages] == ["Good morning."]
    history.add_user_message("Once more.")
    assert len(history.messages) == 1


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
def test_a_chain_with_a_history(client: Client) -> None:
    prompt = ChatPromptTemplate.from_messages(
        [MessagesPlaceholder("history"), ("human", "{asked}")]
    )
    model = GenericFakeChatModel(messages=iter([AIMessage("Hello."), AIMessage("Again.")]))
    chain = RunnableWithMessageHistory(
        prompt | model,
        lambda session_id: MPlusChatMessageHistory(session_id, client),
        input_messages_key="asked",
        history_messages_key="history",
    )
    for asked in ("Good morning, I am Maren.", "Do you remember me?"):
        chain.invoke({"asked": asked}, {"configurable": {"session_id": "s1"}})
    contents = [each.content for each in MPlusChatMessageHistory("s1", client).messages]
    assert contents == ["Good morning, I am Maren.", "Hello.", "Do you remember me?", "Again."]


def test_a_history_that_is_awaited(api: ApiWorld, key: str) -> None:
    async def run() -> None:
        async with AsyncClient(api.url, key) as client:
            history = MPlusChatMessageHistory("s1", client)
            await history.aadd_messages([HumanMessage("One."), AIMessage("Two.")])
            assert [each.content for each in await history.aget_messages()] == ["One.", "Two."]
            await history.aclear()
            assert await history.aget_messages() == []

    asyncio.run(run())
