"""From files to memory: in order, resumable, and one bad document leaves the others alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import mplus_ray.pipeline.writing.write_pipeline
from mplus_ray.actors.plans import WritePlan, WriteRequest
from mplus_ray.actors.reading.reader import Reader
from mplus_ray.actors.writer import Writer
from mplus_ray.model import MPlus
from mplus_ray.model.errors import DocumentError, InvalidInputError, StorageError
from mplus_ray.model.memory.digest import digest
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, IngestReport, take_in
from mplus_ray.pipeline.ledger.filters.attribute_quotas import AttributeQuota
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.parsing.document import Details, ParsedDocument
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.pipeline.sources import Idle, Incoming, Item, Until, find_files, open_sources
from mplus_ray.pipeline.sources.source import Quiet
from mplus_ray.pipeline.workers.catch_up import catch_up
from mplus_ray.pipeline.writing.engine import Engine
from mplus_ray.pipeline.writing.memorize import memorize
from mplus_ray.pipeline.writing.write_job import OnStep, WriteJob
from tests.checkpoints import write_checkpoint
from tests.logs import Clock
from tests.unit.fakes import FakeTokenizer

TEXT = "The raven is black. The owl is brown. The swan is white. The finch is green."


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, retrieval="blocks")
    return MPlus.load(folder)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


@pytest.fixture
def files(tmp_path: Path) -> ObjectStore:
    return ObjectStore.open(str(tmp_path / "rows"))


@pytest.fixture
def engine(ledger: Ledger, files: ObjectStore, model: MPlus) -> Engine:
    return Engine.of(model, ledger, files)


def fill(engine: Engine, tmp_path: Path, name: str, *texts: str) -> TenantLog:
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{name}-{number}.txt")
        paths[-1].write_text(text)
    take_in(open_sources(list(map(str, paths))), lambda: desk(engine, name))
    return engine.ledger.tenant(name)


def desk(engine: Engine, name: str) -> DocumentChunker:
    return DocumentChunker(engine.ledger.create_tenant(name, engine.fingerprint), engine.tokenizer)


def memory_digest(engine: Engine, model: MPlus, log: TenantLog) -> str:
    plan = read_plan(log, log.heads.serving())
    return digest(Reader(model, engine.files).memory(plan))


def undisturbed(model: MPlus, log: TenantLog) -> str:
    """What one process that was never interrupted makes of a log."""
    memory = model.empty_memory(log.tenant.seed)
    for chunk in log.chunks(0):
        (memory,) = model.memorize_chunks([memory], [model.tokenizer.encode(chunk.text)])
    return digest(memory)


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
    def take(self, engine: Engine, *paths: Path) -> IngestReport:
        return take_in(open_sources(list(map(str, paths))), lambda: desk(engine, "anna"))

    def test_a_bad_document_leaves_the_others_alone(self, engine: Engine, tmp_path: Path) -> None:
        good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
        good.write_text(TEXT)
        bad.write_bytes(b"\xff\xff")
        intake = self.take(engine, bad, good)
        assert [failure.source for failure in intake.failed] == [str(bad)]
        assert "not valid UTF-8" in intake.failed[0].reason
        assert engine.ledger.tenant("anna").length() > 0
        assert (intake.new, intake.failures) == (1, 1)

    def test_only_bad_documents_leave_no_tenant(self, engine: Engine, tmp_path: Path) -> None:
        (tmp_path / "bad.txt").write_bytes(b"")
        assert len(self.take(engine, tmp_path / "bad.txt").failed) == 1
        assert engine.ledger.tenants() == []

    def test_taking_in_twice_is_once(self, engine: Engine, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text(TEXT)
        first, second = (self.take(engine, tmp_path / "a.txt") for _ in range(2))
        assert (first.new, first.known) == (1, 0)
        assert (second.new, second.known) == (0, 1)

    def test_small_documents_share_a_transaction_until_nothing_more_waits(
        self, engine: Engine
    ) -> None:
        groups: list[int] = []
        told: list[str] = []
        at = desk(engine, "anna")

        def item(name: str, text: str = TEXT, prompt: bool = False) -> Incoming:
            def done() -> None:
                known = {document.key for document in at.log.documents()}
                assert name in known, "it is told of before it is durable"
                told.append(name)

            return Incoming(name, lambda: ParsedDocument(name, text), name, done, prompt)

        def source() -> Iterator[Item]:
            yield item("a")
            yield item("b")
            assert told == []
            yield Idle()
            assert told == ["a", "b"]
            yield item("c", prompt=True)
            assert told == ["a", "b", "c"]
            yield item("d")
            yield item("large", TEXT * 1000)
            assert told[3:] == ["d", "large"]
            yield item("e")
            yield Incoming("bad", _no_document)
            assert told[5:] == ["e"]
            yield item("f")
            raise StorageError("the bucket is away")

        with pytest.raises(StorageError, match="away"):
            take_in(source(), lambda: at, lambda intake, _: groups.append(intake.new))
        assert told[6:] == ["f"], "what breaks off takes nothing back"
        assert groups == [2, 2, 3, 4, 5, 6, 6, 7]

    def test_a_full_tenant_ends_a_group_where_it_is_full(self, ledger: Ledger) -> None:
        log = ledger.create_tenant("anna", "weights", max_documents=2)
        told: list[str] = []
        items = [
            Incoming(n, lambda n=n: ParsedDocument(n, n), n, lambda n=n: told.append(n))  # type: ignore[misc]
            for n in "abcd"
        ]
        intake = take_in(items, lambda: DocumentChunker(log, FakeTokenizer(8)), log=log)
        assert (intake.new, told, intake.failures) == (2, ["a", "b"], 0)
        assert intake.full is not None

    def test_a_full_session_is_passed_over(self, ledger: Ledger) -> None:
        quotas: dict[str, AttributeQuota] = {"session": {"max_documents": 1}}
        log = ledger.create_tenant("anna", "weights", attribute_quotas=quotas)
        told: list[str] = []

        def coming(name: str, session: str) -> Incoming:
            document = ParsedDocument(name, name, details=Details(session))
            return Incoming(name, lambda: document, name, lambda: told.append(name))

        items = [coming("a", "s"), coming("b", "s"), coming("c", "t")]
        intake = take_in(items, lambda: DocumentChunker(log, FakeTokenizer(8)), log=log)
        assert (intake.new, intake.failures, sorted(told)) == (2, 1, ["a", "b", "c"])
        assert intake.full is None
        assert "session 's'" in log.failures.list()[0].reason
        log.forgets.request("a")
        again = take_in([items[1]], lambda: DocumentChunker(log, FakeTokenizer(8)), log=log)
        assert (again.new, log.failures.list()) == (1, [])


def _no_document() -> ParsedDocument:
    raise DocumentError("it is none")


def test_what_its_user_does_is_no_silence_of_a_source() -> None:
    clock = Clock()
    quiet = Quiet(Until(idle=5), clock)
    clock.now += 4
    with quiet.not_counting():
        clock.now += 60
    assert not quiet.over
    clock.now += 1
    assert quiet.over


class TestMemorize:
    def test_memory_is_the_log_in_order(self, engine: Engine, model: MPlus, tmp_path: Path) -> None:
        log = fill(engine, tmp_path, "anna", TEXT, "A second document.")
        steps: list[int] = []
        done = catch_up(engine, [log], lambda _, n: steps.append(n))
        assert done == len(steps) == log.length() == log.heads.serving().head.step
        assert sum(steps) == log.tokens()
        assert memory_digest(engine, model, log) == undisturbed(model, log)

    def test_tenants_share_forward_passes(
        self, engine: Engine, model: MPlus, tmp_path: Path
    ) -> None:
        logs = [fill(engine, tmp_path, name, TEXT * n) for n, name in enumerate("abc", 1)]
        writer = CountingWriter(model, engine.files)
        catch_up(replace(engine, writer=writer), logs)
        assert max(writer.batches) == 3
        assert writer.batches[-1] == 1, "the longest log is finished alone"
        for log in logs:
            assert memory_digest(engine, model, log) == undisturbed(model, log)

    def test_no_tenant_waits_for_another_ones_end(self, engine: Engine, tmp_path: Path) -> None:
        logs = [fill(engine, tmp_path, name, TEXT) for name in "abc"]
        order: list[str] = []
        with engine.lease(logs[0]) as a, engine.lease(logs[1]) as b, engine.lease(logs[2]) as c:
            jobs = [WriteJob.of(log, lease) for log, lease in zip(logs, (a, b, c), strict=True)]
            note: OnStep = lambda tenant, _: order.append(tenant.name)  # noqa: E731
            memorize(jobs, engine.writer, engine.tokenizer, note, max_batch=1)
        assert order == list("abc") * logs[0].length()

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
    @pytest.mark.parametrize("at", [1, 3])
    def test_an_interrupted_run_is_taken_up_exactly(
        self,
        engine: Engine,
        model: MPlus,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        interruption: type[BaseException],
        at: int,
    ) -> None:
        monkeypatch.setattr(mplus_ray.pipeline.writing.write_pipeline, "_GROUP_STEPS", 2)
        log = fill(engine, tmp_path, "anna", TEXT)
        remaining = iter(range(at))

        def stop(*_: object) -> None:
            if next(remaining, None) is None:
                raise interruption

        with pytest.raises(interruption):
            catch_up(engine, [log], stop)
        kept = log.heads.serving().head.step
        assert kept == at + 1 if interruption is KeyboardInterrupt else kept <= at
        catch_up(engine, [log])
        assert memory_digest(engine, model, log) == undisturbed(model, log)

    def test_documents_that_come_later_are_added(
        self, engine: Engine, model: MPlus, tmp_path: Path
    ) -> None:
        log = fill(engine, tmp_path, "anna", TEXT)
        first = catch_up(engine, [log])
        fill(engine, tmp_path, "anna", TEXT, "One more.")
        assert catch_up(engine, [log]) == log.length() - first > 0
        assert catch_up(engine, [log]) == 0
        assert memory_digest(engine, model, log) == undisturbed(model, log)

    def test_a_full_disk_leaves_what_was_committed_and_the_rest_is_done_later(
        self,
        engine: Engine,
        model: MPlus,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        log = fill(engine, tmp_path, "anna", TEXT)
        catch_up(engine, [log])
        before = log.heads.serving()
        fill(engine, tmp_path, "anna", TEXT, TEXT.upper())
        with monkeypatch.context() as full:
            full.setattr(ObjectStore, "put", _disk_full)
            with pytest.raises(StorageError, match="No space left on device"):
                catch_up(engine, [log])
        assert log.heads.serving() == before
        catch_up(engine, [log])
        assert memory_digest(engine, model, log) == undisturbed(model, log)


class CountingWriter(Writer):
    def __init__(self, model: MPlus, files: ObjectStore) -> None:
        super().__init__(model, files)
        self.batches: list[int] = []

    def memorize(self, requests: Sequence[WriteRequest]) -> list[int]:
        self.batches.append(len(requests))
        return super().memorize(requests)


class TestWriter:
    PLAN = WritePlan("t", "head", 1, 0, "bfloat16", 0, ())

    @pytest.mark.parametrize("step", [1, -1])
    def test_a_step_out_of_turn_is_refused(
        self, model: MPlus, files: ObjectStore, step: int
    ) -> None:
        writer = Writer(model, files)
        writer.open(self.PLAN)
        with pytest.raises(InvalidInputError, match="not the next one here: 0 is"):
            writer.memorize([WriteRequest("t", step, [1])])

    def test_two_steps_of_one_tenant_cannot_share_a_pass(
        self, model: MPlus, files: ObjectStore
    ) -> None:
        writer = Writer(model, files)
        writer.open(self.PLAN)
        with pytest.raises(InvalidInputError, match="not the next one"):
            writer.memorize([WriteRequest("t", 0, [1]), WriteRequest("t", 0, [2])])

    def test_a_tenant_that_is_not_open_is_refused(self, model: MPlus, files: ObjectStore) -> None:
        with pytest.raises(InvalidInputError, match="not open"):
            Writer(model, files).memorize([WriteRequest("t", 0, [1])])

    def test_nothing_new_is_no_file(self, model: MPlus, files: ObjectStore) -> None:
        writer = Writer(model, files)
        writer.open(self.PLAN)
        assert writer.seal("t", leaving=True) is None
        writer.memorize([WriteRequest("t", 0, [1])])
        assert writer.seal("t") is not None
        assert writer.seal("t") is None
        assert writer.seal("t", leaving=True) is not None, "a state for the next writer"
        assert writer.seal("t", leaving=True) is None

    def test_states_are_kept_apart_and_the_newest_one_follows_the_head(
        self, model: MPlus, files: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mplus_ray.actors.writer.STATE_EVERY", 4)
        writer = Writer(model, files)
        writer.open(self.PLAN)
        kept: list[int] = []
        for step in range(30):
            writer.memorize([WriteRequest("t", step, [step + 1])])
            sealed = writer.seal("t", leaving=True)
            assert sealed is not None
            kept = [s for s in kept if s not in [d.step for d in sealed.drop_states]]
            kept += [state.step for state in sealed.states]
            assert kept[-1] == step + 1
        gaps = [b - a for a, b in zip([0, *kept], kept, strict=False)]
        assert max(gaps) <= 4
        assert len(kept) <= 30 // 4 * 2


def _disk_full(*_: object) -> None:
    raise StorageError("No space left on device")
