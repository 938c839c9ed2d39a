"""What the command line does before and after the real work."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mplus_ray.bench import model as bench_model
from mplus_ray.model.errors import (
    CheckpointError,
    DocumentError,
    FingerprintMismatchError,
    InvalidInputError,
    MPlusError,
    StorageError,
    TenantNotFoundError,
)
from mplus_ray.model.evaluation import parity
from mplus_ray.model.training.run import TrainingOrder
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, take_in
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.parsing.details import parse_time
from mplus_ray.pipeline.sources import open_sources
from mplus_ray.services.cli import app as cli
from mplus_ray.services.cli.output import printable, write_json
from mplus_ray.services.moments import iso
from mplus_ray.services.settings import Settings
from tests.unit.fakes import FakeTokenizer


class TestSettings:
    def test_arguments_come_before_the_environment(self) -> None:
        environment = {"MPLUS_DATA": "/env/data", "MPLUS_CHECKPOINT": "org/env"}
        settings = Settings.read(Path("/arg"), "org/arg", environment)
        assert (settings.data, settings.checkpoint) == (Path("/arg"), "org/arg")

    def test_the_environment_comes_before_the_defaults(self) -> None:
        environment = {"MPLUS_DATA": "/env/data", "MPLUS_CHECKPOINT": "org/env"}
        settings = Settings.read(environment=environment)
        assert (settings.data, settings.checkpoint) == (Path("/env/data"), "org/env")
        assert settings.ledger_url == "sqlite:////env/data/ledger.db"

    def test_by_default_the_users_own_data_and_the_repositorys_checkpoint(self) -> None:
        settings = Settings.read(environment={"XDG_DATA_HOME": "/home/x/data"})
        assert settings.data == Path("/home/x/data/mplus")
        assert settings.checkpoint == "mplus-small"
        assert Settings.read(environment={}).data == Path.home() / ".local/share/mplus"

    def test_a_relative_directory_is_where_the_command_began(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert Settings.read(environment={"MPLUS_DATA": "here"}).data == tmp_path / "here"


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (MPlusError, 1),
            (InvalidInputError, 2),
            (DocumentError, 2),
            (CheckpointError, 3),
            (FingerprintMismatchError, 4),
            (TenantNotFoundError, 5),
            (StorageError, 6),
        ],
    )
    def test_each_is_one_line_and_its_exit_code(
        self,
        error: type[MPlusError],
        code: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail(arguments: list[str]) -> None:
            raise error("what, where, what to do")

        monkeypatch.setattr(cli, "app", fail)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == code
        assert capsys.readouterr().err == "error: what, where, what to do\n"

    def test_a_defect_is_not_dressed_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli, "app", lambda arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            cli.main()

    def test_an_unknown_option_is_a_usage_error(self) -> None:
        assert CliRunner().invoke(cli.app, ["ask", "--tenant", "x", "--loud", "Q"]).exit_code == 2


class TestOutput:
    def test_json_that_cannot_be_written_says_where(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="is a folder"):
            write_json(str(tmp_path), {})
        with pytest.raises(StorageError, match=r"gone/x\.json cannot be written"):
            write_json(str(tmp_path / "gone" / "x.json"), {})

    def test_text_cannot_command_a_terminal(self) -> None:
        assert printable("a\x1b[2Jb\x07\tc\né\u202e") == "a\ufffd[2Jb\ufffd\tc\né\ufffd"


class TestCommands:
    def test_help_needs_nothing_heavy(self) -> None:
        probe = (
            "import sys; from mplus_ray.services import cli; "
            "print(sorted({'torch', 'ray', 'sqlalchemy', 'lxml', 'pyarrow'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
        assert done.stdout == "[]\n", done.stderr

    @pytest.mark.parametrize(("difference", "code"), [(1e-5, 0), (2e-4, 1)])
    def test_parity_prints_and_judges(
        self, monkeypatch: pytest.MonkeyPatch, difference: float, code: int
    ) -> None:
        def run(folder: Path) -> parity.ParityReport:
            return parity.ParityReport(folder.name, 3, 2, {"logits": difference})

        monkeypatch.setattr(parity, "run", run)
        done = CliRunner().invoke(cli.app, ["parity", "x/base", "x/expiry", "--json", "-"])
        assert done.exit_code == code
        assert f'"logits": {difference}' in done.stdout
        assert '"case": "expiry"' in done.stdout

    def test_json_without_a_file_is_standard_output(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(bench_model, "main", lambda: {"decode_ms": 1.5})
        monkeypatch.setattr(sys, "argv", ["mplus", "bench", "model", "--json"])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code in (0, None)
        assert json.loads(capsys.readouterr().out) == {"decode_ms": 1.5}

    def test_bench_writes_what_was_measured(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bench_model, "main", lambda: {"decode_ms": 1.5})
        target = tmp_path / "out.json"
        done = CliRunner().invoke(cli.app, ["bench", "model", "--json", str(target)])
        assert done.exit_code == 0
        assert json.loads(target.read_text()) == {"decode_ms": 1.5}

    def test_train_passes_its_arguments_on(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A recipe that ships is found by its name."""
        orders: list[TrainingOrder] = []

        def train(order: TrainingOrder) -> bool:
            orders.append(order)
            return True

        monkeypatch.setattr("mplus_ray.model.training.run.train", train)
        line = ["train", "small", "--data", "texts", "--out", str(tmp_path), "--resume"]
        result = CliRunner().invoke(cli.app, [*line, "--steps", "3", "--device", "cpu"])
        assert result.exit_code == 0, result.exception
        (order,) = orders
        assert (order.recipe.name, order.data.name, order.out) == ("small", "texts", tmp_path)
        assert (order.resume, order.steps, order.device) == (True, 3, "cpu")


class TestMoments:
    def test_a_time_is_local_unless_it_says_otherwise(self) -> None:
        assert parse_time("1970-01-02T00:00:00+00:00") == 86400.0
        assert parse_time("2026-03-01") == datetime(2026, 3, 1).timestamp()  # noqa: DTZ001
        assert parse_time(str(iso(1234.5))) == 1234.5
        assert iso(None) is None

    @pytest.mark.parametrize("text", ["", "soon", "12:00", "2026-13-01"])
    def test_what_is_no_time_is_named(self, text: str) -> None:
        with pytest.raises(InvalidInputError, match="is no time"):
            parse_time(text)


class TestLooking:
    """Commands that need no weights do not look for a checkpoint, and make nothing."""

    @pytest.mark.parametrize(
        "line",
        [
            ["documents", "list", "-t", "x"],
            ["documents", "show", "-t", "x", "d"],
            ["snapshot", "-t", "x"],
            ["export", "-t", "x", "x.tar"],
            ["tenants", "set", "x", "--max-bytes", "1"],
            ["tenants", "delete", "x", "--yes"],
        ],
    )
    def test_an_unknown_tenant(self, line: list[str], tmp_path: Path) -> None:
        options = ["--data", str(tmp_path / "data")]
        found = CliRunner().invoke(cli.app, [*line, *options])
        assert isinstance(found.exception, TenantNotFoundError)
        assert not (tmp_path / "data").exists()

    def test_sweeping_nothing(self, tmp_path: Path) -> None:
        line = ["sweep", "--data", str(tmp_path / "data"), "--json", "-"]
        done = CliRunner().invoke(cli.app, line)
        assert json.loads(done.stdout) == {"cooled": 0, "merged": 0, "removed": 0}
        assert not (tmp_path / "data").exists()

    def test_an_archive_that_is_not_there(self, tmp_path: Path) -> None:
        line = ["import", str(tmp_path / "x.tar"), "--data", str(tmp_path / "data")]
        assert isinstance(CliRunner().invoke(cli.app, line).exception, InvalidInputError)
        assert not (tmp_path / "data").exists()


class TestIntakeNotes:
    def test_what_failed_is_noted_without_a_model_and_struck_off_later(
        self, tmp_path: Path
    ) -> None:
        ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
        log = ledger.create_tenant("anna", "weights")
        bad = tmp_path / "bad.txt"
        bad.write_bytes(b"\xff")
        take_in(open_sources([str(bad)]), lambda: pytest.fail("a model was wanted"), log=log)
        assert [failure.source for failure in log.failures.list()] == [str(bad)]
        bad.write_text("A text after all.")
        desk = DocumentChunker(log, FakeTokenizer(8))
        take_in(open_sources([str(bad)], key="mine"), lambda: desk)
        assert [document.key for document in log.documents()] == ["mine"]
        assert log.failures.list() == []
        ledger.close()

    def test_a_full_tenant_keeps_what_came_before(self, tmp_path: Path) -> None:
        ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
        log = ledger.create_tenant("anna", "weights", max_documents=1)
        files = [tmp_path / "a.txt", tmp_path / "b.txt"]
        for file in files:
            file.write_text(f"The text of {file.name}.")
        intake = take_in(
            open_sources(list(map(str, files))),
            lambda: DocumentChunker(log, FakeTokenizer(8)),
            log=log,
        )
        assert intake.new == 1
        assert "--max-documents 2" in str(intake.full)
        ledger.close()
