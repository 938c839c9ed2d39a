"""`mplus status` says who writes, what waits and where bytes are, and loads nothing heavy."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console
from typer.testing import CliRunner

from mplus_ray.model.errors import InvalidInputError, TenantNotFoundError
from mplus_ray.model.object_store.range_cache import RangeCache
from mplus_ray.pipeline.ledger.backlog import Backlog
from mplus_ray.pipeline.ledger.database import shown_ledger
from mplus_ray.pipeline.ledger.heads.lease_owner import new_owner
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.reports.status import Held, Tier, read_status, shown_store
from mplus_ray.services.cli import app as cli
from mplus_ray.services.cli import status as cli_status
from tests.logs import Clock, memorize, put, shard, state

pytest_plugins = ["tests.postgres"]


class TestReadStatus:
    def test_an_empty_ledger_has_nothing(self, ledger: Ledger) -> None:
        found = read_status(ledger)
        assert (found.writers, found.tenants) == ((), ())
        assert (found.backlog, found.store, found.cache) == (Backlog(), Tier(0, 0), Tier(0, 0))

    def test_tenants_with_what_waits_for_each(self, ledger: Ledger, clock: Clock) -> None:
        anna, bela = (ledger.create_tenant(name, "f1") for name in ("anna", "bela"))
        put(anna, "a", 2)
        memorize(anna, anna.heads.claim("w", 10), [2])
        clock.now += 100
        put(anna, "b", 3)
        clock.now += 50
        put(anna, "c", 1)
        put(bela, "x", 4)
        clock.now += 5
        one, two = read_status(ledger, moment=clock.now).tenants
        assert (one.tenant, one.documents, one.chunks, one.tokens, one.step) == ("anna", 3, 6, 6, 2)
        assert one.waiting == Backlog(1, documents=2, chunks=4, tokens=4, oldest=55.0)
        assert (two.tenant, two.step) == ("bela", 0)
        assert two.waiting == Backlog(1, documents=1, chunks=4, tokens=4, oldest=5.0)

    def test_the_backlog_is_the_ledgers(self, ledger: Ledger, clock: Clock) -> None:
        for number, name in enumerate(("anna", "bela", "cleo")):
            log = ledger.create_tenant(name, "f1")
            for key in range(number):
                put(log, f"{key}", 2)
                clock.now += 7
        ledger.tenant("cleo").forgets.request("1")
        ledger.create_tenant("done", "f1")
        found = read_status(ledger, moment=clock.now).backlog
        assert found == ledger.backlog()
        assert (found.tenants, found.chunks, found.forgets, found.oldest) == (2, 6, 1, 21.0)

    def test_a_document_half_memorized_waits(self, ledger: Ledger, clock: Clock) -> None:
        log = ledger.create_tenant("anna", "f1")
        put(log, "a", 5)
        memorize(log, log.heads.claim("w", 10), [3])
        clock.now += 9
        (found,) = read_status(ledger, moment=clock.now).tenants
        assert found.waiting == Backlog(1, documents=1, chunks=2, tokens=2, oldest=9.0)

    def test_failures_and_forgets(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        put(log, "a")
        memorize(log, log.heads.claim("w", 10), [2])
        log.failures.add("bad.pdf", "torn")
        log.failures.add("worse.pdf", "torn")
        log.forgets.request("a")
        (found,) = read_status(ledger).tenants
        assert (found.failures, found.documents) == (2, 0)
        assert found.waiting == Backlog(forgets=1)

    def test_a_memory_that_was_dropped_is_cold(self, ledger: Ledger, clock: Clock) -> None:
        cold, fresh = (ledger.create_tenant(name, "f1") for name in ("cold", "fresh"))
        put(cold, "a")
        put(fresh, "a")
        lease = cold.heads.claim("w", 10)
        head = memorize(cold, lease, [2])
        assert [t.cold for t in read_status(ledger).tenants] == [False, False]
        cold.heads.reset(lease, head.id)
        found = read_status(ledger, moment=clock.now)
        assert [t.cold for t in found.tenants] == [True, False]
        assert found.backlog == ledger.backlog()

    def test_who_holds_what_for_how_long(self, ledger: Ledger, clock: Clock) -> None:
        names = ("anna", "bela", "cleo", "dora")
        logs = {name: ledger.create_tenant(name, "f1") for name in names}
        living = new_owner()
        lease = logs["anna"].heads.claim("elsewhere/1//x", 10)
        logs["anna"].heads.release(lease)
        logs["anna"].heads.claim(living, 10)
        clock.now += 4
        logs["bela"].heads.claim(living, 10)
        logs["cleo"].heads.claim(f"{living.split('/')[0]}/999999999/1/x", 3)
        clock.now += 5
        living_one, gone = sorted(
            read_status(ledger, moment=clock.now).writers, key=lambda writer: writer.gone
        )
        assert (living_one.owner, living_one.gone) == (living, False)
        assert living_one.tenants == (Held("anna", 2, 1.0), Held("bela", 1, 5.0))
        assert (gone.gone, gone.tenants) == (True, (Held("cleo", 1, -2.0),))

    def test_bytes_by_tier(self, ledger: Ledger, tmp_path: Path) -> None:
        anna = ledger.create_tenant("anna", "f1")
        put(anna, "a", 4)
        lease = anna.heads.claim("w", 10)
        rows, writer_state = shard(0, 4), state(4)
        anna.heads.commit(
            lease,
            anna.heads.serving().head.id,
            step=4,
            history="4",
            shards=[rows],
            states=[writer_state],
        )
        ledger.fork_tenant(anna, "bela")
        cache = RangeCache(tmp_path / "cache", 1 << 20)
        cache.read(rows.file, [(0, 60)], lambda spans: [pa.py_buffer(bytes(100))])
        cache.read("of-nobody", [(0, 60)], lambda spans: [pa.py_buffer(bytes(100))])
        page = 100 + 16  # with its checksum
        found = read_status(ledger, tmp_path / "cache")
        assert (found.store, found.cache) == (Tier(2, 110), Tier(1, page))
        assert [(t.store_bytes, t.cache_bytes) for t in found.tenants] == [(110, page)] * 2
        assert read_status(ledger, tmp_path / "none").cache == Tier(0, 0)

    def test_one_tenant_says_nothing_of_others(self, ledger: Ledger) -> None:
        for name in ("anna", "bela"):
            log = ledger.create_tenant(name, "f1")
            put(log, "a")
            put(log, "b")
            memorize(log, log.heads.claim(f"w-{name}", 10), [2])
        found = read_status(ledger, tenant="anna")
        assert [t.tenant for t in found.tenants] == ["anna"]
        assert [w.owner for w in found.writers] == ["w-anna"]
        assert (found.backlog.documents, found.store.files) == (1, 2)
        with pytest.raises(TenantNotFoundError, match="'cleo'"):
            read_status(ledger, tenant="cleo")

    def test_a_deleted_tenant_is_not_shown(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "f1")
        log.heads.claim("w", 10)
        put(log, "a")
        ledger.delete_tenant("anna")
        found = read_status(ledger)
        assert (found.tenants, found.writers, found.backlog) == ((), (), Backlog())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////data/ledger.db", "sqlite:////data/ledger.db"),
        (
            "postgresql+psycopg://me:hidden@db:5432/mplus?sslmode=require",
            "postgresql+psycopg://me:***@db:5432/mplus?sslmode=require",
        ),
        (
            "postgresql+psycopg://db/mplus?user=me&password=hidden",
            "postgresql+psycopg://db/mplus?user=me",
        ),
    ],
)
def test_a_ledger_is_shown_without_its_password(url: str, shown: str) -> None:
    assert shown_ledger(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/data/rows", "/data/rows"),
        ("s3://key:hidden@bucket/rows?region=eu", "s3://bucket/rows"),
        ("gs://bucket/rows", "gs://bucket/rows"),
    ],
)
def test_a_store_is_shown_without_its_key(url: str, shown: str) -> None:
    assert shown_store(url) == shown


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An installation with two tenants, one of them in a writer's hands."""
    folder = tmp_path / "data"
    folder.mkdir()
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    anna, bela = (ledger.create_tenant(name, "f1") for name in ("anna", "be[red]la"))
    for log in (anna, bela):
        put(log, "a", 3)
        put(log, "b", 2)
    memorize(bela, bela.heads.claim(new_owner(), 60), [3])
    bela.failures.add("bad.pdf", "torn")
    ledger.close()
    return folder


class TestCommand:
    def test_json_has_the_documented_keys(self, data: Path) -> None:
        done = CliRunner().invoke(cli.app, ["status", "--data", str(data), "--json", "-"])
        found = json.loads(done.stdout)
        assert done.exit_code == 0
        assert list(found) == ["ledger", "store", "writers", "tenants", "backlog", "tiers"]
        assert found["store"] == str(data / "rows")
        assert found["ledger"] == f"sqlite:///{data / 'ledger.db'}"
        (writer,) = found["writers"]
        assert set(writer) == {"owner", "gone", "tenants"}
        (held,) = writer["tenants"]
        assert (held["tenant"], held["epoch"], set(held)) == (
            "be[red]la",
            1,
            {"tenant", "epoch", "expires_in"},
        )
        anna, bela = found["tenants"]
        waiting = {"documents": 2, "chunks": 5, "tokens": 5, "forgets": 0}
        assert waiting.items() <= anna.pop("waiting").items()
        assert anna == {
            "tenant": "anna",
            "documents": 2,
            "chunks": 5,
            "tokens": 5,
            "step": 0,
            "failures": 0,
            "cold": False,
            "store_bytes": 0,
            "cache_bytes": 0,
        }
        assert (bela["step"], bela["failures"], bela["store_bytes"]) == (3, 1, 110)
        total = {"tenants": 2, "documents": 3, "chunks": 7, "tokens": 7, "forgets": 0}
        assert total.items() <= found["backlog"].items()
        assert found["backlog"].keys() - total.keys() == {"oldest_seconds"}
        assert found["backlog"]["oldest_seconds"] >= 0
        assert found["tiers"] == {
            "store": {"files": 2, "bytes": 110},
            "cache": {"files": 0, "bytes": 0},
        }

    def test_people_read_tables(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        done = CliRunner().invoke(cli.app, ["status", "--data", str(data)])
        lines = [line.strip() for line in done.stdout.splitlines()]
        (anna,) = [line.split() for line in lines if line.startswith("anna")]
        assert anna[1:6] == ["2", "5", "5", "0", "5"]
        assert any("7 chunks (7 tokens) of 3 documents of 2 tenants" in line for line in lines)
        assert any("/" in line and "be[red]la" in line for line in lines)  # the writer

    def test_one_tenant(self, data: Path) -> None:
        arguments = ["status", "--data", str(data), "--tenant", "anna", "--json", "-"]
        found = json.loads(CliRunner().invoke(cli.app, arguments).stdout)
        assert [t["tenant"] for t in found["tenants"]] == ["anna"]
        assert found["writers"] == []

    def test_looking_makes_nothing(self, tmp_path: Path) -> None:
        empty = tmp_path / "none"
        done = CliRunner().invoke(cli.app, ["status", "--data", str(empty), "--json", "-"])
        found = json.loads(done.stdout)
        assert (found["tenants"], found["writers"], found["backlog"]["chunks"]) == ([], [], 0)
        assert not empty.exists()
        arguments = ["status", "--data", str(empty), "--tenant", "anna"]
        with pytest.raises(TenantNotFoundError):
            CliRunner().invoke(cli.app, arguments, catch_exceptions=False)

    def test_watching_is_for_people(self, data: Path) -> None:
        arguments = ["status", "--data", str(data), "--watch", "--json", "-"]
        with pytest.raises(InvalidInputError, match="--watch"):
            CliRunner().invoke(cli.app, arguments, catch_exceptions=False)

    def test_watching_shows_what_changed_until_told_to_stop(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cli_status, "_REFRESH_SECONDS", 0)
        stop, looks = threading.Event(), 0

        def look() -> dict[str, Any]:
            nonlocal looks
            looks += 1
            if looks == 3:
                stop.set()
            backlog = {"tenants": 1, "documents": 1, "chunks": looks, "tokens": 9, "forgets": 2}
            none = {"files": 0, "bytes": 0}
            return {
                "ledger": "l",
                "store": "s",
                "writers": [],
                "tenants": [],
                "backlog": {**backlog, "oldest_seconds": 300.0},
                "tiers": {"store": none, "cache": none},
            }

        shown = io.StringIO()
        console = Console(file=shown, force_terminal=True, width=120)
        cli_status.follow(look, console, stop)
        assert looks == 3
        for chunks in (1, 2, 3):
            assert f"{chunks} chunks (9 tokens)" in shown.getvalue()
        assert "the oldest for 5 min" in shown.getvalue()
        assert "2 requests" in shown.getvalue()

    def test_nothing_heavy_is_loaded(self, data: Path) -> None:
        probe = (
            "import sys\nfrom mplus_ray.services.cli.app import main\n"
            "sys.argv = ['mplus', 'status', '--json', '-']\n"
            "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
            "print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules)), file=sys.stderr)"
        )
        environment = {**os.environ, "MPLUS_DATA": str(data)}
        done = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, env=environment
        )
        assert done.stderr.splitlines()[-1] == "[]"
        assert len(json.loads(done.stdout)["tenants"]) == 2
