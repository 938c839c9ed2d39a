"""A memory in a folder: bit for bit, added to, and never half there, whatever fails."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mplus_ray.model.errors import FingerprintMismatchError, StorageError
from mplus_ray.model.memory.saved_memory import restore_memory, save_memory
from tests.forms import build, chunks, first, grow, load, same_memory, step
from tests.official import LORA, write_official
from tests.paths import ROOT


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return build(tmp_path_factory.mktemp("model"), "empty start")[0]


def restored(networks, folder):
    return restore_memory(first(networks), folder)


def further(networks, memory, steps):
    for chunk in chunks(networks.reader.config, steps, seed=77):
        memory = step(networks, memory, chunk)
    return memory


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 11])
def test_a_round_trip_is_bit_for_bit_and_goes_on_alike(tmp_path, dtype, steps):
    config, _ = write_official(tmp_path / "model", genesis=6, lora_config=LORA)
    networks = load(tmp_path / "model", config, dtype)
    memory = grow(networks, steps, seed=steps, dtype=dtype)
    save_memory(memory, tmp_path / "saved")
    back = restore_memory(first(networks, dtype=dtype), tmp_path / "saved")
    same_memory(back, memory)
    same_memory(further(networks, back, 3), further(networks, memory, 3))


@pytest.mark.parametrize("form", ["no retrieval", "K of 1", "multi-query", "one layer"])
def test_a_round_trip_of_another_form(tmp_path, form):
    networks, _ = build(tmp_path / "model", form)
    memory = grow(networks, 9)
    save_memory(memory, tmp_path / "saved")
    same_memory(restored(networks, tmp_path / "saved"), memory)


def test_the_largest_seed_survives(networks, tmp_path):
    memory = grow(networks, 6, seed=(1 << 128) - 1)
    save_memory(memory, tmp_path)
    same_memory(restored(networks, tmp_path), memory)


def test_a_later_save_adds_only_what_is_new(networks, tmp_path):
    memory = grow(networks, 5)
    save_memory(memory, tmp_path)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.arrow")}
    later = further(networks, memory, 2)
    save_memory(later, tmp_path)
    after = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.arrow")}
    assert len(before) == 1
    assert len(after) == 2
    assert before.items() <= after.items()
    same_memory(restored(networks, tmp_path), later)
    assert len(list(tmp_path.glob("state-*"))) == 1, "the old state is garbage"


def test_saving_the_same_memory_again_writes_nothing(networks, tmp_path):
    memory = grow(networks, 5)
    save_memory(memory, tmp_path)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    save_memory(memory, tmp_path)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


def test_a_restored_memory_can_be_saved_on(networks, tmp_path):
    save_memory(grow(networks, 3), tmp_path)
    later = further(networks, restored(networks, tmp_path), 4)
    save_memory(later, tmp_path)
    same_memory(restored(networks, tmp_path), later)


def another_seed(networks):
    return grow(networks, 6, seed=1)


def another_log(networks):
    return step(networks, grow(networks, 5), [1, 2, 3])


def an_earlier_one(networks):
    return grow(networks, 4)


def a_later_one_of_another_log(networks):
    return further(networks, step(networks, grow(networks, 3), [1]), 4)


@pytest.mark.parametrize(
    "make", [another_seed, another_log, an_earlier_one, a_later_one_of_another_log]
)
def test_another_memory_is_not_saved_over(networks, tmp_path, make):
    memory = first(networks)
    for chunk in chunks(networks.reader.config, 6):
        memory = step(networks, memory, chunk)
    save_memory(memory, tmp_path)
    with pytest.raises(StorageError, match="another memory than the one being saved"):
        save_memory(make(networks), tmp_path)
    same_memory(restored(networks, tmp_path), memory)


def test_other_weights_are_refused(networks, tmp_path):
    save_memory(grow(networks, 2), tmp_path)
    other = first(networks)
    other = replace(other, fingerprint="other")
    with pytest.raises(FingerprintMismatchError, match="made with weights tiny, but other"):
        restore_memory(other, tmp_path)


def test_another_precision_is_refused(networks, tmp_path):
    save_memory(grow(networks, 2), tmp_path)
    with pytest.raises(FingerprintMismatchError, match="load it with precision='float32'"):
        restore_memory(first(networks, dtype=torch.bfloat16), tmp_path)


def test_nothing_saved(networks, tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(StorageError, match="holds no saved memory"):
            restored(networks, folder)


@pytest.fixture(scope="module")
def saved(networks, tmp_path_factory):
    """Two shards and a state."""
    folder = tmp_path_factory.mktemp("saved")
    memory = grow(networks, 3)
    save_memory(memory, folder)
    save_memory(further(networks, memory, 2), folder)
    return folder


def files(folder):
    return sorted(p.name for p in folder.iterdir() if p.name != "memory.json")


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("damage", ["missing", "torn", "empty", "flipped"])
def test_a_damaged_file_is_noticed(networks, saved, tmp_path, which, damage):
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    path = folder / files(folder)[which]
    raw = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(raw) // 2
        flipped = raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]
        path.write_bytes({"torn": raw[:-7], "empty": b"", "flipped": flipped}[damage])
    with pytest.raises(StorageError, match=path.name):
        restored(networks, folder)


def test_no_flipped_bit_of_the_manifest_goes_unnoticed(networks, saved, tmp_path):
    """Or else a memory goes on with other drops, and nobody knows."""
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    path = folder / "memory.json"
    raw = path.read_bytes()
    expected = restored(networks, saved)
    for at in range(len(raw)):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        try:
            back = restored(networks, folder)
        except (StorageError, FingerprintMismatchError):
            continue
        same_memory(back, expected)  # blank space may change


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"format": 1}', "\x00\xff"])
def test_a_manifest_that_is_none(networks, tmp_path, text):
    (tmp_path / "memory.json").write_text(text, encoding="latin-1")
    with pytest.raises(StorageError, match=r"memory\.json"):
        restored(networks, tmp_path)
    with pytest.raises(StorageError, match=r"memory\.json"):
        save_memory(grow(networks, 1), tmp_path)


def test_a_manifest_of_another_format(networks, saved, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    raw = json.loads((folder / "memory.json").read_text())
    (folder / "memory.json").write_text(json.dumps({**raw, "format": 99}))
    with pytest.raises(StorageError, match="memory format 99"):
        restored(networks, folder)


class Failing:
    """The operating system refuses the n-th of all file operations that a save makes."""

    def __init__(self, monkeypatch, at):
        self.count, self.at = 0, at
        for owner, name in (
            (os, "fsync"),
            (os, "replace"),
            (os, "rename"),
            (os, "unlink"),
            (Path, "replace"),
            (os, "link"),
            (os, "write"),
            (os, "mkdir"),
            (Path, "mkdir"),
            (Path, "unlink"),
            (Path, "open"),
        ):
            monkeypatch.setattr(owner, name, self.wrap(getattr(owner, name)))

    def wrap(self, real):
        def operation(*args, **kwargs):
            self.count += 1
            if self.count == self.at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        return operation


def test_whatever_fails_a_complete_memory_is_there(networks, tmp_path):
    """Every operation of a save fails in turn, also when cleaning up after the failure does."""
    before = grow(networks, 3)
    after = further(networks, before, 2)
    failures, at, said = 0, 0, ""
    while True:
        at += 1
        folder = tmp_path / str(at)
        save_memory(before, folder)
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, at)
            try:
                save_memory(after, folder)
                failed = False
            except StorageError as refused:
                said, failed = str(refused), True
        back = restored(networks, folder)
        same_memory(back, before if back.step == 3 else after)
        if failed:
            assert "No space left on device; free some space" in said
        else:
            assert back.step == 5
        if failing.count < at:
            break
        failures += failed
        save_memory(after, folder)  # and once there is space again, all is well
        same_memory(restored(networks, folder), after)
        assert not list(folder.glob("*.tmp"))
    assert failures >= 8, "the operations of a save were not reached"


def test_a_first_save_that_fails_leaves_nothing_to_restore(networks, tmp_path):
    at = 0
    while True:
        at += 1
        folder = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, at)
            with contextlib.suppress(StorageError):
                save_memory(grow(networks, 2), folder)
        if failing.count < at:
            break
        if (folder / "memory.json").exists():
            assert restored(networks, folder).step == 2
        else:
            with pytest.raises(StorageError, match="no saved memory"):
                restored(networks, folder)
    assert at > 8


_FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from mplus_ray.model.errors import StorageError
from tests.forms import first, grow, load, step
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.memory.saved_memory import save_memory
folder = Path({folder!r})
networks = load(folder / "model", ModelConfig.load(folder / "model"))
memory = grow(networks, 2)
save_memory(memory, folder / "saved")
later = memory
for _ in range(6):
    later = step(networks, later, [1, 2, 3])
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
try:
    save_memory(later, folder / "saved")
except StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [100, 2000])
def test_a_full_disk_leaves_the_memory_as_it_was(tmp_path, limit):
    """A real refusal, in the middle of a file."""
    networks, _ = build(tmp_path / "model", "empty start")
    root = str(ROOT)
    code = _FULL_DISK.format(root=root, folder=str(tmp_path), limit=limit)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "raise the limit on the size of files" in done.stdout
    same_memory(restored(networks, tmp_path / "saved"), grow(networks, 2))
    assert not list((tmp_path / "saved").glob("*.tmp"))


def test_a_folder_that_is_a_file(networks, tmp_path):
    path = tmp_path / "file"
    path.write_text("not a folder")
    with pytest.raises(StorageError, match="a file stands where a folder is wanted"):
        save_memory(grow(networks, 1), path)
    with pytest.raises(StorageError):
        restored(networks, path)
    assert path.read_text() == "not a folder"


def test_other_files_in_the_folder_are_left_alone(networks, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    memory = grow(networks, 1)
    save_memory(memory, tmp_path)
    save_memory(further(networks, memory, 1), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
