"""Backbones out of GGUF files: the numbers are those of transformers, and nothing is left out."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from mplus_ray.model.checkpoint.backbone import init_from_backbone
from mplus_ray.model.checkpoint.backbone_shard import hash_tensors
from mplus_ray.model.checkpoint.gguf import read_gguf
from mplus_ray.model.checkpoint.hub import find_checkpoint
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.generation.read_pass import begin
from mplus_ray.model.mplus import MPlus
from tests.forms import first, load, view, worst
from tests.gguf_files import ROPE_FACTORS, write_gguf

MEMORY: dict[str, Any] = {
    "num_tokens": 4,
    "num_blocks": 6,
    "num_ltm_blocks": 2,
    "chunk_tokens": 16,
    "selector_hidden_dim": 8,
}
PROMPT = [7, 3, 250, 11, 4, 4, 99, 180, 42, 201, 15, 16, 2, 9]
REAL = Path(os.environ.get("MPLUS_TEST_GGUF", ""))  # of SmolLM2-135M-Instruct, for example


def logits_apart(path: Path, out: Path) -> float:
    """The greatest difference between our logits, without a memory, and those of transformers."""
    config = init_from_backbone(str(path), out, **MEMORY)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        str(path.parent), gguf_file=path.name, dtype=torch.float32
    ).eval()
    networks = load(out, config)
    start = [1] if config.add_bos_embedding else []
    with torch.no_grad():
        expected = theirs(torch.tensor([start + PROMPT])).logits[0, len(start) :]
    seen = view(networks, first(networks))
    _, logits = begin(networks.reader, [seen], [torch.tensor(PROMPT)], whole=True)
    assert float(expected.abs().max()) > 0.5
    return worst(logits[0], expected)


@pytest.mark.parametrize("quantization", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_1", "Q8_0"])
def test_the_logits_are_those_of_transformers(tmp_path, quantization):
    write_gguf(tmp_path / "tiny.gguf", quantization)
    assert logits_apart(tmp_path / "tiny.gguf", tmp_path / "out") < 1e-4


def test_a_file_whose_model_starts_with_bos_gets_a_start_row(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", metadata={"tokenizer.ggml.add_bos_token": True})
    assert logits_apart(tmp_path / "tiny.gguf", tmp_path / "out") < 1e-4
    assert MPlus.load(tmp_path / "out").config.add_bos_embedding


@pytest.mark.skipif(not REAL.is_file(), reason="MPLUS_TEST_GGUF names no GGUF file")
@pytest.mark.timeout(600)
def test_the_logits_of_a_real_file(tmp_path):
    assert logits_apart(REAL, tmp_path / "out") < 1e-3


def test_the_result_memorizes_and_answers(tmp_path):
    write_gguf(tmp_path / "tiny.gguf")
    init_from_backbone(str(tmp_path / "tiny.gguf"), tmp_path / "out", **MEMORY)
    mplus = MPlus.load(tmp_path / "out")
    assert not mplus.config.add_bos_embedding
    memory = mplus.memorize(mplus.empty_memory(), "Maren Tolva lives in Brelin. " * 5)
    assert mplus.ask(memory, "Where?", max_tokens=3).usage.completion_tokens == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_tokenizer_cuts_text_as_the_file_says(tmp_path):
    """smollm: each digit apart, before blanks and breaks are put together."""
    write_gguf(tmp_path / "tiny.gguf")
    tokenizer = read_gguf(tmp_path / "tiny.gguf").tokenizer
    assert tokenizer.tokenize("x the\n\n12") == ["x", "Ġthe", "ĊĊ", "1", "2"]
    write_gguf(tmp_path / "other.gguf", metadata={"tokenizer.ggml.pre": "gpt-2"})
    other = read_gguf(tmp_path / "other.gguf").tokenizer
    assert other.tokenize("x the\n\n12") == ["x", "Ġthe", "Ċ", "Ċ", "1", "2"]


def test_numbers_do_not_depend_on_the_machine(tmp_path):
    """The same file in another process, with three threads and none of this CPU's extensions."""
    write_gguf(tmp_path / "tiny.gguf", "Q4_1")
    probe = (
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from mplus_ray.model.checkpoint.backbone_shard import hash_tensors\n"
        "from mplus_ray.model.checkpoint.gguf import read_gguf\n"
        "torch.set_num_threads(3)\n"
        "tensors = read_gguf(Path(sys.argv[1])).tensors\n"
        "print(torch.backends.cpu.get_cpu_capability())\n"
        "print(hash_tensors(tensors))\n"
        "print(hash_tensors({name: t.bfloat16() for name, t in tensors.items()}))\n"
    )
    core = import_module("numpy._core._multiarray_umath")
    extensions = [name for name in core.__cpu_dispatch__ if core.__cpu_features__[name]]
    plain = {"ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": " ".join(extensions)}
    done = subprocess.run(
        [sys.executable, "-c", probe, str(tmp_path / "tiny.gguf")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **plain},
    )
    here = read_gguf(tmp_path / "tiny.gguf").tensors
    assert done.stdout.splitlines() == [
        "DEFAULT",
        hash_tensors(here),
        hash_tensors({name: tensor.bfloat16() for name, tensor in here.items()}),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metadata": {"general.architecture": "gpt2"}}, "'gpt2' model; supported GGUF arch"),
        ({"metadata": {"split.count": 3}}, "one of 3 parts; merge"),
        ({"metadata": {"tokenizer.ggml.pre": "poro"}}, "cuts text as 'poro' does; supported"),
        ({"metadata": {"llama.rope.scaling.type": "yarn"}}, "scales its rotary positions"),
        ({"metadata": {"llama.rope.scale_linear": 2.0}}, "scales its rotary positions"),
        ({"tensors": {"rope_freqs.weight": ROPE_FACTORS}}, "unexpected: rope_freqs.weight"),
        ({"tensors": {"blk.1.attn_k.bias": ROPE_FACTORS}}, "unexpected: blk.1.attn_k.bias"),
        ({"tensors": {"blk.2.ffn_up.weight": None}}, "missing: model.layers.2.mlp.up_proj.weight"),
        (
            {"tensors": {"blk.0.ffn_up.weight": np.zeros((32, 32), np.float32)}},
            "tiny.gguf cannot be read as GGUF|missing: .*up_proj",
        ),
        ({"metadata": {"llama.attention.head_count": None}}, "cannot be read as GGUF|missing"),
    ],
)
def test_what_is_not_supported_is_refused(tmp_path, change, said):
    write_gguf(tmp_path / "tiny.gguf", **change)
    with pytest.raises(CheckpointError, match=said):
        init_from_backbone(str(tmp_path / "tiny.gguf"), tmp_path / "out", **MEMORY)
    assert not (tmp_path / "out").exists()


def test_a_quantization_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    write_gguf(tmp_path / "tiny.gguf", "Q4_1")
    monkeypatch.setattr("mplus_ray.model.checkpoint.gguf._dequantizable", lambda: {"F32", "Q8_0"})
    with pytest.raises(CheckpointError, match="quantized as Q4_1; supported are F32, Q8_0"):
        read_gguf(tmp_path / "tiny.gguf")


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.999])
def test_a_damaged_file(tmp_path, keep):
    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(len(whole) * keep)])
    with pytest.raises(CheckpointError, match=r"tiny\.gguf cannot be read as GGUF"):
        read_gguf(path)


def test_no_file_and_one_of_another_kind(tmp_path):
    with pytest.raises(CheckpointError, match="there is no file"):
        read_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "model.bin").write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match=r"give a folder, a hub id or a \.gguf file"):
        init_from_backbone(str(tmp_path / "model.bin"), tmp_path / "out")


def test_a_backbone_is_no_checkpoint(tmp_path):
    write_gguf(tmp_path / "tiny.gguf")
    with pytest.raises(CheckpointError, match=r"`mplus init --backbone .*tiny\.gguf --out DIR`"):
        find_checkpoint(str(tmp_path / "tiny.gguf"))
