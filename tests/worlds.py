"""Whole embedded installations with a tiny random model: what tests of durability play with."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import torch

import mplus_ray.actors.writer
import mplus_ray.pipeline.ledger.database
import mplus_ray.pipeline.maintenance.compaction
import mplus_ray.pipeline.writing.committer
import mplus_ray.pipeline.writing.write_pipeline
from mplus_ray.actors.reading.reader import Reader
from mplus_ray.model import MPlus
from mplus_ray.model.memory.digest import digest
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.pipeline.chunking.chunker import chunk_document
from mplus_ray.pipeline.chunking.headers import Headings, with_header
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import Accepted, TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.pipeline.workers.catch_up import catch_up
from mplus_ray.pipeline.writing.engine import Engine
from tests.checkpoints import write_checkpoint

SEED = 7
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def many_files(patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Commits and states after a few steps, as in a tenant a hundred times larger.

    Which steps a commit has depends on nothing but their number: a slow machine makes the same.
    """
    patch(mplus_ray.pipeline.writing.write_pipeline, "_GROUP_STEPS", 2)
    patch(mplus_ray.pipeline.writing.write_pipeline, "_GROUP_SECONDS", math.inf)
    patch(mplus_ray.pipeline.writing.committer, "_MOST", 1)
    patch(mplus_ray.actors.writer, "STATE_EVERY", 3)


def without_flushing(patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Nothing waits for the disk: what a dead process wrote is there, whether on a disk or not."""
    patch(os, "fsync", lambda descriptor: None)
    configure = mplus_ray.pipeline.ledger.database._configure_sqlite

    def configured(engine: sqlalchemy.Engine) -> None:
        configure(engine)
        sqlalchemy.event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))

    patch(mplus_ray.pipeline.ledger.database, "_configure_sqlite", configured)


def merge_all(world: World, log: TenantLog) -> int:
    """Compact also what is not worth it yet; returns how many files went."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mplus_ray.pipeline.maintenance.compaction, "_FEW", 2)
        return mplus_ray.pipeline.maintenance.compaction.compact(world.engine, log)


def load_model(folder: Path) -> MPlus:
    """A checkpoint of two layers that retrieves blocks, with a pool of four."""
    if not folder.exists():
        write_checkpoint(
            folder,
            num_hidden_layers=2,
            retrieval="blocks",
            initial_rf_when_moving_stm_to_ltm=30,
        )
    return MPlus.load(folder, device="cpu")


def make_text(name: str, steps: int) -> str:
    """Words that no other document has, `steps` chunks of them."""
    rng = random.Random(name)
    return " ".join("".join(rng.choices(_LETTERS, k=13)) for _ in range(steps))


@dataclass
class World:
    """One process's hands on an installation: close it before the next one opens.

    Attributes:
        folder: of the store.
    """

    model: MPlus
    url: str
    folder: Path

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.url)

    @cached_property
    def files(self) -> ObjectStore:
        return ObjectStore.open(str(self.folder))

    @cached_property
    def reader(self) -> Reader:
        return Reader(self.model, self.files)

    @cached_property
    def engine(self) -> Engine:
        return Engine.of(self.model, self.ledger, self.files, patience=30.0)

    def tenant(self, name: str, **settings: Any) -> TenantLog:
        settings.setdefault("seed", SEED)
        return self.ledger.create_tenant(name, self.model.fingerprint, **settings)

    def accept(self, log: TenantLog, key: str, text: str) -> Accepted:
        document = ParsedDocument(key, text)
        spans = chunk_document(text, Headings.of(document), self.model.tokenizer)
        return log.append(document, key, spans, key)

    def grow(self, name: str, documents: Iterable[tuple[str, str]], **settings: Any) -> TenantLog:
        """A tenant that has these (key, text), memorized."""
        log = self.tenant(name, **settings)
        for key, text in documents:
            self.accept(log, key, text)
        catch_up(self.engine, [log])
        return log

    def digest(self, log: TenantLog, as_of: int | None = None) -> str:
        """By a reader that has seen nothing before."""
        plan = read_plan(log, log.heads.serving(), as_of)
        return digest(Reader(self.model, self.files).memory(plan))

    @property
    def data(self) -> Path:
        """Where everything is, if the ledger is a file."""
        return self.folder.parent

    def chain(self, log: TenantLog) -> list[Memory]:
        """The memory at every step as it is made in one go, without a file."""
        tenant = log.tenant
        memories = [self.model.empty_memory(tenant.seed, tenant.precision, tenant.retention)]
        for piece in log.chunks(0):
            ids = with_header(self.model.tokenizer, piece.heading, piece.text)
            memories += self.model.memorize_chunks(memories[-1:], [ids])
        return memories

    def names(self) -> set[str]:
        """Every file in the store."""
        return {name for name, _ in self.files.list()}

    def close(self) -> None:
        if "ledger" in vars(self):
            self.ledger.close()

    def restarted(self) -> World:
        """The same installation as a new process sees it; this one is closed."""
        self.close()
        return replace(self)


@contextmanager
def opened(model: MPlus, url: str, folder: Path) -> Iterator[World]:
    world = World(model, url, folder)
    try:
        yield world
    finally:
        world.close()


def log_of(log: TenantLog) -> tuple[list[tuple[Any, ...]], list[tuple[int, str]]]:
    """What a log holds: its documents without what is drawn or dated, and its steps."""
    documents = [
        (d.key, d.source, d.title, d.sha256, d.state, d.first_step, d.end, d.tokens)
        for d in log.documents()
    ]
    return documents, [(chunk.step, chunk.text) for chunk in log.chunks(0)]


def row_bytes(world: World, log: TenantLog, first: int, end: int) -> list[bytes]:
    """The bytes of every row, and of every hidden row in a state, that these steps wrote."""
    serving = log.heads.serving()
    stored = world.reader.memory(read_plan(log, serving)).store.stored(first, end)
    columns = [stored.kv, stored.keys]
    for state in serving.states:
        if first < state.step <= end:
            writer_state = world.model.read_writer_state(world.files, state)
            assert writer_state.last_block is not None
            columns.append(writer_state.last_block)
    raws = [column.contiguous().view(torch.uint8).numpy() for column in columns]
    return [row.tobytes() for raw in raws for layer in raw for row in layer]


def windows(text: str, others: Sequence[str], size: int = 12) -> list[bytes]:
    """Every run of `size` characters that is in no other text."""
    runs = {text[at : at + size] for at in range(len(text) - size + 1)}
    return [run.encode() for run in runs if not any(run in other for other in others)]


def found_in(folder: Path, needles: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Which of these bytes are in which file anywhere below a folder."""
    hits = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            hits += [
                (str(path.relative_to(folder)), needle) for needle in needles if needle in data
            ]
    return hits
