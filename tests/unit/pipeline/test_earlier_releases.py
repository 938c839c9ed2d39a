"""What an earlier release left is opened, migrated and gone on with, and is the same memory.

`tests/releases/VERSION.tar.xz` was made by that release's command line, with its random checkpoint
of two layers: `mplus ingest` of three documents for anna, `snapshot before`, `documents forget`
of the third, `fork bruno`, `ingest --no-wait` of a fourth for bruno, `export --with-memory` of
anna; then `mplus digest` of both.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mplus_ray.model import MPlus
from mplus_ray.pipeline.archive.format import Archive
from mplus_ray.pipeline.archive.importer import import_tenant
from mplus_ray.pipeline.maintenance.audit import check_log
from mplus_ray.pipeline.maintenance.tenant_lifecycle import drop_rows
from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.paths import ROOT
from tests.worlds import World, without_flushing

RELEASES = {"0.1.0": "005f1eefebf087c898012466b43c5f75"}
TEXT = "Dear Anna, the raven is back. It sits on the north wall each morning and asks for bread.\n"


@dataclass
class Release:
    """An installation that a release left.

    Attributes:
        world: it, opened by this version.
        digest: of anna's memory and of bruno's, as the release said it.
        archive: of anna.
    """

    world: World
    digest: str
    archive: Path


@pytest.fixture(params=RELEASES)
def release(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Release]:
    without_flushing(monkeypatch.setattr)
    with tarfile.open(ROOT / "tests" / "releases" / f"{request.param}.tar.xz") as file:
        file.extractall(tmp_path, filter="data")
    model = MPlus.load(tmp_path / "checkpoint", device="cpu")
    data = tmp_path / "data"
    world = World(model, f"sqlite:///{data / 'ledger.db'}", data / "rows")
    yield Release(world, RELEASES[request.param], tmp_path / "anna.tar")
    world.close()


def test_memories_are_the_same(release: Release) -> None:
    world = release.world
    anna, bruno = (world.ledger.tenant(name) for name in ("anna", "bruno"))
    assert world.digest(anna) == world.digest(bruno) == release.digest
    assert check_log(world.engine, anna, world.reader) == []
    assert [document.key for document in anna.documents()] == ["harbour", "letter"]
    assert anna.text("letter") == TEXT
    assert [(one.name, one.step) for one in anna.snapshots.list()] == [("before", 8)]


def test_what_waits_is_memorized(release: Release) -> None:
    world = release.world
    bruno = world.ledger.tenant("bruno")
    assert bruno.waiting() == 1
    catch_up(world.engine, [bruno])
    assert bruno.waiting() == 0
    assert world.digest(bruno) != release.digest
    assert world.digest(bruno, as_of=8) == release.digest
    assert check_log(world.engine, bruno, world.reader) == []
    assert world.digest(world.ledger.tenant("anna")) == release.digest


def test_its_archive_can_be_imported(release: Release) -> None:
    with Archive(release.archive) as archive:
        carla = import_tenant(release.world.engine, archive, "carla", release.world.model)
    assert release.world.digest(carla) == release.digest
    assert carla.text("letter") == TEXT


def test_it_can_be_opened_twice(release: Release) -> None:
    """The second opening finds the ledger at this version."""
    release.world.ledger.tenant("anna")
    again = release.world.restarted()
    assert again.digest(again.ledger.tenant("anna")) == release.digest
    again.close()


def test_a_memory_can_be_made_again_from_its_documents(release: Release) -> None:
    """Without its files a memory comes from the log: the same chunks, so the same history."""
    world = release.world
    anna = world.ledger.tenant("anna")
    history = anna.heads.serving().head.history
    drop_rows(world.engine, anna)
    catch_up(world.engine, [anna])
    assert anna.heads.serving().head.history == history
