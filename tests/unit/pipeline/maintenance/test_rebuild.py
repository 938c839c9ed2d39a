"""Another model takes a memory over: from the log, cut as it wants it, while the old one serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import mplus_ray.pipeline.writing.write_pipeline
from mplus_ray.actors.plans import WriteRequest
from mplus_ray.actors.writer import Writer
from mplus_ray.model import MPlus
from mplus_ray.model.errors import FingerprintMismatchError, StorageError
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.rebuild import carry_out_forgets, upgrade
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.reading.ask import ask
from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.checkpoints import write_checkpoint
from tests.worlds import World, load_model, make_text, opened

DOCUMENTS = [(name, make_text(name, steps)) for name, steps in (("a", 3), ("b", 1), ("c", 5))]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return load_model(tmp_path_factory.mktemp("old") / "model")


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    """Other weights and longer chunks."""
    folder = tmp_path_factory.mktemp("new") / "model"
    write_checkpoint(folder, seed=5, num_hidden_layers=2, retrieval="blocks", chunk_tokens=30)
    return MPlus.load(folder, device="cpu")


@pytest.fixture
def world(old: MPlus, tmp_path: Path) -> Iterator[World]:
    with opened(old, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "rows") as world:
        yield world


def renewed(world: World, new: MPlus) -> World:
    """The same installation with the new model."""
    world.close()
    return World(new, world.url, world.folder)


def run(world: World, log: TenantLog) -> None:
    upgrade(world.engine, log, step_bytes=77)


def fresh_digest(new: MPlus, folder: Path, documents: list[tuple[str, str]]) -> str:
    """Of a tenant that the new model has memorized from the beginning."""
    with opened(new, f"sqlite:///{folder}.db", folder) as other:
        return other.digest(other.grow("anna", documents))


def test_the_memory_is_the_one_the_new_model_would_have_made(
    world: World, new: MPlus, tmp_path: Path
) -> None:
    log = world.grow("anna", DOCUMENTS)
    log.snapshots.take("after a", log.document("a").end)
    after = renewed(world, new)
    log = after.ledger.tenant("anna")
    with pytest.raises(FingerprintMismatchError):
        catch_up(after.engine, [log])
    run(after, log)
    log = after.ledger.tenant("anna")
    assert log.tenant.fingerprint == new.fingerprint
    assert log.tenant.bytes_per_step == 77
    assert after.digest(log) == fresh_digest(new, tmp_path / "fresh", DOCUMENTS)
    assert [log.text(key) for key, _ in DOCUMENTS] == [text for _, text in DOCUMENTS]
    assert log.length() == log.heads.serving().head.step < 9, "longer chunks are fewer"
    assert {document.state for document in log.documents()} == {"memorized"}
    assert log.snapshots.get("after a").step == log.document("a").end
    assert log.heads.building() is None
    assert after.names() == log.heads.serving().files, "the old model's rows are gone"
    assert len(ask(log, after.reader, "What?").citations) > 0
    after.close()


def test_the_old_memory_serves_until_the_new_one_is_complete(
    world: World, new: MPlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mplus_ray.pipeline.writing.write_pipeline, "_GROUP_STEPS", 1)
    monkeypatch.setattr("mplus_ray.actors.writer.STATE_EVERY", 2)
    log = world.grow("anna", DOCUMENTS)
    before, answer = world.digest(log), ask(log, world.reader, "What?").answer
    files = ObjectStore.open(str(world.folder))
    engine = replace(
        world.engine,
        writer=StoppingWriter(new, files, 3),
        tokenizer=new.tokenizer,
        fingerprint=new.fingerprint,
    )
    with pytest.raises(StorageError, match="power cut"):
        upgrade(engine, log, step_bytes=77)
    assert world.digest(log) == before
    assert ask(log, world.reader, "What?").answer == answer
    building = log.heads.building()
    assert building is not None
    done = building.head.step
    assert done > 0
    world.accept(log, "d", make_text("d", 4))
    writer = StoppingWriter(new, files, 1000)
    upgrade(replace(engine, writer=writer), log, step_bytes=77)
    log = world.ledger.tenant("anna")
    assert writer.steps < log.length(), "it went on where it stopped"
    every = [*DOCUMENTS, ("d", make_text("d", 4))]
    after = renewed(world, new)
    assert after.digest(log) == fresh_digest(new, tmp_path / "fresh", every)
    after.close()


def test_whoever_watches_is_told_how_many_steps_there_are(world: World, new: MPlus) -> None:
    """Of the new model's chunks, and without what is left out: as many as are memorized."""
    log = world.grow("anna", DOCUMENTS)
    old = log.length()
    after = renewed(world, new)
    log = after.ledger.tenant("anna")
    done: list[int] = []
    told: list[int] = []
    upgrade(
        after.engine, log, 77, lambda _, tokens: done.append(tokens), lambda _, n: told.append(n)
    )
    assert told == [len(done)] == [log.length()] != [old]
    done.clear()
    told.clear()
    log.forgets.request("a")
    carry_out_forgets(
        after.engine, log, lambda _, tokens: done.append(tokens), lambda _, n: told.append(n)
    )
    assert told == [len(done)] == [log.length()]
    after.close()


def test_what_was_to_be_forgotten_is_left_out(world: World, new: MPlus, tmp_path: Path) -> None:
    log = world.grow("anna", DOCUMENTS)
    forget = log.forgets.request("b")
    after = renewed(world, new)
    log = after.ledger.tenant("anna")
    run(after, log)
    rest = [document for document in DOCUMENTS if document[0] != "b"]
    log = after.ledger.tenant("anna")
    assert after.digest(log) == fresh_digest(new, tmp_path / "fresh", rest)
    assert log.forgets.get(forget.receipt.id).receipt.purged is not None
    assert [document.key for document in log.documents()] == ["a", "c"]
    after.close()


class StoppingWriter(Writer):
    """The power fails after so many steps."""

    def __init__(self, model: MPlus, files: ObjectStore, limit: int) -> None:
        super().__init__(model, files)
        self.limit, self.steps = limit, 0

    def memorize(self, requests: Sequence[WriteRequest]) -> list[int]:
        if self.steps == self.limit:
            raise StorageError("power cut")
        self.steps += len(requests)
        return super().memorize(requests)


def test_other_weights_do_not_write_on_a_memory(world: World, new: MPlus) -> None:
    log = world.grow("anna", DOCUMENTS)
    log.forgets.request("b")
    after = renewed(world, new)
    log = after.ledger.tenant("anna")
    before = log.heads.serving()
    for work in (carry_out_forgets, verify):
        with pytest.raises(FingerprintMismatchError):
            work(after.engine, log)
    assert log.heads.serving() == before
    assert log.heads.building() is None
    after.close()
