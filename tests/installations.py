"""Installations for one test each: `pytest_plugins = ["tests.installations", "tests.postgres"]`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mplus_ray.pipeline.maintenance.compaction
from mplus_ray.model import MPlus
from mplus_ray.pipeline.ledger.ledger import Ledger
from tests.worlds import World, load_model, many_files, opened, without_flushing

if TYPE_CHECKING:
    from tests.postgres import Postgres


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return load_model(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to begin with: a copy is made faster than the tables."""
    file = tmp_path_factory.mktemp("ledger") / "ledger.db"
    Ledger(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def world(
    tiny_model: MPlus, empty_ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """On SQLite, with many small files."""
    many_files(monkeypatch.setattr)
    without_flushing(monkeypatch.setattr)
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(empty_ledger, folder / "ledger.db")
    with opened(tiny_model, f"sqlite:///{folder / 'ledger.db'}", folder / "rows") as made:
        yield made


@pytest.fixture
def unmerged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards stay as they were written until a test merges them."""
    monkeypatch.setattr(mplus_ray.pipeline.maintenance.compaction, "_FEW", 1000)


@pytest.fixture
def on_postgres(
    postgres: Postgres, tiny_model: MPlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """The same on PostgreSQL."""
    many_files(monkeypatch.setattr)
    without_flushing(monkeypatch.setattr)
    url = postgres.database("ledger_template")
    with opened(tiny_model, url, tmp_path / "rows") as made:
        yield made
    postgres.drop(url)
