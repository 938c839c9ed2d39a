"""A GGUF file as the folder that training adapts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mplus_ray.model.checkpoint.backbone_folder import backbone_folder
from mplus_ray.model.checkpoint.gguf import read_gguf
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.generation.tokenizer import TextTokenizer
from tests.gguf_files import write_gguf


def test_a_file_becomes_a_folder_once(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(file)
    said: list[str] = []

    folders = [backbone_folder(str(file), tmp_path / "cache", said.append) for _ in range(2)]

    assert folders[0] == folders[1]
    assert len(said) == 1
    saved = load_file(Path(folders[0]) / "model.safetensors")
    for name, tensor in read_gguf(file).tensors.items():
        assert torch.equal(saved[name], tensor.to(torch.bfloat16)), name
    assert TextTokenizer.load(Path(folders[0])).encode("a word")


def test_everything_else_stays_what_it_is(tmp_path: Path) -> None:
    assert backbone_folder("an/id") == "an/id"
    assert backbone_folder(str(tmp_path)) == str(tmp_path)
    with pytest.raises(CheckpointError, match="no file"):
        backbone_folder(str(tmp_path / "absent.gguf"), tmp_path / "cache")
