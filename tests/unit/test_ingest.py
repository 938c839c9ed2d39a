"""From files to memory: in order, resumable, and one bad document leaves the others alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.folders import memory_folder
from actors.writer import Writer, WriteRequest
from model.errors import InvalidInputError, StorageError
from pipeline.intake import Desk, Intake, take_in
from pipeline.ledger import Ledger
from pipeline.memorize import memorize
from pipeline.sources import find_files
from pipeline.tenant_log import TenantLog
from tests.unit.fakes import FakeMemory, FakeModel

CHUNK_TOKENS = 6
TEXT = "The raven is black. The owl is brown. The swan is white. The finch is green."


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


@pytest.fixture
def fake() -> FakeModel:
    return FakeModel()


@pytest.fixture
def open_writer(tmp_path: Path, fake: FakeModel) -> Iterator[Callable[..., Writer]]:
    opened: list[Writer] = []

    def open_one(model: Any = fake, **options: Any) -> Writer:
        opened.append(Writer(model, tmp_path, **options))
        return opened[-1]

    yield open_one
    for writer in opened:
        writer.close()


def fill(ledger: Ledger, tmp_path: Path, name: str, *texts: str) -> TenantLog:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{name}-{number}.txt")
        files[-1].write_text(text)
    take_in(files, lambda: desk(ledger, name))
    return ledger.tenant(name)


def desk(ledger: Ledger, name: str) -> Desk:
    log = ledger.create_tenant(name, "fake-weights")
    return Desk(log, FakeModel().tokenizer, CHUNK_TOKENS)


def saved(tmp_path: Path, log: TenantLog) -> FakeMemory:
    return FakeModel().restore(memory_folder(tmp_path, log.tenant.id))


def undisturbed(log: TenantLog) -> FakeMemory:
    """What one process that was never interrupted makes of a log."""
    model = FakeModel()
    memory = model.empty_memory(log.tenant.seed)
    for chunk in log.chunks(0):
        (memory,) = model.memorize_chunks([memory], [model.tokenizer.encode(chunk.text)])
    return memory


class TestSources:
    def test_folders_give_their_documents_in_a_stable_order(self, tmp_path: Path) -> None:
        for name in ("b.txt", "a.md", "sub/c.html", "skip.png", ".hidden/d.txt", ".e.txt"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
        found = find_files([tmp_path, tmp_path / "b.txt"])
        assert found == [tmp_path / "a.md", tmp_path / "b.txt", tmp_path / "sub/c.html"]

    def test_a_named_file_is_taken_whatever_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_text("x")
        assert find_files([tmp_path / "x.png"]) == [tmp_path / "x.png"]

    def test_a_missing_path_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="gone does not exist"):
            find_files([tmp_path / "gone"])

    def test_a_folder_without_documents_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match=r"has no document in it.*\.html"):
            find_files([tmp_path])


class TestIntake:
    def take(self, ledger: Ledger, *files: Path) -> Intake:
        return take_in(files, lambda: desk(ledger, "anna"))

    def test_a_bad_document_leaves_the_others_alone(self, ledger: Ledger, tmp_path: Path) -> None:
        good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
        good.write_text(TEXT)
        bad.write_bytes(b"\xff\xff")
        intake = self.take(ledger, bad, good)
        assert [failure.source for failure in intake.failed] == [str(bad)]
        assert "not valid UTF-8" in intake.failed[0].reason
        assert ledger.tenant("anna").length() == intake.accepted[0].chunks == 4

    def test_only_bad_documents_leave_no_tenant(self, ledger: Ledger, tmp_path: Path) -> None:
        (tmp_path / "bad.txt").write_bytes(b"")
        assert len(self.take(ledger, tmp_path / "bad.txt").failed) == 1
        assert ledger.tenants() == []

    def test_taking_in_twice_is_once(self, ledger: Ledger, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text(TEXT)
        assert [a.new for a in self.take(ledger, tmp_path / "a.txt").accepted] == [True]
        assert [a.new for a in self.take(ledger, tmp_path / "a.txt").accepted] == [False]


class TestMemorize:
    def test_memory_is_the_log_in_order(
        self, ledger: Ledger, tmp_path: Path, fake: FakeModel, open_writer: Callable[..., Writer]
    ) -> None:
        log = fill(ledger, tmp_path, "anna", TEXT, "A second document.")
        steps: list[int] = []
        done = memorize([log], open_writer(), fake.tokenizer, lambda _, n: steps.append(n))
        assert done == len(steps) == log.length() == 5
        assert sum(steps) == log.tokens()
        assert saved(tmp_path, log) == undisturbed(log)

    def test_tenants_share_forward_passes(
        self, ledger: Ledger, tmp_path: Path, fake: FakeModel, open_writer: Callable[..., Writer]
    ) -> None:
        logs = [fill(ledger, tmp_path, name, TEXT * n) for n, name in enumerate("abc", 1)]
        memorize(logs, open_writer(), fake.tokenizer, max_batch=2)
        assert fake.batches.count(2) > 2 * fake.batches.count(1)
        for log in logs:
            assert saved(tmp_path, log) == undisturbed(log)

    def test_no_tenant_waits_for_another_ones_end(
        self, ledger: Ledger, tmp_path: Path, fake: FakeModel, open_writer: Callable[..., Writer]
    ) -> None:
        logs = [fill(ledger, tmp_path, name, TEXT) for name in "abc"]
        order: list[str] = []
        memorize(
            logs, open_writer(), fake.tokenizer, lambda t, _: order.append(t.name), max_batch=1
        )
        assert order == list("abc") * 4

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
    @pytest.mark.parametrize("at", [1, 3])
    def test_an_interrupted_run_is_taken_up_exactly(
        self,
        ledger: Ledger,
        tmp_path: Path,
        fake: FakeModel,
        open_writer: Callable[..., Writer],
        interruption: type[BaseException],
        at: int,
    ) -> None:
        log = fill(ledger, tmp_path, "anna", TEXT)
        remaining = iter(range(at))

        def stop(*_: object) -> None:
            if next(remaining, None) is None:
                raise interruption

        writer = open_writer()
        with pytest.raises(interruption):
            memorize([log], writer, fake.tokenizer, stop)
        writer.close()
        if interruption is KeyboardInterrupt:
            assert saved(tmp_path, log).step == at + 1
        memorize([log], open_writer(FakeModel()), fake.tokenizer)
        assert saved(tmp_path, log) == undisturbed(log)

    def test_documents_that_come_later_are_added(
        self, ledger: Ledger, tmp_path: Path, fake: FakeModel, open_writer: Callable[..., Writer]
    ) -> None:
        log = fill(ledger, tmp_path, "anna", TEXT)
        writer = open_writer()
        assert memorize([log], writer, fake.tokenizer) == 4
        log = fill(ledger, tmp_path, "anna", TEXT, "One more.")
        assert memorize([log], writer, fake.tokenizer) == 1
        assert memorize([log], writer, fake.tokenizer) == 0
        assert saved(tmp_path, log) == undisturbed(log)

    def test_a_memory_ahead_of_its_log_is_refused(
        self, ledger: Ledger, tmp_path: Path, fake: FakeModel, open_writer: Callable[..., Writer]
    ) -> None:
        log = fill(ledger, tmp_path, "anna", "One.")
        ahead = FakeMemory("fake-weights", "x", 9)
        fake.save(ahead, memory_folder(tmp_path, log.tenant.id))
        with pytest.raises(StorageError, match="has 9 steps, its log only 1"):
            memorize([log], open_writer(), fake.tokenizer)


class TestWriter:
    def test_it_saves_by_the_clock(
        self, tmp_path: Path, open_writer: Callable[..., Writer]
    ) -> None:
        now = [0.0]
        writer = open_writer(save_every=10.0, clock=lambda: now[0])
        writer.open("t", seed=1)
        writer.memorize([WriteRequest("t", 0, [1])])
        assert not memory_folder(tmp_path, "t").exists()
        now[0] = 10.0
        assert writer.memorize([WriteRequest("t", 1, [2])]) == [2]
        assert FakeModel().restore(memory_folder(tmp_path, "t")).step == 2

    @pytest.mark.parametrize("step", [1, -1])
    def test_a_step_out_of_turn_is_refused(
        self, fake: FakeModel, open_writer: Callable[..., Writer], step: int
    ) -> None:
        writer = open_writer()
        writer.open("t", seed=1)
        with pytest.raises(InvalidInputError, match="not the next one here: 0 is"):
            writer.memorize([WriteRequest("t", step, [1])])
        assert fake.batches == []

    def test_two_steps_of_one_tenant_cannot_share_a_pass(
        self, open_writer: Callable[..., Writer]
    ) -> None:
        writer = open_writer()
        writer.open("t", seed=1)
        with pytest.raises(InvalidInputError, match="not the next one"):
            writer.memorize([WriteRequest("t", 0, [1]), WriteRequest("t", 0, [2])])

    def test_a_tenant_that_is_not_open_is_refused(self, open_writer: Callable[..., Writer]) -> None:
        with pytest.raises(InvalidInputError, match="not open"):
            open_writer().memorize([WriteRequest("t", 0, [1])])

    def test_a_full_disk_leaves_the_saved_memory_and_the_work_is_not_lost(
        self,
        tmp_path: Path,
        open_writer: Callable[..., Writer],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        writer = open_writer()
        writer.open("t", seed=1)
        writer.memorize([WriteRequest("t", 0, [1])])
        writer.save()
        writer.memorize([WriteRequest("t", 1, [2])])
        with monkeypatch.context() as full:
            full.setattr(FakeModel, "save", _disk_full)
            with pytest.raises(StorageError, match="No space left on device"):
                writer.save()
        assert FakeModel().restore(memory_folder(tmp_path, "t")).step == 1
        writer.save()
        assert FakeModel().restore(memory_folder(tmp_path, "t")).step == 2

    def test_another_writer_waits_its_turn(
        self, open_writer: Callable[..., Writer], caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = open_writer(), open_writer()
        first.open("t", seed=1)
        first.memorize([WriteRequest("t", 0, [1])])
        steps: list[int] = []
        waiting = threading.Thread(target=lambda: steps.append(second.open("t", seed=1)))
        waiting.start()
        while "waiting for the writer" not in caplog.text:
            assert waiting.is_alive()
        assert steps == []
        first.save()
        first.close()
        waiting.join(timeout=10)
        assert steps == [1]


def _disk_full(*_: object) -> None:
    raise StorageError("No space left on device")
