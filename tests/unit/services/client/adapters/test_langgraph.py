"""A store in LangGraph; what it does is what LangGraph's own store in memory does."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore, GetOp, InvalidNamespaceError, Item, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from mplus_client import AsyncClient, Client
from mplus_client.adapters.langgraph import MPlusStore
from tests.api_world import ApiWorld

VALUES: dict[tuple[tuple[str, ...], str], dict[str, Any]] = {
    (("users", "1"), "prefs"): {"theme": "dark", "size": 5, "on": True},
    (("users", "1", "notes"), "a/b"): {"text": "Maren mends nets.", "size": 3.5},
    (("users", "2"), "prefs"): {"theme": "light", "size": 7, "deep": {"er": [1, {"x": None}]}},
    (("users", "a/b"), ".."): {"theme": "dark", "tags": ["x", "y"]},
    (("docs",), "é ü"): {"theme": "5"},
}


@pytest.fixture
def store(client: Client) -> MPlusStore:
    return MPlusStore(client)


@pytest.fixture
def both(store: MPlusStore) -> tuple[BaseStore, BaseStore]:
    """Ours and LangGraph's, with the same items."""
    plain = InMemoryStore()
    for each in (store, plain):
        for (namespace, key), value in VALUES.items():
            each.put(namespace, key, value)
    return store, plain


def test_items_come_back_as_they_were(both: tuple[BaseStore, BaseStore]) -> None:
    ours, plain = both
    for (namespace, key), value in VALUES.items():
        found = ours.get(namespace, key)
        assert found is not None
        assert (found.namespace, found.key, found.value) == (namespace, key, value)
        assert found.created_at.tzinfo is not None
    for namespace, key in [(("users",), "prefs"), (("users", "1"), "a/b"), (("users", "a"), "b")]:
        assert ours.get(namespace, key) is plain.get(namespace, key) is None


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        {"theme": "dark"},
        {"theme": "5"},
        {"theme": 5},
        {"size": 5},
        {"theme": {"$ne": "dark"}},
        {"theme": {"$eq": "light"}},
        {"on": True},
        {"on": None},
        {"tags": ["x", "y"]},
        {"tags": ["x"]},
        {"deep": {"er": [1, {"x": None}]}},
        {"nobody": "has"},
    ],
)
def test_searches_without_words_find_the_same(
    both: tuple[BaseStore, BaseStore], wanted: dict[str, Any] | None
) -> None:
    ours, plain = both
    found, expected = (each.search(("users",), filter=wanted, limit=99) for each in both)
    assert [(item.namespace, item.key, item.value) for item in found] == [
        (item.namespace, item.key, item.value) for item in expected
    ]
    assert [item.key for item in ours.search((), limit=2)] == [
        item.key for item in plain.search((), limit=2)
    ]


@pytest.mark.parametrize("prefix", [(), ("users", "1"), ("user",), ("users", "a/b")])
def test_a_prefix_is_of_whole_labels(
    both: tuple[BaseStore, BaseStore], prefix: tuple[str, ...]
) -> None:
    found, expected = (each.search(prefix, limit=99) for each in both)
    assert [item.key for item in found] == [item.key for item in expected]


@pytest.mark.parametrize(
    ("wanted", "sizes"),
    [({"$gt": 3.5}, [5, 7]), ({"$gte": 3.5, "$lt": 7}, [5, 3.5]), ({"$lte": "5"}, [5, 3.5])],
)
def test_numbers_are_compared(
    both: tuple[BaseStore, BaseStore], wanted: dict[str, Any], sizes: list[float]
) -> None:
    """An item without the field is left out; LangGraph's own fails at it."""
    found = both[0].search((), filter={"size": wanted})
    assert [item.value["size"] for item in found] == sizes


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"prefix": ("users",)},
        {"suffix": ("notes",)},
        {"prefix": ("users", "*"), "suffix": ("1",)},
        {"prefix": ("*", "1")},
        {"prefix": ("users",), "max_depth": 2},
        {"max_depth": 1},
        {"limit": 2, "offset": 1},
    ],
)
def test_namespaces_are_the_same(both: tuple[BaseStore, BaseStore], asked: dict[str, Any]) -> None:
    ours, plain = both
    assert ours.list_namespaces(**asked) == plain.list_namespaces(**asked)


def test_pages_follow_one_another(both: tuple[BaseStore, BaseStore]) -> None:
    ours, _ = both
    every = [item.key for item in ours.search(())]
    assert [item.key for at in range(5) for item in ours.search((), limit=1, offset=at)] == every


def test_words_find_what_was_just_put(store: MPlusStore) -> None:
    store.put(("notes",), "ilse", {"text": "Ilse keeps bees."})
    store.put(("notes", "old"), "maren", {"text": "Maren mends nets.", "year": 1999})
    store.put(("secret",), "otto", {"text": "Otto keeps bees."})
    store.put(("notes",), "hidden", {"text": "Nobody keeps bees."}, index=False)
    found = store.search(("notes",), query="Who keeps bees?")
    assert {item.key for item in found} == {"ilse", "maren"}
    (old,) = store.search(("notes",), query="Who mends nets?", filter={"year": 1999})
    assert old.value == {"text": "Maren mends nets.", "year": 1999}
    assert {item.key for item in store.search(("notes",))} == {"ilse", "maren", "hidden"}


def test_only_what_is_named_is_memorized(client: Client, store: MPlusStore) -> None:
    store.put(("n",), "k", {"a": "Ilse keeps bees.", "b": {"c": ["x", "Otto waits."]}}, ["b.c[*]"])
    (document,) = client.documents()
    passages = client.document(document.id).passages or []
    assert "Otto waits." in " ".join(one.text for one in passages)
    assert "Ilse" not in " ".join(one.text for one in passages)


def test_an_item_is_put_anew(client: Client, store: MPlusStore) -> None:
    store.put(("n",), "k", {"text": "Ilse keeps bees.", "year": 1})
    first = store.get(("n",), "k")
    store.put(("n",), "k", {"text": "Ilse keeps goats."})
    store.put(("n",), "k", {"text": "Ilse keeps goats.", "new": 2})
    second = store.get(("n",), "k")
    assert first is not None
    assert second is not None
    assert second.value == {"text": "Ilse keeps goats.", "new": 2}
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at
    assert [item.key for item in store.search(("n",), filter={"year": 1})] == []
    assert len(list(client.documents(state="waiting"))) <= 1
    store.delete(("n",), "k")
    assert store.get(("n",), "k") is None
    assert store.search(("n",)) == []
    store.delete(("n",), "k")  # nothing is there
    store.put(("n",), "k", {"text": "Ilse keeps goats.", "new": 2})
    assert store.get(("n",), "k") is not None


def test_items_that_are_read_live_longer(client: Client, store: MPlusStore) -> None:
    store.put(("n",), "k", {"text": "Ilse keeps bees."}, ttl=10)
    (first,) = client.documents()
    assert store.get(("n",), "k", refresh_ttl=False) is not None
    assert next(client.documents()).expires_at == first.expires_at
    item = store.get(("n",), "k")
    (second,) = client.documents()
    assert second.expires_at is not None
    assert first.expires_at is not None
    assert second.expires_at > first.expires_at
    assert item is not None
    assert item.value == {"text": "Ilse keeps bees."}
    assert MPlusStore(client, ttl={"default_ttl": 5}).ttl_config == {"default_ttl": 5}


def test_operations_in_a_batch(store: MPlusStore) -> None:
    store.put(("n",), "old", {"text": "Ilse keeps bees."})
    results = store.batch(
        [
            PutOp(("n",), "new", {"text": "One."}),
            PutOp(("n",), "new", {"text": "Two."}),
            PutOp(("n",), "old", None),
            GetOp(("n",), "old"),
            SearchOp(("n",)),
        ]
    )
    assert [type(result).__name__ for result in results] == [
        *["NoneType"] * 3,
        "Item",
        "list",
    ]
    assert [item.value for item in store.search(("n",))] == [{"text": "Two."}]


def test_labels_with_marks_are_no_other_namespaces(store: MPlusStore) -> None:
    """Operations in a batch pass none of the checks that `put` has."""
    for namespace in (("a", "b"), ("a.b",), ("a/b",), ("a", ""), ("a%2Fb",)):
        store.batch([PutOp(namespace, "k", {"x": repr(namespace)})])
    for namespace in (("a", "b"), ("a.b",), ("a/b",), ("a", ""), ("a%2Fb",)):
        (item,) = store.batch([GetOp(namespace, "k")])
        assert isinstance(item, Item)
        assert item.value == {"x": repr(namespace)}


def test_what_cannot_be_kept_is_refused(store: MPlusStore) -> None:
    with pytest.raises(InvalidNamespaceError):
        store.put(("a.b",), "k", {"x": 1})
    with pytest.raises(TypeError):
        store.put(("n",), "k", {"x": object()})
    store.put(("n",), "k", {"x": 1})
    with pytest.raises(ValueError, match="operator"):
        store.search(("n",), filter={"x": {"$like": 1}})


def test_stores_of_two_roots_are_two(client: Client, store: MPlusStore) -> None:
    other = MPlusStore(client, root="other")
    store.put(("n",), "k", {"x": "1"})
    assert other.get(("n",), "k") is None
    assert other.list_namespaces() == []


class State(TypedDict):
    """Of a graph.

    Attributes:
        asked: by the user.
        told: what the store had on it.
    """

    asked: str
    told: list[str]


def test_a_graph_remembers(store: MPlusStore) -> None:
    def recall(state: State, *, store: BaseStore) -> dict[str, Any]:
        found = store.search(("memories",), query=state["asked"])
        return {"told": [item.value["text"] for item in found]}

    def keep(state: State, *, store: BaseStore) -> dict[str, Any]:
        store.put(("memories",), str(len(state["asked"])), {"text": state["asked"]})
        return {}

    graph = StateGraph(State)
    graph.add_node("recall", recall)
    graph.add_node("keep", keep)
    graph.add_edge(START, "recall")
    graph.add_edge("recall", "keep")
    graph.add_edge("keep", END)
    compiled = graph.compile(store=store)
    assert compiled.invoke({"asked": "Maren lives in Dorvas.", "told": []})["told"] == []
    again = compiled.invoke({"asked": "Where does Maren live?", "told": []})
    assert again["told"] == ["Maren lives in Dorvas."]


def test_a_store_that_is_awaited(api: ApiWorld, key: str) -> None:
    async def run() -> None:
        async with AsyncClient(api.url, key) as client:
            store = MPlusStore(client)
            await store.aput(("n",), "k", {"text": "Ilse keeps bees."})
            found = await store.asearch(("n",), query="bees")
            assert [item.key for item in found] == ["k"]
            assert await store.alist_namespaces() == [("n",)]
            await store.adelete(("n",), "k")
            assert await store.aget(("n",), "k") is None

    asyncio.run(run())
