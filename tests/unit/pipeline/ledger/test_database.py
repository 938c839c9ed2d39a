"""The database under the ledger: durable, brought to this version, and scrubbed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from mplus_ray.model.errors import BusyError, InvalidInputError, StorageError
from mplus_ray.pipeline.chunking.chunker import Span
from mplus_ray.pipeline.ledger.database import Database
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.migrations import HEAD, upgrade
from mplus_ray.pipeline.ledger.schema import metadata
from mplus_ray.pipeline.parsing.document import ParsedDocument
from tests.logs import build_without, put

if TYPE_CHECKING:
    from tests.postgres import Postgres

pytest_plugins = ["tests.postgres"]

SECRET = "xK7vQ2-secret-Zp91-Wm4t-hH6r-Lc8y-Bn3d"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def embedded(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{path}")
    yield ledger
    ledger.close()


class TestSqlite:
    def test_what_is_acknowledged_is_on_the_disk(self, embedded: Ledger) -> None:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        with embedded._database.reading() as connection:
            pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
        assert pragmas == ["wal", 2, 1, 1]

    def test_a_file_that_is_no_database_is_a_clear_error(self, path: Path) -> None:
        path.write_bytes(b"just text, and enough of it to be looked at" * 50)
        with pytest.raises(StorageError, match=r"ledger\.db failed: file is not a database"):
            Ledger(f"sqlite:///{path}")

    def test_a_full_disk_keeps_the_log_as_it_was(self, path: Path, embedded: Ledger) -> None:
        log = embedded.create_tenant("anna", "f1")
        put(log, "a")
        with embedded._database.reading() as connection:
            # max_page_count makes SQLite itself say "database or disk is full".
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StorageError, match=r"disk is full.*nothing of the last transaction"):
            log.append(ParsedDocument("B", "x" * 10**6), "b.txt", [Span(0, 10**6, 9)])
        assert log.length() == 2
        with closing(sqlite3.connect(path)) as plain:
            assert plain.execute("select count(*) from documents").fetchone() == (1,)


class TestAddress:
    def test_a_password_is_not_in_errors(self) -> None:
        with pytest.raises(StorageError) as caught:
            Ledger("postgresql+psycopg://anna:hunter2@127.0.0.1:1/none")
        assert "hunter2" not in str(caught.value)
        assert "anna:***@127.0.0.1" in str(caught.value)

    def test_nonsense_is_a_clear_error(self) -> None:
        with pytest.raises(StorageError, match="the URL given"):
            Ledger("not a url")

    def test_a_missing_driver_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(InvalidInputError, match=r"mplus-ray\[postgres\]"):
            Ledger("postgresql+psycopg://127.0.0.1:1/none")


class TestConnections:
    def test_one_that_the_server_cut_is_replaced(self, postgres: Postgres) -> None:
        url = postgres.database("ledger_template")
        ledger = Ledger(url)
        ledger.create_tenant("anna", "f1")
        with postgres.admin.connect() as connection:
            cut = connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
                ),
                {"name": url.rsplit("/", 1)[1]},
            )
            assert cut.scalars().all(), "or nothing was cut"
        assert put(ledger.tenant("anna"), "a").new
        ledger.close()
        postgres.drop(url)


class TestMigrations:
    def test_they_lead_to_the_schema(self, ledger_url: str) -> None:
        Database(ledger_url).close()
        engine = create_engine(ledger_url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            assert context.get_current_revision() == HEAD
            assert compare_metadata(context, metadata) == []
        engine.dispose()

    def test_the_newest_is_what_the_program_expects(self) -> None:
        assert ScriptDirectory.from_config(upgrade._config()).get_current_head() == HEAD

    def test_two_programs_may_open_a_new_database_at_once(self, tmp_path: Path) -> None:
        _open_at_once(f"sqlite:///{tmp_path / 'new.db'}")

    def test_two_programs_may_open_a_new_server_database_at_once(self, postgres: Postgres) -> None:
        url = postgres.database()
        _open_at_once(url)
        postgres.drop(url)

    def test_opening_the_current_version_needs_no_alembic(self, embedded: Ledger) -> None:
        code = (
            "import sys; from mplus_ray.pipeline.ledger.ledger import Ledger; "
            f"Ledger({embedded._database.url!r}).close(); sys.exit('alembic' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_one_from_before_migrations_is_refused(self, ledger_url: str) -> None:
        Database(ledger_url).close()
        _execute(ledger_url, "DROP TABLE alembic_version")
        with pytest.raises(StorageError, match=r"older version.*another data directory"):
            Ledger(ledger_url)

    def test_a_newer_one_is_refused(self, ledger_url: str) -> None:
        Database(ledger_url).close()
        _execute(ledger_url, "UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(StorageError, match=r"version 9999.*update the program"):
            Ledger(ledger_url)


class TestScrub:
    def test_forgotten_text_is_in_no_file(
        self, path: Path, tmp_path: Path, embedded: Ledger
    ) -> None:
        _write_and_forget(embedded)
        assert _files_with_secret(tmp_path), "or the test could not fail"
        embedded.scrub()
        assert _files_with_secret(tmp_path) == []

    def test_a_reader_is_waited_for_and_then_named(
        self, embedded: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mplus_ray.pipeline.ledger.database._SCRUB_SECONDS", 0.3)
        _write_and_forget(embedded)
        with embedded._database.reading() as connection:
            connection.execute(text("SELECT count(*) FROM documents")).scalar()
            put(embedded.tenant("anna"), "later")
            with pytest.raises(BusyError, match="readers hold it"):
                embedded.scrub()
        embedded.scrub()

    def test_a_servers_tables_are_written_anew(self, postgres: Postgres) -> None:
        url = postgres.database("ledger_template")
        ledger = Ledger(url)
        _write_and_forget(ledger)
        with ledger._database.reading() as connection:
            number = connection.execute(
                text("SELECT oid FROM pg_database WHERE datname = current_database()")
            ).scalar_one()
        folder = postgres.folder / "base" / str(number)
        with postgres.admin.connect() as connection:
            connection.execute(text("CHECKPOINT"))
        assert _files_with_secret(folder), "or the test could not fail"
        ledger.scrub()
        assert _files_with_secret(folder) == []
        ledger.close()
        postgres.drop(url)


def _write_and_forget(ledger: Ledger) -> None:
    log = ledger.create_tenant("anna", "f1")
    put(log, "kept")
    secret = ParsedDocument("S", SECRET)
    log.append(secret, "s.txt", [Span(0, len(SECRET), 3)], key="s")
    lease = log.heads.claim("w", 10)
    log.heads.swap(lease, build_without(log, lease, ["s"]).id)
    assert [d.key for d in log.documents()] == ["kept"]


def _files_with_secret(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if SECRET.encode() in path.read_bytes()]


def _open_at_once(url: str) -> None:
    code = (
        "import sys; from mplus_ray.pipeline.ledger.ledger import Ledger; "
        "Ledger(sys.argv[1]).close()"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    own: list[Exception] = []

    def open_here() -> None:
        try:
            Ledger(url).close()
        except StorageError as error:
            own.append(error)

    threads = [threading.Thread(target=open_here) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert own == []


def _execute(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_an_error_has_no_password_wherever_it_stands() -> None:
    url = "postgresql+psycopg://me:hunter2@127.0.0.1:1/db?password=hunter3&connect_timeout=1"
    with pytest.raises(StorageError) as refused:
        Ledger(url)
    assert "hunter" not in str(refused.value)
    assert "127.0.0.1" in str(refused.value)
