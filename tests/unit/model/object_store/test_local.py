"""A storage on the disk: what fails leaves nothing, and what is kept is durable."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from mplus_ray.model.errors import (
    StorageError,
)
from mplus_ray.model.object_store.object_store import ObjectStore
from tests.unit.model.object_store.files import BODY, KIB, NAME


def everything(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*"))


def place(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def test_a_full_disk_leaves_nothing(
    local: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    local.put("kept", b"kept")
    before = everything(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="free some space"):
        local.put(NAME, BODY)
    assert everything(tmp_path) == before


def test_a_name_that_cannot_be_made_durable_is_taken_back(
    local: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def broken_for_folders(descriptor: int) -> None:
        if place(descriptor).endswith("head"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    local.put("kept", b"kept")
    before = everything(tmp_path)
    monkeypatch.setattr(os, "fsync", broken_for_folders)
    with pytest.raises(StorageError, match="Input/output error"):
        local.put(NAME, BODY)
    assert everything(tmp_path) == before


def test_a_write_that_stops_half_way_leaves_nothing(local: ObjectStore, tmp_path: Path) -> None:
    local.put("kept", b"kept")
    before = everything(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 * KIB, hard))
    try:
        with pytest.raises(StorageError, match="limit"):
            local.put(NAME, BODY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert everything(tmp_path) == before


def test_every_new_folder_is_flushed(
    local: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        flushed.append(place(descriptor))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    local.put(NAME, BODY)
    rows = tmp_path / "rows"
    folders = {str(rows / "tenant/head"), str(rows / "tenant"), str(rows), str(tmp_path)}
    assert flushed[0].endswith(".tmp")
    assert flushed[1] == str(rows / "tenant/head")
    assert set(flushed[1:]) == folders
    flushed.clear()
    local.put("tenant/head/second", BODY)
    assert flushed[1:] == [str(rows / "tenant/head")]


def test_a_file_system_without_links(local: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    local.put(NAME, BODY)
    assert list(local.list()) == [(NAME, len(BODY))]


def test_a_name_taken_while_writing_is_refused(
    local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def slow(source: Path, target: Path) -> None:
        target.write_bytes(b"theirs")
        link(source, target)

    monkeypatch.setattr(os, "link", slow)
    with pytest.raises(StorageError, match="exists already"):
        local.put(NAME, BODY)
    assert local.read(NAME).to_pybytes() == b"theirs"
    assert list(local.list()) == [(NAME, 6)]


def test_a_folder_that_another_process_removes_is_made_again(
    local: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open
    removed: list[Path] = []

    def late(self: Path, mode: str) -> object:
        if not removed and self.suffix == ".tmp":
            self.parent.rmdir()
            removed.append(self)
        return opened(self, mode)

    monkeypatch.setattr(Path, "open", late)
    local.put(NAME, BODY)
    assert removed
    assert local.read(NAME).to_pybytes() == BODY


def test_empty_folders_go_and_the_root_stays(local: ObjectStore, tmp_path: Path) -> None:
    local.put(NAME, BODY)
    local.put("tenant/other", BODY)
    local.delete([NAME])
    assert everything(tmp_path / "rows") == [
        tmp_path / "rows/tenant",
        tmp_path / "rows/tenant/other",
    ]
    local.delete_tree("tenant")
    assert everything(tmp_path) == [tmp_path / "rows"]


def test_a_half_written_file_is_listed_and_can_be_deleted(
    local: ObjectStore, tmp_path: Path
) -> None:
    local.put(NAME, BODY)
    half = tmp_path / "rows/tenant/head/b.0.tmp"
    half.write_bytes(b"123")
    assert ("tenant/head/b.0.tmp", 3) in set(local.list("tenant/"))
    local.delete(["tenant/head/b.0.tmp"])
    assert not half.exists()


def test_a_path_that_cannot_hold_files_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=f"{tmp_path}/file"):
        ObjectStore.open(str(tmp_path / "file")).put("a", b"")
