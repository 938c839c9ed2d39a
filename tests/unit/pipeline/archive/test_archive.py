"""A tenant leaves as one file and arrives whole, or not at all."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mplus_ray.pipeline.archive.importer
from mplus_ray.model import MPlus
from mplus_ray.model.errors import (
    BusyError,
    DamagedFileError,
    FingerprintMismatchError,
    InvalidInputError,
    StorageError,
)
from mplus_ray.model.object_store.object_store import ObjectStore
from mplus_ray.model.object_store.object_store import checksum as hash_of
from mplus_ray.pipeline.archive.exporter import export_tenant
from mplus_ray.pipeline.archive.format import Archive
from mplus_ray.pipeline.archive.importer import import_tenant
from mplus_ray.pipeline.ledger.tenant import LIMITS
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.audit import history_at
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.maintenance.tenant_lifecycle import delete, sweep
from mplus_ray.pipeline.workers.catch_up import catch_up, is_cold
from tests.checkpoints import write_checkpoint
from tests.worlds import World, load_model, log_of, make_text, many_files, opened, row_bytes

DOCUMENTS = [(name, make_text(name, steps)) for name, steps in (("a", 3), ("b", 1), ("c", 5))]
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    return load_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def world(model: MPlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    many_files(monkeypatch.setattr)
    with opened(model, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "rows") as world:
        yield world


@pytest.fixture
def anna(world: World) -> TenantLog:
    settings = {"precision": "int8", "max_documents": 9, "threshold": 0.25}
    quotas = {"session": {"max_documents": 3, "max_bytes": None}}
    log = world.grow("anna", DOCUMENTS, **settings, attribute_quotas=quotas)
    log.snapshots.take("early", 2)
    return log


@pytest.fixture(scope="module")
def there(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An installation that nothing arrives at."""
    folder = tmp_path_factory.mktemp("there")
    with opened(model, f"sqlite:///{folder / 'ledger.db'}", folder / "rows") as world:
        yield world


@pytest.fixture(scope="module")
def whole(model: MPlus, tmp_path_factory: pytest.TempPathFactory) -> Members:
    """A sound archive with several files of rows and states."""
    folder = tmp_path_factory.mktemp("whole")
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(model, f"sqlite:///{folder / 'ledger.db'}", folder / "rows") as world,
    ):
        many_files(patch.setattr)
        log = world.grow("anna", DOCUMENTS, precision="int8")
        log.snapshots.take("early", 2)
        return unpack(export(world, log))


def export(world: World, log: TenantLog, with_memory: bool = True) -> Path:
    target = world.folder.with_name("anna.tar")
    export_tenant(world.engine, log, target, with_memory)
    return target


def take(world: World, file: Path, name: str | None = "bela", memory: bool = True) -> TenantLog:
    with Archive(file) as archive:
        return import_tenant(world.engine, archive, name, world.model if memory else None)


@pytest.mark.parametrize("memory", [True, False])
def test_a_tenant_arrives_as_it_was(world: World, anna: TenantLog, memory: bool) -> None:
    bela = take(world, export(world, anna, memory), memory=memory)
    assert is_cold(bela) is not memory
    catch_up(world.engine, [bela])
    assert log_of(bela) == log_of(anna)
    for as_of in (None, 2, 5):
        assert world.digest(bela, as_of) == world.digest(anna, as_of)
    assert bela.snapshots.list() == anna.snapshots.list()
    for setting in ("seed", "precision", "retention", "geometry", "fingerprint", *LIMITS):
        assert getattr(bela.tenant, setting) == getattr(anna.tenant, setting)
    dates = [(d.created, d.memorized) for d in anna.documents()]
    assert [(d.created, d.memorized) for d in bela.documents()] == dates
    for log in (anna, bela):
        world.accept(log, "d", make_text("d", 4))
        catch_up(world.engine, [log])
        assert not verify(world.engine, log).damaged
    assert world.digest(bela) == world.digest(anna)


def test_what_waits_arrives_too_and_it_keeps_its_name(
    world: World, anna: TenantLog, model: MPlus, tmp_path: Path
) -> None:
    world.accept(anna, "d", make_text("d", 4))
    file = export(world, anna)
    with opened(model, f"sqlite:///{tmp_path / 'there.db'}", tmp_path / "there") as there:
        log = take(there, file, name=None)
        assert log.tenant.name == "anna"
        assert (log.heads.serving().head.step, log.length()) == (9, 13)
        catch_up(there.engine, [log])
        catch_up(world.engine, [anna])
        assert there.digest(log) == world.digest(anna)


def test_one_from_before_the_service_arrives(there: World, whole: Members, tmp_path: Path) -> None:
    """Its manifest knows fewer limits."""
    members = dict(whole)
    known = ("max_documents", "max_bytes", "cold_after")
    newer = [name for name in LIMITS if name not in known]

    def age(manifest: dict[str, Any]) -> None:
        for name in newer:
            del manifest["tenant"][name]

    in_manifest(members, age)
    pack(tmp_path / "old.tar", members)
    log = take(there, tmp_path / "old.tar", "old")
    assert [getattr(log.tenant, name) for name in newer] == [None] * len(newer)
    delete(there.engine, "old")


def test_an_empty_tenant_is_one_too(world: World) -> None:
    log = world.tenant("anna")
    bela = take(world, export(world, log))
    assert log_of(bela) == log_of(log) == ([], [])


def test_a_fork_takes_nothing_of_its_parents_future_along(
    world: World, anna: TenantLog, model: MPlus
) -> None:
    step = next(s.end - 1 for s in anna.heads.serving().shards if s.steps > 1)
    history = history_at(anna, model.tokenizer, step)
    fork = world.ledger.fork_tenant(anna, "fork", step, history)
    later, own = (row_bytes(world, anna, at, at + 1) for at in (step, step - 1))
    data = export(world, fork).read_bytes()
    assert not any(row in data for row in later)
    assert all(row in data for row in own)
    assert world.digest(take(world, world.folder.with_name("anna.tar"))) == world.digest(fork)


class TestRefusals:
    def test_a_document_that_is_being_forgotten_does_not_leave(
        self, world: World, anna: TenantLog
    ) -> None:
        anna.forgets.request("b")
        with pytest.raises(InvalidInputError, match="is being forgotten"):
            export(world, anna)
        assert not list(world.folder.parent.glob("*.tar"))
        assert not list(world.folder.parent.glob(".mplus-*"))

    def test_no_file_is_overwritten(self, world: World, anna: TenantLog) -> None:
        export(world, anna, with_memory=False)
        with pytest.raises(InvalidInputError, match="exists; remove it"):
            export(world, anna)

    def test_a_damaged_memory_does_not_leave(self, world: World, anna: TenantLog) -> None:
        path = world.files.path(anna.heads.serving().states[-1].file)
        assert path is not None
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(DamagedFileError):
            export(world, anna)
        assert not list(world.folder.parent.glob("*.tar"))

    def test_a_place_that_is_none_is_named(self, world: World, anna: TenantLog) -> None:
        with pytest.raises(StorageError, match="cannot be written"):
            export_tenant(world.engine, anna, world.folder / "gone" / "a.tar")

    def test_a_name_that_is_taken(self, world: World, anna: TenantLog) -> None:
        file = export(world, anna)
        assert_refused(world, file, "there is a tenant 'anna' already", name=None)

    def test_another_models_memory(
        self, world: World, anna: TenantLog, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("other") / "model"
        write_checkpoint(folder, seed=1, num_hidden_layers=2, retrieval="blocks")
        file = export(world, anna)
        with (
            Archive(file) as archive,
            pytest.raises(FingerprintMismatchError, match="--documents-only"),
        ):
            import_tenant(world.engine, archive, "bela", MPlus.load(folder, device="cpu"))
        assert [s.tenant.name for s in world.ledger.tenants()] == ["anna"]


def assert_refused(
    world: World, file: Path, said: str, name: str | None = "bela", memory: bool = True
) -> None:
    names, before = world.names(), world.ledger.tenants()
    with pytest.raises(InvalidInputError, match=said):
        take(world, file, name, memory)
    assert world.names() == names
    assert world.ledger.tenants() == before
    assert world.ledger.marked.list() == []


def unpack(file: Path) -> Members:
    with tarfile.open(file) as tar:
        return {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]


def pack(file: Path, members: Members) -> None:
    """Write an archive whose manifest has the checksums of what is in it."""
    manifest = json.loads(members["manifest.json"])
    manifest["members"] = {
        name: {"nbytes": len(data), "checksum": hash_of(data)}
        for name, data in members.items()
        if not name.startswith("manifest.")
    }
    said = json.dumps(manifest).encode()
    own = {"manifest.json": said, "manifest.checksum": hash_of(said).encode()}
    pack_as_it_is(file, {**members, **own})


def pack_as_it_is(file: Path, members: Members) -> None:
    with tarfile.open(file, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def in_manifest(members: Members, change: Callable[[Any], None]) -> None:
    manifest = json.loads(members["manifest.json"])
    change(manifest)
    members["manifest.json"] = json.dumps(manifest).encode()


def in_document(members: Members, **fields: Any) -> None:
    first, _, rest = members["documents.ndjson"].partition(b"\n")
    members["documents.ndjson"] = (
        json.dumps({**json.loads(first), **fields}).encode() + b"\n" + rest
    )


def swap(members: Members, one: str, other: str) -> None:
    members[one], members[other] = members[other], members[one]


# What somebody could write who knows the format: checksums are right, the content is not.
FORGED: dict[str, tuple[Callable[[Members], Any], str]] = {
    "a newer format": (lambda m: in_manifest(m, lambda f: f.update(format=2)), "format"),
    "an unknown field": (lambda m: in_manifest(m, lambda f: f.update(more=1)), "more"),
    "a seed as text": (lambda m: in_manifest(m, lambda f: f["tenant"].update(seed="1")), "seed"),
    "a manifest that is no JSON": (lambda m: m.update({"manifest.json": b"{}"}), "Field required"),
    "another text": (lambda m: in_document(m, text="x" * 900), "not the one that was taken in"),
    "a chunk outside": (lambda m: in_document(m, chunks=[[0, 10**6, 1]]), "does not lie in"),
    "a chunk of two": (lambda m: in_document(m, chunks=[[0, 1]]), "does not lie in"),
    "an id that no ledger takes": (lambda m: in_document(m, key="a\0"), "no ledger takes"),
    "an id that is there twice": (lambda m: in_document(m, key="b"), "there twice"),
    "sections of nothing": (lambda m: in_document(m, metadata={"sections": [1]}), "sections"),
    "a line that is no JSON": (lambda m: m.update({"documents.ndjson": b"x\n"}), "line 1"),
    "a document less": (
        lambda m: m.update({"documents.ndjson": m["documents.ndjson"].partition(b"\n")[2]}),
        "2 documents",
    ),
    "another history": (lambda m: in_manifest(m, lambda f: f.update(history="00")), "not of these"),
    "a step beyond": (lambda m: in_manifest(m, lambda f: f.update(step=99)), "documents with"),
    "rows that end early": (lambda m: in_manifest(m, lambda f: f.update(step=8)), "not of these"),
    "a gap in the rows": (
        lambda m: in_manifest(m, lambda f: f["memory"]["shards"][1].update(first_step=3)),
        "go on at step 3",
    ),
    "rows of other steps": (lambda m: swap(m, "rows/000000.arrow", "rows/000001.arrow"), "holds"),
    "rows of another precision": (
        lambda m: in_manifest(m, lambda f: f["tenant"].update(precision="float32")),
        "holds",
    ),
    "rows that are none": (lambda m: m.update({"rows/000000.arrow": b"x" * 99}), "no row shard"),
    "a state that is none": (lambda m: m.update({"states/000000.state": b"x"}), "states/000000"),
    "a state of another step": (
        lambda m: swap(m, "states/000000.state", "states/000001.state"),
        "it is of step",
    ),
    "a snapshot of the future": (
        lambda m: m.update(
            {"snapshots.json": b'{"snapshots":[{"name":"x","step":99,"created":1}]}'}
        ),
        "of a step",
    ),
    "a member too many": (lambda m: m.update({"more": b""}), "'more' is missing or does not"),
    "a member too few": (lambda m: m.pop("rows/000000.arrow"), "'rows/000000.arrow' is missing"),
    "a path out of it": (lambda m: m.update({"../evil": b"x"}), "'../evil' is missing or does not"),
    "an absolute path": (lambda m: m.update({"/tmp/evil": b"x"}), "does not belong there"),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_archive_is_refused(
    there: World, whole: Members, tmp_path: Path, case: str
) -> None:
    change, said = FORGED[case]
    members = dict(whole)
    change(members)
    pack(tmp_path / "forged.tar", members)
    assert_refused(there, tmp_path / "forged.tar", said)


def test_what_was_not_changed_is_taken(world: World, whole: Members, tmp_path: Path) -> None:
    pack(tmp_path / "same.tar", dict(whole))
    assert take(world, tmp_path / "same.tar").length() == 9


def test_a_link_in_an_archive_is_refused(there: World, whole: Members, tmp_path: Path) -> None:
    file = tmp_path / "link.tar"
    pack(file, whole)
    with tarfile.open(file, "a") as tar:
        link = tarfile.TarInfo("rows/000099.arrow")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert_refused(there, file, "is no plain file")


def test_damage_anywhere_is_found(there: World, whole: Members, tmp_path: Path) -> None:
    file = tmp_path / "damaged.tar"
    for name, data in whole.items():
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        pack_as_it_is(file, {**whole, name: flipped})
        assert_refused(there, file, "not a whole archive")
    pack_as_it_is(file, whole)
    content = file.read_bytes()
    for length in (0, 100, 512, len(content) // 2):
        file.write_bytes(content[:length])
        assert_refused(there, file, "not a whole archive")


def test_what_is_no_archive_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="does not exist"):
        Archive(tmp_path / "gone.tar")
    with pytest.raises(InvalidInputError, match="is a folder"):
        Archive(tmp_path)
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz"):
        pass
    with pytest.raises(InvalidInputError, match="no tar file"):
        Archive(tmp_path / "packed.tar.gz")


class TestInterrupted:
    def test_a_full_disk_leaves_nothing(
        self, world: World, anna: TenantLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file, names = export(world, anna), world.names()
        put, left = ObjectStore.put, iter(range(2))

        def full(self: ObjectStore, name: str, data: bytes) -> None:
            if next(left, None) is None:
                raise StorageError("free some space")
            put(self, name, data)

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, "put", full)
            with pytest.raises(StorageError, match="free some space"):
                take(world, file)
        assert (world.names(), world.ledger.marked.list()) == (names, [])
        assert world.digest(take(world, file)) == world.digest(anna)

    @pytest.mark.parametrize("ended_by", ["sweep", "import"])
    def test_a_kill_leaves_nothing_that_stays(
        self, world: World, anna: TenantLog, monkeypatch: pytest.MonkeyPatch, ended_by: str
    ) -> None:
        file, names = export(world, anna), world.names()

        def killed(*_: object) -> None:
            raise SystemExit

        with monkeypatch.context() as patch:
            patch.setattr(mplus_ray.pipeline.archive.importer, "_fill", killed)
            patch.setattr(mplus_ray.pipeline.archive.importer, "remove", lambda *_: None)
            with pytest.raises(SystemExit):
                take(world, file)
        assert world.names() > names
        assert [s.tenant.name for s in world.ledger.tenants()] == ["anna"]
        if ended_by == "sweep":
            assert sweep(world.engine)["removed"] == 1
            assert world.ledger.marked.list() == []
        assert world.digest(take(world, file)) == world.digest(anna)
        assert len(world.ledger.tenants()) == 2
        assert world.names() == anna.heads.files() | world.ledger.tenant("bela").heads.files()

    def test_a_sweep_in_between_is_told(
        self, world: World, anna: TenantLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = export(world, anna, with_memory=False)
        reserve = world.ledger.marked.reserve

        def swept(tenant: Any) -> TenantLog:
            log = reserve(tenant)
            sweep(world.engine)
            return log

        monkeypatch.setattr(world.ledger.marked, "reserve", swept)
        with pytest.raises(BusyError, match="begin again"):
            take(world, file, memory=False)
        assert len(world.ledger.tenants()) == 1
