"""Where no chunk is read with another, forgetting memorizes nothing; what stays, stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from mplus_ray.actors.plans import WriteRequest
from mplus_ray.model import MPlus
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.rebuild import carry_out_forgets
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.maintenance.tenant_lifecycle import fork_at
from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.checkpoints import INPUT_ROWS, write_checkpoint
from tests.worlds import World, make_text, merge_all, opened

DOCUMENTS = {name[0]: make_text(name, int(name[1])) for name in ("a9", "b4", "c2", "d12", "e3")}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    folder = tmp_path_factory.mktemp("model")
    write_checkpoint(folder, **INPUT_ROWS)
    return MPlus.load(folder, device="cpu")


@pytest.fixture
def world(model: MPlus, tmp_path) -> Iterator[World]:
    with opened(model, f"sqlite:///{tmp_path}/ledger.db", tmp_path / "rows") as world:
        yield world


def fill(world: World, name: str = "anna", without: str = "") -> TenantLog:
    documents = [(k, t) for k, t in DOCUMENTS.items() if k not in without]
    return world.grow(name, documents, geometry=world.model.config.to_dict())


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("forgotten", ["b", "a", "e", "bd", "abcde"])
def test_the_rows_that_stay_are_those_of_a_tenant_that_never_saw_it(
    world: World, monkeypatch: pytest.MonkeyPatch, forgotten: str, merged: bool
) -> None:
    log = fill(world)
    if merged:
        merge_all(world, log)
    for key in forgotten:
        log.forgets.request(key)
    with monkeypatch.context() as patch:
        patch.setattr(world.engine.writer, "memorize", lambda requests: pytest.fail("memorized"))
        receipts = carry_out_forgets(world.engine, log)
    assert len(receipts) == len(forgotten)
    twin = fill(world, "twin", forgotten)
    assert world.digest(log) == world.digest(twin)
    assert log.heads.serving().head.history == twin.heads.serving().head.history
    assert not verify(world.engine, log).damaged
    # It goes on from there as if nothing had been.
    for one in (log, twin):
        world.accept(one, "z", make_text("z", 3))
        catch_up(world.engine, [one])
    assert world.digest(log) == world.digest(twin)


def test_a_fork_and_a_repair_memorize_nothing_that_is_not_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = fill(world)
    log.forgets.request("b")
    carry_out_forgets(world.engine, log)
    # Wherever it is cut, the fork is the tenant as it was then.
    step = log.heads.serving().head.step - 2
    with world.engine.lease(log) as lease:
        fork = fork_at(world.engine, log, lease, "fork", step)
    assert fork.heads.serving().head.step == step
    assert world.digest(fork) == world.digest(log, as_of=step)
    made: list[int] = []
    memorize = world.engine.writer.memorize

    def noting(requests: Sequence[WriteRequest]) -> list[int]:
        made.extend(request.step for request in requests)
        return memorize(requests)

    monkeypatch.setattr(world.engine.writer, "memorize", noting)
    before = world.digest(log)
    last = log.heads.serving().shards[-1]
    (world.folder / last.file).unlink()
    assert verify(world.engine, log).damaged
    assert made == list(range(last.first_step, last.end))
    assert world.digest(log) == before


def test_a_document_that_is_asked_for_later_stays_for_the_next_time(world: World) -> None:
    log = fill(world)
    log.forgets.request("b")
    carry_out_forgets(world.engine, log)
    log.forgets.request("d")
    carry_out_forgets(world.engine, log)
    assert world.digest(log) == world.digest(fill(world, "twin", "bd"))
