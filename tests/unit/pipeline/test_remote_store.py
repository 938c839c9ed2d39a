"""A whole installation on PostgreSQL and S3 does what one on SQLite and a folder does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest

import tests.s3
from mplus_ray.actors.reading.reader import Reader
from mplus_ray.model import MPlus
from mplus_ray.model.errors import DamagedFileError
from mplus_ray.model.memory.digest import digest
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.object_store.range_cache import RangeCache
from mplus_ray.pipeline.maintenance.rebuild import carry_out_forgets
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.maintenance.tenant_lifecycle import delete, drop_rows
from mplus_ray.pipeline.reading.ask import ask
from mplus_ray.pipeline.reading.read_plans import read_plan
from tests.worlds import World, load_model, log_of, make_text, opened

pytest_plugins = ["tests.postgres"]
s3 = tests.s3.s3

DOCUMENTS = [(name, make_text(name, steps)) for name, steps in (("a", 30), ("b", 9), ("c", 41))]


class RemoteWorld(World):
    """The store is a bucket."""

    bucket: str

    @cached_property
    def files(self) -> ObjectStore:
        return ObjectStore.open(self.bucket, RangeCache(self.folder, 1 << 24))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return load_model(tmp_path_factory.mktemp("remote") / "model")


@pytest.fixture
def remote(model: MPlus, ledger_url: str, s3: tests.s3.S3, tmp_path: Path) -> Iterator[World]:
    world = RemoteWorld(model, ledger_url, tmp_path / "cache")
    world.bucket = s3.url(tmp_path.name)
    yield world
    world.close()


@pytest.fixture
def local(model: MPlus, tmp_path: Path) -> Iterator[World]:
    with opened(model, f"sqlite:///{tmp_path / 'local.db'}", tmp_path / "rows") as world:
        yield world


def test_it_remembers_forgets_and_mends_alike(remote: World, local: World) -> None:
    far, near = remote.grow("anna", DOCUMENTS), local.grow("anna", DOCUMENTS)
    assert log_of(far) == log_of(near)
    assert remote.digest(far) == local.digest(near)
    answers = [ask(log, w.reader, "Who?") for log, w in ((far, remote), (near, local))]
    assert answers[0].answer == answers[1].answer
    at_20 = read_plan(far, far.heads.serving(), 20)
    assert digest(Reader(remote.model, remote.files).memory(at_20)) == local.digest(near, 20)

    for log, world in ((far, remote), (near, local)):
        log.forgets.request("b")
        (receipt,) = carry_out_forgets(world.engine, log)
        assert receipt.purged is not None
    assert remote.digest(far) == local.digest(near)
    assert remote.names() == far.heads.serving().files

    lost = far.heads.serving().shards[-1].file
    remote.files.delete([lost])
    with pytest.raises(DamagedFileError, match=lost):
        ask(far, Reader(remote.model, remote.files), "Who?")
    assert list(verify(remote.engine, far).damaged) == [lost]
    assert remote.digest(far) == local.digest(near)

    drop_rows(remote.engine, far)
    assert remote.names() == set()
    delete(remote.engine, "anna")
    assert remote.names() == set()
