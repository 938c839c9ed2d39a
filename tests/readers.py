"""A reader under test: tenants with files, what an answer should be, and somebody who listens."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.actors.messages import AskRequest, AskResult, TextDelta, Turn
from mplus_ray.actors.plans import ReadPlan, WritePlan, WriteRequest
from mplus_ray.actors.reading.engine import Answering
from mplus_ray.actors.reading.reader import Reader
from mplus_ray.actors.reading.request import Event, RequestHandle
from mplus_ray.actors.writer import Writer
from mplus_ray.model import Answer, MPlus, MPlusError
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.store.file_refs import Shard
from tests.checkpoints import write_checkpoint

PLENTY = 1 << 40
PATIENCE = 60.0  # seconds, after which a test has failed

# Forms of retrieval that a reader must serve alike. No token ends an answer, so lengths are known.
RETRIEVALS: dict[str, dict[str, Any]] = {
    "blocks": {"retrieval": "blocks"},
    "rows": {},
    "no pool": {"retrieval": "blocks", "pool_attended": False, "num_recent_blocks": 1},
    "no retrieval": {"num_ltm_blocks": 0, "num_blocks": 3},
}


def load(folder: Path, form: str = "blocks", **changes: Any) -> MPlus:
    write_checkpoint(
        folder,
        num_hidden_layers=2,
        initial_rf_when_moving_stm_to_ltm=30,
        eos_token_ids=(),
        **{**RETRIEVALS[form], **changes},
    )
    return MPlus.load(folder, device="cpu")


@dataclass
class Tenants:
    """Memories in files, and plans to read them at any of their steps."""

    model: MPlus
    files: ObjectStore
    readers: dict[ReadPlan, Reader] = field(default_factory=dict)

    def grow(self, tenant: str, texts: Sequence[str], seed: int = 0, per_file: int = 3) -> ReadPlan:
        """Memorize one chunk a text; returns the plan of the whole."""
        writer = Writer(self.model, self.files)
        writer.open(WritePlan(tenant, f"head of {tenant}", 1, seed, "bfloat16", 0, ()))
        shards: list[Shard] = []
        for step, text in enumerate(texts):
            ids = self.model.tokenizer.encode(text)[: self.model.config.chunk_tokens]
            writer.memorize([WriteRequest(tenant, step, ids)])
            if (step + 1) % per_file == 0 or step + 1 == len(texts):
                sealed = writer.seal(tenant, leaving=False)
                assert sealed is not None
                shards += sealed.shards
        return ReadPlan(
            tenant,
            f"head of {tenant}",
            self.model.fingerprint,
            seed,
            "bfloat16",
            "checkpoint",
            len(texts),
            tuple(shards),
        )

    def alone(self, plan: ReadPlan, question: str, **sampling: Any) -> Answer:
        """The answer of a reader that has seen nothing else."""
        if plan not in self.readers:
            self.readers[plan] = Reader(self.model, self.files)
        return self.readers[plan].ask(plan, question, **sampling)

    def check(self, told: AskResult, plan: ReadPlan, question: str, **sampling: Any) -> None:
        """The answer is the one it would have been alone; scores may be rounded otherwise."""
        mine, alone = told.answer, self.alone(plan, question, **sampling)
        assert replace(mine, sources=[]) == replace(alone, sources=[])
        assert [s.step for s in mine.sources] == [s.step for s in alone.sources]
        scores = [source.score for source in alone.sources]
        assert [s.score for s in mine.sources] == pytest.approx(scores, abs=1e-4)


def at(plan: ReadPlan, step: int) -> ReadPlan:
    """The plan as it was when the memory had so many steps (a multiple of its files')."""
    return replace(plan, step=step, shards=tuple(s for s in plan.shards if s.end <= step))


def texts(name: str, count: int) -> list[str]:
    return [f"{name} said {number}" for number in range(count)]


def asked(plan: ReadPlan, question: str, citations: int = 5, **sampling: Any) -> AskRequest:
    return AskRequest(plan, (Turn("user", question),), sampling, citations)


@dataclass
class Listener:
    """Notes what is delivered, and waits for it."""

    events: list[Event] = field(default_factory=list)
    first: threading.Event = field(default_factory=threading.Event)
    last: threading.Event = field(default_factory=threading.Event)

    def __call__(self, event: Event) -> None:
        assert not self.last.is_set(), f"{event} after the last event"
        self.events.append(event)
        self.first.set()
        if not isinstance(event, TextDelta):
            self.last.set()

    def wait(self) -> AskResult:
        """The answer, with its text checked against the pieces; or the error is raised."""
        assert self.last.wait(PATIENCE), "no answer"
        *pieces, last = self.events
        if isinstance(last, MPlusError):
            raise last
        assert isinstance(last, AskResult)
        assert "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)) == (
            last.answer.text
        )
        return last


@contextmanager
def answering(model: MPlus, files: ObjectStore, **options: Any) -> Iterator[Answering]:
    engine = Answering(model, files, **{"device_bytes": PLENTY, "host_bytes": PLENTY, **options})
    try:
        yield engine
    finally:
        engine.stop()


def ask(engine: Answering, question: AskRequest) -> tuple[Listener, RequestHandle]:
    listener = Listener()
    return listener, engine.ask(question, listener)


class GatedFiles(ObjectStore):
    """Files that are only read while the gate is open."""

    def __init__(self, files: ObjectStore) -> None:
        super().__init__(files.url, files._store)
        self.gate = threading.Event()
        self.waiting = threading.Event()

    def read(self, name: str) -> Any:
        self.waiting.set()
        assert self.gate.wait(PATIENCE)
        return super().read(name)


class FarFiles(ObjectStore):
    """Local files read as if they were far away: not mapped, by ranges."""

    def __init__(self, files: ObjectStore) -> None:
        super().__init__(files.url, files._store)

    @property
    def local(self) -> None:
        return None

    def path(self, name: str) -> None:
        return None
