"""Documents: handed in as text, listed, shown, forgotten."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from ..flow import Flow, operation, paged
from ..models import Document, DocumentPage, NewDocument, Receipt, TakenIn, WholeDocument
from ..requests import call, given, plain, quoted, read, request
from .core import Core, Filter, chosen, moment
from .jobs import finished

_PATH = "/v1/documents"
_TIMES = frozenset({"occurred_at", "expires_at"})
_LONGEST_WAIT = 30.0  # seconds of one request; beyond it the job is asked
_PAGE = 200


class Documents(Core):
    """`/v1/documents`."""

    @operation
    def memorize(
        self,
        text: str,
        *,
        id: str | None = None,  # noqa: A002 - as the service calls it
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: str | None = None,
        tags: Sequence[str] | None = None,
        occurred_at: str | datetime | None = None,
        expires_at: str | datetime | None = None,
        ttl: float | None = None,
        wait: float = 0.0,
        idempotency_key: str | None = None,
    ) -> Flow[TakenIn]:
        """Hand one text in. It is durable when this returns.

        Args:
            id: what you know it by; by default a hash of the text.
            wait: seconds until questions can draw on it; 0 returns at once.
            idempotency_key: by default one of this call's own, so that trying again after a
                connection broke adds nothing twice.

        Raises:
            WaitTimeoutError: it is not memorized in that time. It will be.
            ApiError: it was refused.
        """
        body = given(
            text=text,
            id=id,
            title=title,
            metadata=metadata,
            session=session,
            tags=tags,
            occurred_at=moment(occurred_at),
            expires_at=moment(expires_at),
            ttl=ttl,
        )
        taken = yield from _hand_in(self, body, wait, idempotency_key)
        return taken

    @operation
    def memorize_all(
        self,
        documents: Sequence[NewDocument | Mapping[str, Any]],
        *,
        wait: float = 0.0,
        idempotency_key: str | None = None,
    ) -> Flow[TakenIn]:
        """Hand several texts in with one request, in this order; `failed` lists what was left out.
        For more than a few hundred, `send_documents` goes on by itself.

        Args:
            wait: seconds until questions can draw on all of them; 0 returns at once.
            idempotency_key: by default one of this call's own.

        Raises:
            WaitTimeoutError: they are not memorized in that time. They will be.
            ApiError: all of them were refused.
        """
        body = {"documents": plain(list(documents))}
        taken = yield from _hand_in(self, body, wait, idempotency_key)
        return taken

    @paged
    def documents(
        self,
        cursor: str | None,
        *,
        filter: Filter | None = None,  # noqa: A002 - as the service calls it
        state: Literal["waiting", "memorized", "forgetting"] | None = None,
        q: str | None = None,
        page: int = _PAGE,
    ) -> Flow[tuple[list[Document], str | None]]:
        """All documents, in the order in which they came; pages are fetched as they are needed.

        Args:
            filter: only those that it leaves.
            q: only those that have this in their title or id.
            page: documents that are fetched at a time, 200 at most.
        """
        wanted = chosen(filter)
        text = json.dumps(wanted, ensure_ascii=False) if wanted is not None else None
        params = given(limit=page, cursor=cursor, filter=text, state=state, q=q)
        found = yield from call(self.patience, DocumentPage, "GET", _PATH, params=params)
        return found.documents, found.next_cursor

    @operation
    def document(self, id: str, *, passages: bool = True) -> Flow[WholeDocument]:  # noqa: A002
        """One document.

        Args:
            passages: whether with its text.

        Raises:
            NotFoundError: there is none of this id.
        """
        params = {} if passages else {"passages": "false"}
        path = f"{_PATH}/{quoted(id)}"
        found = yield from call(self.patience, WholeDocument, "GET", path, params=params)
        return found

    @operation
    def change_document(
        self,
        id: str,  # noqa: A002 - as the service calls it
        changes: Mapping[str, Any],
    ) -> Flow[Document]:
        """Change what is said of a document; its text stays.

        Args:
            changes: of `metadata`, `session`, `tags`, `occurred_at`, `expires_at` and `ttl`. What
                is not named stays, None clears.

        Raises:
            ApiError: it was refused.
        """
        times = {name: moment(changes[name]) for name in _TIMES & changes.keys()}
        body = {**plain(dict(changes)), **times}
        found = yield from call(
            self.patience, Document, "PATCH", f"{_PATH}/{quoted(id)}", json=body
        )
        return found

    @operation
    def delete_document(self, id: str) -> Flow[Receipt]:  # noqa: A002 - as the service calls it
        """Have a document forgotten: no answer draws on it from now on. `wait(receipt)` returns
        when nothing is left of it.

        Raises:
            NotFoundError: there is none of this id.
        """
        receipt = yield from call(self.patience, Receipt, "DELETE", f"{_PATH}/{quoted(id)}")
        return receipt

    @operation
    def delete_documents(self, filter: Filter) -> Flow[Receipt]:  # noqa: A002 - likewise
        """Have all documents forgotten that a filter leaves, with one receipt.

        Raises:
            InvalidRequestError: the filter says nothing, and would be all documents.
        """
        params = {"filter": json.dumps(chosen(filter), ensure_ascii=False)}
        receipt = yield from call(self.patience, Receipt, "DELETE", _PATH, params=params)
        return receipt


def _hand_in(
    core: Core, body: dict[str, Any], wait: float, idempotency_key: str | None
) -> Flow[TakenIn]:
    headers = {"idempotency-key": idempotency_key or uuid.uuid4().hex}
    first = min(wait, _LONGEST_WAIT)
    params = {"wait": f"{first:.3f}"} if first > 0 else {}
    options = {"json": body, "headers": headers, "params": params}
    answer = yield from request(core.patience, "POST", _PATH, lambda: options)
    taken = read(TakenIn, answer)
    if wait <= 0 or answer.status_code == 200:
        return taken
    yield from finished(core, taken.job_id, wait - first)
    documents = [each.model_copy(update={"state": "memorized"}) for each in taken.documents]
    return taken.model_copy(update={"documents": documents})
