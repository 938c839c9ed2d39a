"""The same text under another name is noticed, and so is nearly the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from mplus_ray.pipeline.chunking.chunker import chunk_document
from mplus_ray.pipeline.chunking.headers import Headings
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, take_in
from mplus_ray.pipeline.ledger.documents.near_duplicates import Sketch
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.schema import documents, likenesses
from mplus_ray.pipeline.ledger.tenant_log import Accepted, TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.sources import Incoming
from tests.logs import build_without, memorize
from tests.unit.fakes import FakeTokenizer

pytest_plugins = ["tests.postgres"]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


@pytest.fixture
def log(ledger: Ledger) -> TenantLog:
    return ledger.create_tenant("anna", "weights")


def words(seed: int, count: int = 300) -> list[str]:
    rng = random.Random(seed)
    return [f"word{rng.randrange(3000)}" for _ in range(count)]


def changed(text: list[str], count: int) -> str:
    """Every so many words another one."""
    every = len(text) // count
    return " ".join("other" if n % every == 0 else word for n, word in enumerate(text))


def add(log: TenantLog, key: str, text: str) -> Accepted:
    spans = chunk_document(text, Headings(""), FakeTokenizer(64))
    return log.append(ParsedDocument(key, text), f"{key}.txt", spans, key)


def test_the_same_text_is_noticed(log: TenantLog) -> None:
    assert add(log, "a", "Yes.").alike is None
    alike = add(log, "b", "Yes.").alike
    assert alike is not None
    assert (alike.key, alike.similarity) == ("a", 1.0)


def test_nearly_the_same_text_is_noticed(log: TenantLog) -> None:
    for seed in range(20):
        text = words(seed)
        add(log, f"a{seed}", " ".join(text))
        alike = add(log, f"b{seed}", changed(text, 5)).alike
        assert alike is not None
        assert alike.key == f"a{seed}"
        assert 0.85 < alike.similarity < 1


def test_another_text_is_another(log: TenantLog) -> None:
    for seed in range(20):
        assert add(log, f"a{seed}", " ".join(words(seed))).alike is None
    assert add(log, "half", changed(words(3), 40)).alike is None


def test_short_texts_are_alike_only_if_equal(log: TenantLog) -> None:
    add(log, "a", "The owl is very brown today.")
    assert add(log, "b", "The owl is very brown today!").alike is None


def test_a_new_version_is_not_like_the_old_one(log: TenantLog) -> None:
    text = words(1)
    add(log, "a", " ".join(text))
    accepted = add(log, "a", changed(text, 3))
    assert accepted.replaced
    assert accepted.alike is None


def test_other_tenants_are_not_looked_at(ledger: Ledger, log: TenantLog) -> None:
    add(log, "a", " ".join(words(1)))
    assert add(ledger.create_tenant("bela", "weights"), "b", " ".join(words(1))).alike is None


def test_a_forgotten_document_leaves_nothing(log: TenantLog) -> None:
    text = words(1)
    add(log, "a", " ".join(text))
    lease = log.heads.claim("w", 10)
    log.heads.swap(lease, build_without(log, lease, ["a"]).id)
    with log.scope.reading() as connection:
        assert connection.execute(log.scope.select(likenesses)).all() == []
    assert add(log, "b", changed(text, 3)).alike is None


def test_a_fork_knows_what_it_copied(ledger: Ledger, log: TenantLog) -> None:
    text = words(1)
    first = add(log, "a", " ".join(text))
    lease = log.heads.claim("w", 10)
    memorize(log, lease, [first.chunks])
    fork = ledger.fork_tenant(log, "bela")
    alike = add(fork, "b", " ".join(text)).alike
    assert alike is not None
    assert add(fork, "c", changed(text, 2) + " end").alike is not None


def test_the_sketch_of_a_text_is_the_same_for_ever() -> None:
    sketch = Sketch.of("One two three four five six seven eight nine.")
    assert len(sketch.shingles) == 7
    assert sketch.bands[:2] == [-3756994514523935979, 3123132298782339844]


def test_both_databases_keep_them(ledger_url: str) -> None:
    ledger = Ledger(ledger_url)
    log = ledger.create_tenant("anna", "weights")
    text = words(1)
    add(log, "a", " ".join(text))
    assert add(log, "b", changed(text, 3)).alike is not None
    ledger.close()


def test_the_intake_lists_them(log: TenantLog) -> None:
    texts = {"a": "One text.", "b": "Another text.", "c": "One text."}
    items = [
        Incoming(key, lambda text=text: ParsedDocument("t", text), key)  # type: ignore[misc]
        for key, text in texts.items()
    ]
    intake = take_in(items, lambda: DocumentChunker(log, FakeTokenizer(64)))
    assert [(d.document, d.like, d.similarity) for d in intake.duplicates] == [("c", "a", 1.0)]


def test_texts_to_compare_are_found_by_their_ids(log: TenantLog) -> None:
    """By the tenant's index each line of a long stream would read all lines before it."""
    scope = log.scope
    query = scope.select_by_ids(documents, ["a", "b", "c"], documents.c.text)
    with scope.writing() as connection:
        literal = query.compile(connection.engine, compile_kwargs={"literal_binds": True})
        (plan,) = connection.execute(text(f"explain query plan {literal}"))
    assert "(id=?)" in plan.detail
