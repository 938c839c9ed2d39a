"""Whatever is wrong is said in one line, with an exit code, and the memory is as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.command import Outcome
from tests.integration.tiny import make_tiny_checkpoint
from tests.integration.warm import WarmCommand, warm_command


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first has so many rows that a file of them is larger than a ledger."""
    folder = tmp_path_factory.mktemp("checkpoints")
    one = make_tiny_checkpoint(folder / "one", rows=128)
    return one, make_tiny_checkpoint(folder / "other", seed=1)


@pytest.fixture(scope="module")
def prepared(
    checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WarmCommand]:
    """A tenant, anna, has a memory."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "birds.txt").write_text("The raven is black. The owl is brown.")
    with warm_command(folder / "data", checkpoints[0]) as mplus:
        done = mplus("ingest", "-t", "anna", folder / "birds.txt")
        assert done.code == 0, done.err
        yield mplus


@pytest.fixture
def mplus(tmp_path: Path, prepared: WarmCommand) -> WarmCommand:
    shutil.copytree(prepared.data.parent, tmp_path, dirs_exist_ok=True)
    return prepared.at(tmp_path / "data")


def assert_refused(done: Outcome, code: int, *said: str) -> None:
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert "error: " in done.err
    for words in said:
        assert words in done.err


BAD_FILES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty": ("a.txt", lambda: b"", "holds no text"),
    "white space": ("a.md", lambda: b" \n\t\n", "holds no text"),
    "a line of 10 MB": ("a.txt", lambda: b"x" * 10 * 2**20, "line 1: more than 1,000,000"),
    "broken UTF-8": ("a.txt", lambda: b"abc\xc3(", "byte 0xc3 at offset 3"),
    "text as PDF": ("a.pdf", lambda: b"just text", "is not a PDF"),
    "damaged PDF as text": ("a.txt", lambda: b"%PDF-1.7\n%\xe2", "unsupported PDF"),
    "binary as text": ("a.txt", lambda: b"\0\1\2" * 100, "binary data"),
    "unknown format": ("a.xyz", lambda: b"\0\1\2" * 100, ".xyz is not supported"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_changes_nothing(mplus: WarmCommand, tmp_path: Path, case: str) -> None:
    name, content, said = BAD_FILES[case]
    (tmp_path / name).write_bytes(content())
    memory = mplus.memory()
    done = mplus("ingest", "-t", "anna", tmp_path / name, "--json", "-")
    assert_refused(done, 2, name, said)
    assert done.json["failed"][0]["source"] == str(tmp_path / name)
    assert mplus.memory() == memory
    assert mplus("tenants", "list", "--json", "-").json["tenants"][0]["documents"] == 1


def test_a_bad_file_leaves_the_good_ones_alone(mplus: WarmCommand, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    (tmp_path / "good.txt").write_text("The swan is white.")
    paths = (tmp_path / "bad.txt", tmp_path / "good.txt")
    done = mplus("ingest", "-t", "anna", *paths, "--json", "-")
    assert_refused(done, 2, "1 of 2 documents were left out")
    assert (done.json["documents"], len(done.json["failed"])) == (1, 1)
    assert mplus("ask", "-t", "anna", "Which?", "--json", "-").json["waiting"] == 0


def test_one_token_is_a_document(mplus: WarmCommand, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a")
    done = mplus("ingest", "-t", "anna", tmp_path / "one.txt", "--json", "-")
    assert (done.code, done.json["tokens"], done.json["chunks"]) == (0, 1, 1)


@pytest.mark.parametrize("question", ["", "  "])
def test_an_empty_question_is_refused(mplus: WarmCommand, question: str) -> None:
    assert_refused(mplus("ask", "-t", "anna", question), 2, "question is empty")


def test_an_impossible_option_is_refused(mplus: WarmCommand) -> None:
    done = mplus("ask", "-t", "anna", "Which?", "--max-tokens", "0")
    assert_refused(done, 2, "max_tokens must be a")


def test_an_unknown_tenant_is_refused(mplus: WarmCommand) -> None:
    assert_refused(mplus("ask", "-t", "nobody", "Which?"), 5, "no tenant 'nobody'")
    assert_refused(mplus("ingest", "-t", "nobody"), 5, "no tenant 'nobody'")


def test_an_impossible_tenant_name_is_refused(mplus: WarmCommand, tmp_path: Path) -> None:
    done = mplus("ingest", "-t", "a\nb", tmp_path / "birds.txt")
    assert_refused(done, 2, "cannot name a tenant")


def test_a_missing_path_is_refused(mplus: WarmCommand, tmp_path: Path) -> None:
    done = mplus("ingest", "-t", "anna", tmp_path / "gone.txt")
    assert_refused(done, 2, "gone.txt does not exist")


def test_a_missing_checkpoint_is_refused(mplus: WarmCommand, tmp_path: Path) -> None:
    done = mplus("ask", "-t", "anna", "Which?", "--checkpoint", tmp_path / "gone")
    assert_refused(done, 3, "gone")


def test_another_checkpoint_than_the_memorys_is_refused(
    mplus: WarmCommand, tmp_path: Path, checkpoints: tuple[Path, Path]
) -> None:
    memory = mplus.memory()
    other = ("--checkpoint", checkpoints[1])
    (tmp_path / "new.txt").write_text("The swan is white.")
    said = "'anna' belongs to the checkpoint"
    assert_refused(mplus("ask", "-t", "anna", "Which?", *other), 4, said)
    assert_refused(mplus("ingest", "-t", "anna", tmp_path / "new.txt", *other), 4, said)
    assert_refused(mplus("ingest", "-t", "anna", *other), 4, said)
    assert mplus.memory() == memory
    assert mplus("tenants", "list", "--json", "-").json["tenants"][0]["documents"] == 1


def test_a_full_disk_while_saving_keeps_the_memory(mplus: WarmCommand, tmp_path: Path) -> None:
    """No file may grow beyond a limit, which a process meets as it meets a full disk."""
    memory = mplus.memory()
    (tmp_path / "book.txt").write_text("The swan is white. " * 600)
    limit = ("bash", "-c", 'ulimit -f 480 && exec "$@"', "bash")
    done = mplus("ingest", "-t", "anna", tmp_path / "book.txt", prefix=limit)
    assert_refused(done, 6, "-rows-", "raise the limit on the size of files")
    assert mplus.memory() == memory
    waiting = mplus("ask", "-t", "anna", "Which?", "--json", "-").json["waiting"]
    assert waiting > 0
    assert mplus("ingest", "-t", "anna", "--json", "-").json["chunks"] == waiting


def test_a_full_disk_while_taking_in_keeps_the_log(mplus: WarmCommand, tmp_path: Path) -> None:
    memory = mplus.memory()
    (tmp_path / "book.txt").write_text("The swan is white. " * 20_000)
    limit = ("bash", "-c", 'ulimit -f 200 && exec "$@"', "bash")
    done = mplus("ingest", "-t", "anna", tmp_path / "book.txt", prefix=limit)
    assert_refused(done, 6, "ledger", "nothing of the last transaction was kept")
    assert mplus.memory() == memory
    assert mplus("tenants", "list", "--json", "-").json["tenants"][0]["documents"] == 1


def test_a_damaged_memory_is_made_again(mplus: WarmCommand) -> None:
    memory = mplus.memory()
    (shard,) = mplus.data.glob("rows/*/*/*-rows-*")
    shard.write_bytes(shard.read_bytes()[:-9] + b"\0" * 9)
    assert_refused(mplus("digest", "-t", "anna"), 6, shard.name, "is damaged")
    asked = mplus("ask", "-t", "anna", "Which?", "--json", "-")
    assert asked.code == 0, asked.err
    assert f"{shard.name}: " in asked.err
    assert "making it again from the documents" in asked.err
    assert asked.json["citations"]
    assert not shard.exists()
    assert mplus.memory() == memory


def test_a_damaged_ledger_says_so(mplus: WarmCommand) -> None:
    (mplus.data / "ledger.db").write_bytes(b"not a database, whatever its name says" * 99)
    assert_refused(mplus("ask", "-t", "anna", "Which?"), 6, "file is not a database")


def test_a_data_directory_that_is_a_file_says_so(mplus: WarmCommand, tmp_path: Path) -> None:
    birds = tmp_path / "birds.txt"
    assert_refused(mplus("ingest", "-t", "x", birds, "--data", birds), 6, "cannot be made")
