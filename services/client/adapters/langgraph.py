"""For LangGraph: memory as a `BaseStore`, whose items are documents.

Needs `pip install 'mplus-client[langgraph]'`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    get_text_at_path,
    tokenize_path,
)

from ..client import AsyncClient, Client, Operations
from ..flow import Flow
from ..models import Document, NewDocument
from ..requests import quoted
from .conditions import is_so, narrowed
from .runner import TAG, Runner, all_taken, described, every, forget

_MOST_HITS = 100  # passages of a search
Namespace = tuple[str, ...]


class MPlusStore(BaseStore):
    """Items are documents: what of a value is to be found by its meaning is memorized, the value
    itself comes back as it was. A search with words is a search of memory.

    Get, delete and search without words see every put at once; a search with words waits for what
    this store has put.

    Args:
        client: of the tenant whose memory it is.
        root: of the ids of its documents; stores of two roots see nothing of one another.
        ttl: defaults for how long items are kept.
    """

    supports_ttl = True

    def __init__(
        self,
        client: Client | AsyncClient,
        *,
        root: str = "langgraph",
        ttl: TTLConfig | None = None,
    ) -> None:
        self._client, self._root = client, root
        self._runner = Runner(client)
        self._step = 0  # that a search is to have seen
        self.ttl_config = ttl

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry operations out; those that read see nothing of those that write beside them."""
        return self._runner.run(self._all(list(ops)))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry operations out; those that read see nothing of those that write beside them."""
        return await self._runner.arun(self._all(list(ops)))

    def _all(self, ops: Sequence[Op]) -> Flow[list[Result]]:
        results: list[Result] = []
        puts: dict[tuple[Namespace, str], PutOp] = {}
        for op in ops:
            result: Result = None
            if isinstance(op, GetOp):
                result = yield from self._get(op)
            elif isinstance(op, SearchOp):
                result = yield from self._search(op)
            elif isinstance(op, ListNamespacesOp):
                result = yield from self._namespaces(op)
            else:
                puts[op.namespace, op.key] = op
            results.append(result)
        yield from self._put(list(puts.values()))
        return results

    def _get(self, op: GetOp) -> Flow[Item | None]:
        name = self._id(op.namespace, op.key)
        found = (yield from described(self._client, [name])).get(name)
        if found is None:
            return None
        if op.refresh_ttl:
            yield from self._refresh([found])
        return Item(**_fields(found))

    def _search(self, op: SearchOp) -> Flow[list[SearchItem]]:
        if op.query:
            scored = yield from self._by_words(op, op.query)
        else:
            documents = yield from every(self._client, self._wanted(op))
            scored = [(document, None) for document in documents]
        chosen = [
            (document, score)
            for document, score in scored
            if is_so(_value(document), op.filter or {})
        ][op.offset : op.offset + op.limit]
        if op.refresh_ttl:
            yield from self._refresh([document for document, _ in chosen])
        return [SearchItem(**_fields(document), score=score) for document, score in chosen]

    def _by_words(self, op: SearchOp, query: str) -> Flow[list[tuple[Document, float | None]]]:
        """Documents of the passages that are found, each by its best one."""
        reply = yield from Operations.search(
            self._client,
            query,
            limit=_MOST_HITS,
            filter=self._wanted(op, indexed=True),
            min_step=self._step or None,
        )
        best: dict[str, float | None] = {}
        for hit in reply.results:
            best.setdefault(hit.document_id, hit.score)
        found = yield from described(self._client, best)
        return [(found[name], score) for name, score in best.items() if name in found]

    def _wanted(self, op: SearchOp, *, indexed: bool = False) -> dict[str, Any]:
        """What the service can leave out for a search."""
        metadata = narrowed(op.filter or {}, "fields")
        if indexed:
            metadata["indexed"] = "yes"
        wanted: dict[str, Any] = {"tags": [self._tag(op.namespace_prefix)]}
        return {**wanted, "metadata": metadata} if metadata else wanted

    def _namespaces(self, op: ListNamespacesOp) -> Flow[list[Namespace]]:
        """Of all items below the longest prefix that is asked for; it takes longer the more of
        them there are.
        """
        conditions = op.match_conditions or ()
        prefixes = [each.path for each in conditions if each.match_type == "prefix"]
        known = max((_known(path) for path in prefixes), key=len, default=())
        documents = yield from every(self._client, {"tags": [self._tag(known)]})
        found = {
            namespace[: op.max_depth]
            for namespace in map(_namespace, documents)
            if all(_matches(condition, namespace) for condition in conditions)
        }
        return sorted(found)[op.offset : op.offset + op.limit]

    def _put(self, puts: Sequence[PutOp]) -> Flow[None]:
        names = {self._id(op.namespace, op.key): op for op in puts}
        gone = [name for name, op in names.items() if op.value is None]
        yield from forget(self._client, gone)
        kept = {name: op for name, op in names.items() if op.value is not None}
        if not kept:
            return
        before = yield from described(self._client, kept)
        documents = []
        for name, op in kept.items():
            created = before[name].metadata["created"] if name in before else None
            documents.append(self._document(name, op, created))
        yield from self._hand_in(documents)

    def _refresh(self, documents: Sequence[Document]) -> Flow[None]:
        """Let items that are read live as long again as they were given."""
        again = []
        for document in documents:
            if (minutes := document.metadata.get("ttl")) is not None:
                index = document.metadata["index"]
                value = _value(document)
                op = PutOp(_namespace(document), document.metadata["key"], value, index, minutes)
                made = self._document(document.id, op, document.metadata["created"])
                kept = {**(made.metadata or {}), "updated": document.metadata["updated"]}
                again.append(made.model_copy(update={"metadata": kept}))
        if again:
            yield from self._hand_in(again)

    def _hand_in(self, documents: Sequence[NewDocument]) -> Flow[None]:
        taken = all_taken((yield from Operations.memorize_all(self._client, documents)))
        self._step = max(self._step, taken.min_step)

    def _document(self, name: str, op: PutOp, created: str | None) -> NewDocument:
        """An item as it is memorized.

        Raises:
            TypeError: its value is no JSON.
        """
        value = dict(op.value or {})
        now = datetime.now(UTC).isoformat()
        text = _text(value, op.index)
        plain = {
            field: each
            for field, each in value.items()
            if isinstance(each, str | int | float) and len(str(each)) <= TAG
        }
        prefixes = [op.namespace[:length] for length in range(len(op.namespace) + 1)]
        return NewDocument(
            id=name,
            text=text or op.key,
            title=op.key[:200],
            tags=[self._tag(prefix) for prefix in prefixes],
            ttl=None if op.ttl is None else 60 * op.ttl,
            metadata={
                "namespace": list(op.namespace),
                "key": op.key,
                "value": json.dumps(value, ensure_ascii=False, allow_nan=False),
                "fields": plain,  # which the service can filter by
                "index": op.index,
                "indexed": "yes" if text else "no",
                "ttl": op.ttl,
                "created": created or now,
                "updated": now,
            },
        )

    def _id(self, namespace: Namespace, key: str) -> str:
        return "/".join([self._root, *map(quoted, namespace), quoted(key)])

    def _tag(self, prefix: Namespace) -> str:
        """Of every item at or below a namespace."""
        tag = "/".join([self._root, *map(quoted, prefix), ""])
        if len(tag) <= TAG:
            return tag
        return f"{self._root}/…{hashlib.sha256(tag.encode()).hexdigest()}"


def _text(value: Mapping[str, Any], index: Any) -> str:
    """What of a value is to be found by its meaning."""
    if index is False:
        return ""
    if index:
        texts = [text for path in index for text in get_text_at_path(value, tokenize_path(path))]
        return "\n".join(texts).strip()
    if len(value) == 1 and isinstance(only := next(iter(value.values())), str):
        return only.strip()
    return "\n".join(
        f"{name}: {each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)}"
        for name, each in value.items()
    )


def _fields(document: Document) -> dict[str, Any]:
    return {
        "namespace": _namespace(document),
        "key": document.metadata["key"],
        "value": _value(document),
        "created_at": datetime.fromisoformat(document.metadata["created"]),
        "updated_at": datetime.fromisoformat(document.metadata["updated"]),
    }


def _value(document: Document) -> dict[str, Any]:
    return dict(json.loads(document.metadata["value"]))


def _namespace(document: Document) -> Namespace:
    return tuple(document.metadata["namespace"])


def _known(path: Sequence[str]) -> Namespace:
    """As much of a pattern as says what it is."""
    return tuple(path[: list(path).index("*")]) if "*" in path else tuple(path)


def _matches(condition: MatchCondition, namespace: Namespace) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    end = len(namespace) - len(path) if condition.match_type == "suffix" else 0
    labels = namespace[end : end + len(path)]
    return all(wanted in ("*", label) for wanted, label in zip(path, labels, strict=True))
