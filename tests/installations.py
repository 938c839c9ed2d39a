"""Installations for one test each: `pytest_plugins = ["tests.installations", "tests.postgres"]`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from model import MPlus
from tests.worlds import World, load_model, many_files, opened, without_flushing

if TYPE_CHECKING:
    from tests.postgres import Postgres


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return load_model(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture
def world(tiny_model: MPlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """On SQLite, with many small files."""
    many_files(monkeypatch.setattr)
    without_flushing(monkeypatch.setattr)
    folder = tmp_path / "data"
    folder.mkdir()
    with opened(tiny_model, f"sqlite:///{folder / 'ledger.db'}", folder / "rows") as made:
        yield made


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
