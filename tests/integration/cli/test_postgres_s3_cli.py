"""The commands on PostgreSQL and S3: the same memory as on a file and a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tests.s3
from tests.integration.command import Outcome
from tests.integration.tiny import make_tiny_checkpoint
from tests.integration.warm import WarmCommand, warm_command

if TYPE_CHECKING:  # pytest loads it as a plugin
    from tests.postgres import Postgres

pytest_plugins = ["tests.postgres"]
s3 = tests.s3.s3

BIRDS = "The raven is black. The owl is brown. The swan is white. " * 6
FISH = "The perch is green. The eel is long. The cod is cold. " * 4


@pytest.fixture(scope="module")
def mplus(tmp_path_factory: pytest.TempPathFactory, s3: tests.s3.S3) -> Iterator[WarmCommand]:
    folder = tmp_path_factory.mktemp("remote")
    for name, text in (("birds", BIRDS), ("fish", FISH)):
        (folder / f"{name}.txt").write_text(text)
    with warm_command(folder / "data", make_tiny_checkpoint(folder / "tiny")) as command:
        yield command


def ok(done: Outcome) -> Outcome:
    assert done.code == 0, done.err
    return done


def live(mplus: WarmCommand) -> list[str]:
    """Remember, forget, fork and verify; returns the digests on the way."""
    folder = mplus.data.parent
    digests = []
    for name in ("birds", "fish"):
        ok(mplus("ingest", "-t", "anna", folder / f"{name}.txt", "--id", name))
        digests.append(ok(mplus("digest", "-t", "anna")).out)
    answer = ok(mplus("ask", "-t", "anna", "Which bird?", "--json", "-")).json
    assert answer["citations"]
    ok(mplus("fork", "-t", "anna", "bela", "--step", "1"))
    ok(mplus("documents", "forget", "-t", "anna", "birds"))
    ok(mplus("verify", "-t", "anna"))
    ok(mplus("verify", "-t", "bela"))
    digests += [ok(mplus("digest", "-t", name)).out for name in ("anna", "bela")]
    for name in ("anna", "bela"):
        ok(mplus("tenants", "delete", name, "--yes"))
    return digests


def test_the_same_memory_as_on_this_machine(
    mplus: WarmCommand, postgres: Postgres, s3: tests.s3.S3, tmp_path: Path
) -> None:
    here = live(mplus)
    there = replace(
        mplus,
        environment={
            "MPLUS_LEDGER_URL": postgres.database(),
            "MPLUS_STORE_URL": s3.url(tmp_path.name),
        },
    )
    assert live(there) == here
    assert not (mplus.data / "rows").exists() or not any((mplus.data / "rows").rglob("*.arrow"))
