"""A folder that is watched."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mplus_ray.pipeline.ingest.ingestor import IngestReport
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.sources import (
    Idle,
    Until,
    open_sources,
)
from mplus_ray.pipeline.sources.follow import Folder
from tests.unit.pipeline.sources.taking import keys, take


class TestFollow:
    def follow(
        self,
        log: TenantLog,
        folder: Path,
        rounds: list[Callable[[], object]],
        monkeypatch: pytest.MonkeyPatch,
        *,
        sync: bool = False,
    ) -> IngestReport:
        """Does one thing after each look into the folder, then stops."""
        monkeypatch.setattr("mplus_ray.pipeline.sources.follow._POLL_SECONDS", 0)
        until = Until()
        todo = iter(rounds)

        def on_idle(_: IngestReport) -> None:
            next(todo, until.stop.set)()

        return take(log, Folder(folder, until, sync=sync), on_idle=on_idle)

    def test_a_file_is_taken_when_it_is_still(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        file = folder / "a.txt"
        seen: list[list[str]] = []

        def look() -> None:
            seen.append(keys(log))

        def grow() -> None:
            with file.open("a") as out:
                out.write("More text. ")
            look()

        self.follow(log, folder, [grow, grow, grow, look, look], monkeypatch)
        assert seen == [[], [], [], [], [str(file)]]
        assert log.text(str(file)) == "More text. " * 3

    def test_changed_content_is_a_new_version(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        file = folder / "a.txt"
        file.write_text("First.")
        still: Callable[[], object] = lambda: None  # noqa: E731
        rounds = [still, still, lambda: file.write_text("Second one."), still, still]
        intake = self.follow(log, folder, rounds, monkeypatch)
        assert intake.new == 2
        assert log.text(str(file)) == "Second one."
        assert len(log.forgets.pending()) == 1

    def test_a_touched_or_lost_or_broken_file_disturbs_nothing(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text(f"This is {name}.")
        (folder / "c.pdf").write_bytes(b"broken")
        still: Callable[[], object] = lambda: None  # noqa: E731

        def disturb() -> None:
            os.utime(folder / "a.txt", (1, 1))
            (folder / "b.txt").unlink()

        rounds = [still, still, disturb, still, still]
        intake = self.follow(log, folder, rounds, monkeypatch)
        assert (intake.new, intake.known, intake.failures) == (2, 1, 1)

    def test_what_is_gone_is_forgotten_where_that_is_asked_for(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        for name in ("a.txt", "b.txt", "c.csv"):
            (folder / name).write_text(f"text\nThis is {name}.\n")
        (tmp_path / "in-other.txt").write_text("Beside it.")
        take(log, open_sources([str(folder), str(tmp_path / "in-other.txt")]))
        (folder / "a.txt").unlink()
        still: Callable[[], object] = lambda: None  # noqa: E731

        def disturb() -> None:
            (folder / "b.txt").rename(folder / "d.txt")
            (folder / "c.csv").unlink()

        rounds = [still, still, disturb, still, still, still]
        intake = self.follow(log, folder, rounds, monkeypatch, sync=True)
        gone = [str(folder / name) for name in ("a.txt", "b.txt", "c.csv#1")]
        assert sorted(key for key, _ in intake.forgotten) == gone
        left = [document.key for document in log.documents() if document.forget is None]
        assert left == [str(tmp_path / "in-other.txt"), str(folder / "d.txt")]
        receipts = {request.receipt.id for request in log.forgets.list()}
        assert {receipt for _, receipt in intake.forgotten} == receipts

    def test_rows_that_are_gone_are_forgotten_too(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        table, lines = folder / "a.csv", folder / "b.jsonl"
        table.write_text("id,text\nx,The owl is brown.\ny,The ferry leaves.\nz,Rain falls.\n")
        lines.write_text('{"text": "One."}\n{"text": "Two."}\n{"text": "Three."}\n')
        (folder / "a.csv#1.txt").write_text("A file with the name of a row.")
        still: Callable[[], object] = lambda: None  # noqa: E731

        def disturb() -> None:
            table.write_text("id,text\nz,Rain falls.\nx,The owl is brown.\n")
            lines.write_text('{"text": "One."}\n{"text": "Two."}\n{"text": 3}\n')

        rounds = [still, still, disturb, still, still, still]
        intake = self.follow(log, folder, rounds, monkeypatch, sync=True)
        assert [key for key, _ in intake.forgotten] == [f"{table}#y"]
        left = [document.key for document in log.documents() if document.forget is None]
        rest = [f"{folder / 'a.csv#1.txt'}", *(f"{lines}#{number}" for number in (1, 2, 3))]
        # The third line cannot be read today, so what it said is kept, and its failure noted.
        assert sorted(left) == sorted([f"{table}#x", f"{table}#z", *rest])
        assert [failure.source for failure in log.failures.list()] == [f"{lines}#3"]

    def test_a_table_that_breaks_off_has_nothing_forgotten(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        table = folder / "a.csv"
        table.write_text("id,text\nx,The owl is brown.\ny,The ferry leaves.\n")
        still: Callable[[], object] = lambda: None  # noqa: E731

        def disturb() -> None:
            table.write_text("id,id\nx,The owl is brown.\n")

        intake = self.follow(
            log, folder, [still, still, disturb, still, still], monkeypatch, sync=True
        )
        assert intake.forgotten == []
        assert keys(log) == [f"{table}#x", f"{table}#y"]

    def test_a_folder_that_cannot_be_seen_has_nothing_forgotten(
        self, log: TenantLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "a.txt").write_text("This is a.")
        still: Callable[[], object] = lambda: None  # noqa: E731
        rounds = [still, still, lambda: folder.rename(tmp_path / "away"), still, still]
        intake = self.follow(log, folder, rounds, monkeypatch, sync=True)
        assert intake.forgotten == []
        assert keys(log) == [str(folder / "a.txt")]

    def test_it_ends_when_nothing_comes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mplus_ray.pipeline.sources.follow._POLL_SECONDS", 0)
        now = iter(range(100))
        folder = Folder(tmp_path, Until(idle=3), clock=lambda: float(next(now)))
        assert all(isinstance(item, Idle) for item in folder)
