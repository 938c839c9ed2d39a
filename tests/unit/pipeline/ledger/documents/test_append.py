"""Many documents in one transaction: the log is that of one by one."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mplus_ray.pipeline.ledger.documents.append
import mplus_ray.pipeline.ledger.documents.near_duplicates
from mplus_ray.model.errors import InvalidInputError, MPlusError, QuotaError
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import Accepted, Entry, TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from tests.logs import Clock
from tests.worlds import log_of, without_flushing

_WORDS = "the raven is black and the owl is brown while every swan in the lake is white".split()


def text(first: int, words: int) -> str:
    """Ten words and more, so that neighbours are alike and others are not."""
    return " ".join([*_WORDS, *(f"w{first + n}" for n in range(words))])


def entry(key: str, words: str, chunks: int) -> Entry:
    size = max(len(words) // max(chunks, 1), 1)
    spans = [Span(n * size, (n + 1) * size, n + 1) for n in range(chunks)]
    return Entry(ParsedDocument(f"T {key}", words), f"{key}.txt", spans, key)


texts = st.one_of(
    st.sampled_from(["short", "other", text(0, 0), text(0, 1), text(0, 2), text(50, 20)]),
    st.builds(text, st.integers(0, 3), st.integers(0, 30)),
)
entries = st.builds(
    entry, st.sampled_from(["a", "b", "c", "d", "bad\nkey"]), texts, st.integers(0, 3)
)


def one_by_one(log: TenantLog, group: Sequence[Entry]) -> list[Accepted | MPlusError]:
    outcomes: list[Accepted | MPlusError] = []
    for each in group:
        try:
            outcomes.append(log.append(each.document, each.source, each.spans, each.key))
        except (InvalidInputError, QuotaError) as error:
            outcomes.append(error)
            if isinstance(error, QuotaError):
                break
    return outcomes


def shown(outcomes: Sequence[Accepted | MPlusError]) -> list[Any]:
    """What became of documents, without ids that are drawn."""
    return [
        (type(o), str(o))
        if isinstance(o, MPlusError)
        else (o.key, o.first_step, o.chunks, o.new, o.replaced is not None, _similarity(o))
        for o in outcomes
    ]


def _similarity(accepted: Accepted) -> float | None:
    """Without saying to which: of several that are as like, any is named."""
    return accepted.alike.similarity if accepted.alike else None


def everything(log: TenantLog) -> Any:
    forgets = sorted(forget.receipt.document for forget in log.forgets.list())
    return log_of(log), forgets, log.length(), log.tokens()


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        without_flushing(patch.setattr)
        # All are compared; else it is chance which of those that share as many bands are.
        patch.setattr(mplus_ray.pipeline.ledger.documents.near_duplicates, "_CANDIDATES", 1000)
        patch.setattr(mplus_ray.pipeline.ledger.documents.near_duplicates, "_HITS", 10_000)
        yield


@pytest.mark.usefixtures("quick")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    groups=st.lists(st.lists(entries, max_size=8), max_size=3),
    limits=st.sampled_from([{}, {"max_documents": 3}, {"max_bytes": 60}]),
)
def test_many_are_one_by_one(groups: list[list[Entry]], limits: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(f"sqlite:///{Path(folder) / 'ledger.db'}", clock=Clock())
        try:
            together, single = (
                ledger.create_tenant(name, "f1", bytes_per_step=10, **limits) for name in "xy"
            )
            for group in groups:
                expected = shown(one_by_one(single, group))
                found = shown(together.append_many(group))
                # The tenant's name is in the message of a full one.
                assert str(found).replace("'x'", "'y'").replace(" x ", " y ") == str(expected)
            assert everything(together) == everything(single)
        finally:
            ledger.close()


class TestAppendMany:
    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[TenantLog]:
        ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
        yield ledger.create_tenant("anna", "f1")
        ledger.close()

    def test_a_failure_within_leaves_nothing(
        self, log: TenantLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        count = itertools.count()
        values = mplus_ray.pipeline.ledger.documents.append._values

        def fails(*arguments: Any) -> dict[str, Any]:
            if next(count) == 2:
                raise RuntimeError("power is out")
            return values(*arguments)

        monkeypatch.setattr(mplus_ray.pipeline.ledger.documents.append, "_values", fails)
        group = [entry(key, f"text of {key}", 2) for key in "abcd"]
        with pytest.raises(RuntimeError, match="power"):
            log.append_many(group)
        assert log.documents() == []
        assert log.length() == 0

    def test_known_ones_write_nothing(
        self, log: TenantLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        group = [entry(key, f"text of {key}", 1) for key in "abc"]
        first = log.append_many(group)
        monkeypatch.setattr(type(log.scope), "writing", lambda self: pytest.fail("it wrote"))
        again = log.append_many([*group, entry("d", "", 0)])
        assert [o.document for o in again[:3]] == [o.document for o in first]  # type: ignore[union-attr]
        assert isinstance(again[3], InvalidInputError)

    def test_nothing_is_nothing(self, log: TenantLog) -> None:
        assert log.append_many([]) == []
