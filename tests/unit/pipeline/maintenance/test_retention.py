"""Rows that are forgotten give back their space, and nothing that can be read goes with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import mplus_ray.pipeline.maintenance.compaction
import mplus_ray.pipeline.writing.write_pipeline
from mplus_ray.model import MPlus
from mplus_ray.model.errors import StorageError
from mplus_ray.pipeline.maintenance.compaction import compact, drop_forgotten
from mplus_ray.pipeline.maintenance.rebuild import carry_out_forgets
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.reading.ask import ask
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.pipeline.workers.catch_up import catch_up
from mplus_ray.pipeline.writing.engine import Engine
from tests.checkpoints import write_checkpoint
from tests.worlds import World, make_text, opened

STEPS = 90


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    """A row is forgotten eight steps after it left a pool of four blocks."""
    folder = tmp_path_factory.mktemp("forgetful")
    write_checkpoint(
        folder,
        num_hidden_layers=2,
        retrieval="blocks",
        num_ltm_blocks=1,
        num_blocks=3,
        update_ltm_frequency=1,
        initial_rf_when_moving_stm_to_ltm=8,
    )
    return MPlus.load(folder, device="cpu")


@pytest.fixture
def world(model: MPlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(mplus_ray.pipeline.writing.write_pipeline, "_GROUP_STEPS", 3)
    monkeypatch.setattr(
        mplus_ray.pipeline.maintenance.compaction, "_FEW", 1000
    )  # merging is tested elsewhere
    with opened(model, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "rows") as world:
        yield world


def forgetting(world: World) -> Engine:
    return replace(world.engine, living_steps=world.model.living_steps)


DOCUMENTS = [(f"d{n}", make_text(f"d{n}", 6)) for n in range(STEPS // 6)]


def test_files_of_forgotten_rows_go_and_the_memory_stays(world: World) -> None:
    log = world.grow("anna", DOCUMENTS)
    before, answer = world.digest(log), ask(log, world.reader, "What?").answer
    shards = log.heads.serving().shards
    gone = drop_forgotten(forgetting(world), log)
    assert gone > len(shards) // 2
    assert len(log.heads.serving().shards) == len(shards) - gone
    assert len([name for name in world.names() if name.endswith(".arrow")]) == len(shards) - gone
    assert world.digest(log) == before
    after = ask(log, world.restarted().reader, "What?").answer
    assert (after.text, after.sources) == (answer.text, answer.sources)
    assert verify(world.engine, log).damaged == {}
    world.accept(log, "more", make_text("more", 5))
    catch_up(world.engine, [log])
    assert world.digest(log) == world.digest(
        world.grow("bela", [*DOCUMENTS, ("more", make_text("more", 5))])
    )


def test_a_moment_with_a_snapshot_keeps_its_rows(world: World) -> None:
    log = world.grow("anna", DOCUMENTS)
    log.snapshots.take("early", 20)
    early = world.digest(log, as_of=20)
    assert drop_forgotten(forgetting(world), log) > 0
    assert world.digest(log, as_of=20) == early
    plan = read_plan(log, log.heads.serving(), 50)
    with pytest.raises(StorageError, match="were forgotten and their files removed"):
        world.restarted().reader.open(plan)


def test_forks_and_forgetting_begin_anew_where_rows_are_gone(world: World) -> None:
    """With fewer steps, rows that are forgotten by now would not be."""
    log = world.grow("anna", DOCUMENTS)
    at_40 = world.digest(log, as_of=40)
    drop_forgotten(forgetting(world), log)
    fork = world.ledger.fork_tenant(log, "fork", 40)
    catch_up(world.engine, [fork])
    assert world.digest(fork) == at_40
    log.forgets.request("d9")
    carry_out_forgets(world.engine, log)
    rest = [document for document in DOCUMENTS if document[0] != "d9"]
    assert world.digest(log) == world.digest(world.grow("bela", rest))


def test_an_unbounded_memory_drops_nothing(world: World) -> None:
    log = world.grow("anna", DOCUMENTS, retention="unbounded")
    assert drop_forgotten(forgetting(world), log) == 0
    assert compact(world.engine, log) == 0
