"""Torn, changed and lost files, and a full disk: noticed, and made good from the documents."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.model.errors import DamagedFileError, StorageError
from mplus_ray.model.memory.digest import digest
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.model.store.shards import check_shard
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.head_files import purge
from mplus_ray.pipeline.maintenance.rebuild import carry_out_forgets
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.maintenance.tenant_lifecycle import drop_rows
from mplus_ray.pipeline.reading.ask import ask
from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.worlds import World, make_text, merge_all

pytest_plugins = ["tests.installations"]

DOCUMENTS = [(name[0], make_text(name, int(name[1]))) for name in ("a3", "b4", "c2", "d4")]


def tear(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()  # the new file is another one, so that open mappings stay valid
    path.write_bytes(data[: len(data) // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    path.unlink()
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lose(path: Path) -> None:
    path.unlink()


DAMAGES = pytest.mark.parametrize("damage", [tear, flip, lose])


@pytest.fixture
def log(world: World) -> TenantLog:
    return world.grow("anna", DOCUMENTS)


def go_on(world: World, log: TenantLog) -> None:
    """The memory is what it should be, and what is added to it as well."""
    assert world.digest(log) == digest(world.chain(log)[-1])
    assert not verify(world.engine, log).damaged
    with world.engine.lease(log) as lease:
        purge(world.engine, log, lease)
    assert world.names() == log.heads.files()
    world.accept(log, "more", make_text("more", 4))
    catch_up(world.engine, [log])
    assert world.digest(log) == digest(world.chain(log)[-1])


def test_a_file_that_was_merged_away_before_it_was_read_is_no_damage(
    world: World, log: TenantLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ask(log, world.reader, "who?").answer
    world.reader.close(log.tenant.id)
    serving, stale = log.heads.serving, [log.heads.serving()]
    assert merge_all(world, log)
    with world.engine.lease(log) as lease:
        purge(world.engine, log, lease)
    assert not world.names() >= {shard.file for shard in stale[0].shards}
    monkeypatch.setattr(type(log.heads), "serving", lambda _: stale.pop() if stale else serving())
    said: list[str] = []
    assert ask(log, world.reader, "who?", said.append).answer.text == expected.text
    assert "".join(said).strip() == expected.text
    assert not stale


def test_a_file_that_goes_between_its_check_and_its_mapping_is_missing(
    world: World, log: TenantLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = log.heads.serving().shards[-1].file

    def check(files: ObjectStore, shard: Shard, fingerprint: str) -> None:
        check_shard(files, shard, fingerprint)
        if shard.file == file:
            lose(world.folder / file)

    monkeypatch.setattr("mplus_ray.model.store.row_store.check_shard", check)
    world.reader.close(log.tenant.id)
    with pytest.raises(DamagedFileError, match="missing") as caught:
        ask(log, world.reader, "who?")
    assert caught.value.file == file


class TestFiles:
    @DAMAGES
    @pytest.mark.parametrize("which", [0, 2, -1])
    def test_a_shard(
        self, world: World, log: TenantLog, damage: Callable[[Path], None], which: int
    ) -> None:
        file = log.heads.serving().shards[which].file
        damage(world.folder / file)
        with pytest.raises(DamagedFileError, match="mplus verify") as caught:
            ask(log, world.reader, "who?")
        assert caught.value.file == file
        found = verify(world.engine, log)
        assert list(found.damaged) == found.repaired == [file]
        ask(log, world.reader, "who?", max_tokens=1)
        go_on(world, log)

    @DAMAGES
    @pytest.mark.parametrize("which", [0, -1])
    def test_a_state(
        self, world: World, log: TenantLog, damage: Callable[[Path], None], which: int
    ) -> None:
        file = log.heads.serving().states[which].file
        damage(world.folder / file)
        ask(log, world.reader, "who?", max_tokens=1)
        assert list(verify(world.engine, log).damaged) == [file]
        go_on(world, log)

    @DAMAGES
    @pytest.mark.parametrize("which", [0, -1])
    @pytest.mark.parametrize("more", [0, 1, 4])
    def test_a_state_that_nobody_verified(
        self,
        world: World,
        log: TenantLog,
        damage: Callable[[Path], None],
        which: int,
        more: int,
    ) -> None:
        damage(world.folder / log.heads.serving().states[which].file)
        if more:
            world.accept(log, "late", make_text("late", more))
        catch_up(world.engine, [log])
        assert world.digest(log) == digest(world.chain(log)[-1])
        verify(world.engine, log)
        go_on(world, log)

    @DAMAGES
    def test_one_that_forgetting_meets(
        self, world: World, log: TenantLog, damage: Callable[[Path], None]
    ) -> None:
        for state in log.heads.serving().states:
            damage(world.folder / state.file)
        log.forgets.request("b")
        carry_out_forgets(world.engine, log)
        verify(world.engine, log)
        go_on(world, log)

    def test_a_large_shard_and_all_states(self, world: World, log: TenantLog) -> None:
        merge_all(world, log)
        serving = log.heads.serving()
        for file in (serving.shards[0].file, *(state.file for state in serving.states)):
            lose(world.folder / file)
        verify(world.engine, log)
        go_on(world, log)

    def test_everything(self, world: World, log: TenantLog) -> None:
        files = log.heads.files()
        shutil.rmtree(world.folder)
        assert set(verify(world.engine, log).repaired) == files
        go_on(world, log)

    def test_compaction_does_not_spread_damage(self, world: World, log: TenantLog) -> None:
        file = log.heads.serving().shards[1].file
        flip(world.folder / file)
        with pytest.raises(DamagedFileError, match=file):
            merge_all(world, log)
        verify(world.engine, log)
        merge_all(world, log)
        go_on(world, log)


class TestFullDisk:
    @pytest.mark.parametrize("after", [0, 1, 4])
    def test_it_stops_and_goes_on(self, world: World, after: int) -> None:
        log = world.tenant("anna")
        for key, words in DOCUMENTS:
            world.accept(log, key, words)
        with full_disk(after), pytest.raises(StorageError, match="raise the limit"):
            catch_up(world.engine, [log])
        step = log.heads.serving().head.step
        assert world.digest(log) == digest(world.chain(log)[step])
        assert world.names() == log.heads.files(), "nothing of what was refused is there"
        catch_up(world.engine, [log])
        go_on(world, log)

    @pytest.mark.parametrize("after", [0, 1, 4])
    def test_while_forgetting(self, world: World, log: TenantLog, after: int) -> None:
        log.forgets.request("a")
        with full_disk(after), pytest.raises(StorageError, match="raise the limit"):
            carry_out_forgets(world.engine, log)
        assert log.forgets.list()[0].receipt.rebuilt is None
        ask(log, world.reader, "who?", max_tokens=1)
        carry_out_forgets(world.engine, log)
        go_on(world, log)

    def test_while_compacting(self, world: World, log: TenantLog) -> None:
        with full_disk(0), pytest.raises(StorageError, match="raise the limit"):
            merge_all(world, log)
        go_on(world, log)


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """The system refuses a file after so many, once."""
    put, files = ObjectStore.put, iter(range(after + 1))

    def limited(self: ObjectStore, name: str, data: Any) -> None:
        with _largest_file(100 if next(files, after + 1) == after else None):
            put(self, name, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "put", limited)
        yield


@contextmanager
def _largest_file(nbytes: int | None) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft if nbytes is None else nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_cold_tenant_is_made_again(world: World, log: TenantLog) -> None:
    before = world.digest(log)
    drop_rows(world.engine, log)
    assert world.names() == set()
    catch_up(world.engine, [log])
    assert world.digest(log) == before
    go_on(world, log)
