"""Checkpoints in a bucket: copied once, checked, used without the bucket afterwards."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

import tests.s3
from mplus_ray.model.checkpoint import staged as staging
from mplus_ray.model.checkpoint.hub import checkpoint_name, find_checkpoint
from mplus_ray.model.checkpoint.staged import bucket_name, in_bucket, staged
from mplus_ray.model.errors import CheckpointError, InvalidInputError, StorageError
from mplus_ray.model.mplus import MPlus
from mplus_ray.model.object_store.object_store import ObjectStore
from tests.checkpoints import write_checkpoint
from tests.s3 import S3

s3 = tests.s3.s3

# argv: the URL and the cache.
PROCESS = """
import sys
from pathlib import Path
from mplus_ray.model.checkpoint.staged import staged

print(staged(sys.argv[1], Path(sys.argv[2]), lambda what: print(what, flush=True)))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MPLUS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def url(s3: S3, checkpoint) -> str:
    """A bucket's folder with the checkpoint in it, and something that is none of it."""
    url = s3.url(f"{uuid.uuid4().hex}/mplus-in-bucket")
    store = ObjectStore.open(url)
    for path in checkpoint.iterdir():
        store.put(path.name, path.read_bytes())
    store.put("optimizer.pt", b"large")
    store.put("old/config.json", b"{}")
    return url


def sums(checkpoint: Path) -> str:
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in checkpoint.iterdir()
    )


def test_it_is_copied_once_and_then_needs_no_bucket(url, root, checkpoint, monkeypatch):
    said: list[str] = []
    folder = staged(url, say=said.append)
    assert [line.partition(":")[0] for line in said] == ["copying s3"]
    assert {p.name for p in folder.iterdir()} == {
        *(p.name for p in checkpoint.iterdir()),
        "manifest.json",
    }
    monkeypatch.setattr(ObjectStore, "open", lambda *_: pytest.fail("the bucket was asked"))
    assert find_checkpoint(url) == folder
    assert MPlus.load(url).fingerprint == MPlus.load(checkpoint).fingerprint


def test_its_name_is_the_last_part_of_its_path(url):
    assert checkpoint_name(url) == "mplus-in-bucket"
    assert bucket_name("gs://bucket") == "bucket"
    assert in_bucket("gs://bucket/a")
    assert not in_bucket("org/name")
    assert not in_bucket("/a/folder")


def test_several_processes_copy_it_once(url, root):
    command = [sys.executable, "-c", PROCESS, url, str(root)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert told[0][-1] == told[1][-1] == str(staged(url))
    assert sum(line.startswith("copying") for lines in told for line in lines) == 1


def test_a_damaged_copy_is_made_again(url, root):
    folder = staged(url)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    assert staged(url) == folder
    assert (folder / "model.safetensors").read_bytes() == whole


def test_nothing_is_kept_of_a_copy_that_breaks_off(url, root, monkeypatch):
    def read(self, name, ranges):
        if name == "model.safetensors":
            raise StorageError("the bucket went away")
        return whole(self, name, ranges)

    whole = ObjectStore.read_ranges
    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "read_ranges", read)
        with pytest.raises(StorageError, match="went away"):
            staged(url)
    assert not [path for path in root.rglob("*") if path.is_dir() and path.name != "staged"]
    MPlus.load(staged(url))


def test_long_files_come_in_pieces(url, root, checkpoint, monkeypatch):
    monkeypatch.setattr(staging, "_PIECE", 1000)
    folder = staged(url)
    for path in checkpoint.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_sums_beside_the_files_are_checked(url, root, checkpoint):
    store = ObjectStore.open(url)
    store.put("SHA256SUMS", sums(checkpoint).encode())
    staged(url)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("  model.safe", "x  model.safe"), "has a line"),
        (lambda text: text + f"{'0' * 64} *./more.safetensors\n", "more.safetensors is missing"),
        (
            lambda text: "\n".join(
                "0" * 64 + line[64:] if line.endswith("model.safetensors") else line
                for line in text.splitlines()
            ),
            "model.safetensors is not what SHA256SUMS says",
        ),
    ],
)
def test_sums_that_do_not_hold(url, root, checkpoint, change, said):
    ObjectStore.open(url).put("SHA256SUMS", change(sums(checkpoint)).encode())
    with pytest.raises(CheckpointError, match=said):
        staged(url)
    assert not list(root.glob("staged/*"))


def test_files_that_change_meanwhile(url, root, monkeypatch):
    def listed(store):
        found = whole(store)
        store.put(f"{uuid.uuid4().hex}.json", b"{}")
        return found

    whole = staging._listed
    monkeypatch.setattr(staging, "_listed", listed)
    with pytest.raises(CheckpointError, match="was changed while it was copied"):
        staged(url)


def test_what_is_not_there_or_not_whole(s3, root, checkpoint):
    empty = s3.url(uuid.uuid4().hex)
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        staged(empty)
    store = ObjectStore.open(empty)
    store.put("config.json", (checkpoint / "config.json").read_bytes())
    weights = (checkpoint / "model.safetensors").read_bytes()
    store.put("model.safetensors", weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="is damaged"):
        staged(empty)
    with pytest.raises(StorageError, match="there is no bucket"):
        staged(s3.url("x", bucket="no-such-bucket"))
    with pytest.raises(InvalidInputError, match="carries credentials"):
        staged("s3://key:secret@bucket/x")
