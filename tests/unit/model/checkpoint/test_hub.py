"""Finding checkpoints, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.checkpoint.hub import find_checkpoint
from mplus_ray.model.errors import CheckpointError


def test_a_folder_is_itself(tmp_path):
    assert find_checkpoint(str(tmp_path)) == tmp_path


def test_a_file_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="is a file; a checkpoint is the folder"):
        find_checkpoint(str(path))


@pytest.mark.parametrize("source", ["/no/such/folder", "nowhere", "", "a/b/c", "../x/y", "a b/c"])
def test_what_is_neither_a_folder_nor_a_hub_id(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="there is no folder"):
        find_checkpoint(source)


def test_a_hub_id_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no folder nobody/nothing here, and no checkpoint"):
        find_checkpoint("nobody/nothing")


def test_a_folder_that_is_missing_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    """What is meant as a folder gets no word about the internet."""
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.chdir(tmp_path)

    def hub(*arguments, **options):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", hub)
    for source in ("checkpoints/mine", "./mine", "../mine", str(tmp_path / "mine"), Path("a/b")):
        with pytest.raises(CheckpointError, match="there is no folder") as refused:
            MPlus.load(source)
        assert "internet" not in str(refused.value)


def test_a_cached_hub_id_is_found(tmp_path, monkeypatch):
    """The layout of the hub's own cache, offline."""
    commit = "0" * 40
    home = tmp_path / "models--someone--mplus"
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    assert find_checkpoint("someone/mplus") == snapshot
