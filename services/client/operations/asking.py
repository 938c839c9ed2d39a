"""Questions and searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

import httpx

from ..flow import Flow, operation
from ..models import Answer, BatchAnswers, SearchResults
from ..requests import call, given, request
from ..streams import AnswerEvents, streamed
from .core import Core, Filter, Moment, chosen, moment

_QUERY, _BATCH, _SEARCH = "/v1/query", "/v1/query/batch", "/v1/search"


class Searched(TypedDict, total=False):
    """What may be said beside the words of a search.

    Attributes:
        limit: passages at most, up to 100.
        min_score: passages of a lower score are left out.
        filter: these documents only.
        min_step: wait for a memory of at least so many steps, such as the `min_step` of what
            `memorize` returned.
        as_of: the memory as it was after so many steps, or at that time.
        snapshot: likewise, by the name of a snapshot.
    """

    limit: int
    min_score: float | None
    filter: Filter | None
    min_step: int | None
    as_of: Moment | None
    snapshot: str | None


class Asked(TypedDict, total=False):
    """What may be said beside a question.

    Attributes:
        schema: a JSON Schema of an object; the answer's `value` is one, filled field by field.
        max_tokens: of the longest answer.
        temperature, top_p, top_k, seed: how words are drawn; by default the likeliest are taken.
        stop: ends the answer.
        citations: how many; true is 5, false is none.
        threshold: withhold an answer of less confidence; 0 withholds none.
        filter: draw on these documents only.
        min_step: wait for a memory of at least so many steps, such as the `min_step` of what
            `memorize` returned.
        as_of: answer from the memory as it was after so many steps, or at that time.
        snapshot: likewise, by the name of a snapshot.
    """

    schema: Mapping[str, Any] | None
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    stop: str | Sequence[str] | None
    citations: bool | int
    threshold: float | None
    filter: Filter | None
    min_step: int | None
    as_of: Moment | None
    snapshot: str | None


class Asking(Core):
    """`/v1/query` and `/v1/search`."""

    @operation
    def query(self, question: str, **asked: Unpack[Asked]) -> Flow[Answer]:
        """Ask; the answer has the passages that it draws on. Keywords are those of `Asked`.

        Raises:
            ApiError: it was refused.
        """
        body = {"question": question, **_body(asked)}
        answer = yield from call(self.patience, Answer, "POST", _QUERY, json=body)
        return answer

    @operation
    def query_batch(self, questions: Sequence[str | Mapping[str, Any]]) -> Flow[BatchAnswers]:
        """Ask up to 100 questions, which are answered together, in their order. One that fails has
        a `problem` instead of a `response`.

        Args:
            questions: each its words, or `question` with the keywords of `Asked` and an `id`.

        Raises:
            ApiError: all of it was refused.
        """
        body = {"questions": [_entry(each) for each in questions]}
        answers = yield from call(self.patience, BatchAnswers, "POST", _BATCH, json=body)
        return answers

    def _stream_query(self, question: str, **asked: Unpack[Asked]) -> Flow[httpx.Response]:
        """Ask, and have the answer piece by piece; `result` is the whole `Answer`, whose text
        stands in the pieces' place: it may have been withheld. Keywords are those of `Asked`.
        """
        body = {"question": question, **_body(asked), "stream": True}
        options = {"json": body}
        answer = yield from request(self.patience, "POST", _QUERY, lambda: options, stream=True)
        return answer

    stream_query = streamed(AnswerEvents, _stream_query)

    @operation
    def search(self, query: str, **searched: Unpack[Searched]) -> Flow[SearchResults]:
        """Passages that an answer would draw on, the best first. Keywords are those of `Searched`.

        Raises:
            ApiError: it was refused.
        """
        body = {"query": query, **_body(searched)}
        found = yield from call(self.patience, SearchResults, "POST", _SEARCH, json=body)
        return found


def _entry(question: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"question": question} if isinstance(question, str) else _body(question)


def _body(said: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a question as JSON has them."""
    special = {"filter": chosen(said.get("filter")), "as_of": moment(said.get("as_of"))}
    return given(**{**said, **special})
