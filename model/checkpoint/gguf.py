"""A backbone out of a GGUF file: its weights dequantized, its configuration and its tokenizer.

The file is read by `gguf` and `transformers`; this module refuses what they would leave out or get
wrong without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from torch import Tensor

from mplus_ray.model.errors import CheckpointError

# As GGUF names them; files made of Mistral models say llama.
_ARCHITECTURES = ("llama", "qwen2", "qwen3")
# Byte-level tokenizers that transformers rebuilds as they were trained: which pieces text is cut
# into before merging stands in the file as a name only.
_SPLITS = ("llama-bpe", "llama3", "llama-v3", "falcon3", "tekken", "qwen2", "deepseek-r1-qwen")
_GPT2_SPLITS = ("default", "gpt-2", "olmo", "mpt")
_DIGIT_SPLITS = ("smollm", "starcoder", "refact", "command-r")  # GPT-2's, and each digit apart
_NOT_OF_THE_MODEL = ("_name_or_path", "_model_name_or_path", "quantization_config")


@dataclass(frozen=True)
class GGUFBackbone:
    """What a GGUF file holds, in Hugging Face's terms.

    Attributes:
        config: of `config.json`; without bos_token_id where the model is used without a BOS token.
        tensors: float32, by parameter name; a tied output layer is left out.
        tokenizer: of `transformers`.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    tokenizer: Any

    def save(self, folder: Path) -> None:
        """Write the folder that `transformers` would have downloaded, in float32."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(self.config, indent=1) + "\n", "utf-8")
        self.save_tokenizer(folder)

    def save_tokenizer(self, folder: Path) -> None:
        """Write its files, without tokens that the network has no row for.

        `transformers` adds its own <|endoftext|> to a byte-level vocabulary that names no unknown
        token.
        """
        self.tokenizer.save_pretrained(folder)
        path = folder / "tokenizer.json"
        raw = json.loads(path.read_text("utf-8"))
        size = self.config["vocab_size"]
        raw["added_tokens"] = [token for token in raw["added_tokens"] if token["id"] < size]
        path.write_text(json.dumps(raw, ensure_ascii=False), "utf-8")


def read_gguf(path: Path) -> GGUFBackbone:
    """Read and dequantize a file; the same file gives the same numbers on every machine.

    Raises:
        CheckpointError: not a GGUF file, damaged, or of a kind that is not supported.
    """
    fields = _check(path)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"gguf_file": path.name, "local_files_only": True}
    weights = {"dtype": torch.float32, "output_loading_info": True}
    models: Any = AutoModelForCausalLM
    with redirect_stderr(StringIO()), _as_checkpoint_error(path):  # of progress bars
        model, loading = models.from_pretrained(str(path.parent), **options, **weights)
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), **options)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    missing = [*loading["missing_keys"], *(str(key) for key in loading["mismatched_keys"])]
    _check_names(path, fields, tensors.keys(), missing)
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    if fields.get("tokenizer.ggml.pre") in _DIGIT_SPLITS:
        _split_digits(tokenizer)
    config = {k: v for k, v in model.config.to_dict().items() if k not in _NOT_OF_THE_MODEL}
    if not _starts_with_bos(fields):
        config["bos_token_id"] = None
    return GGUFBackbone(config, tensors, tokenizer)


def _check(path: Path) -> dict[str, Any]:
    """The file's metadata, if it is one that can be read in full; long arrays are left out."""
    if path.suffix != ".gguf":
        raise CheckpointError(f"{path} is not a backbone; give a folder, a hub id or a .gguf file")
    with _as_checkpoint_error(path):
        reader = gguf.GGUFReader(path)
        fields = {
            field.name: field.contents()
            for field in reader.fields.values()
            if len(field.data) == 1 and gguf.GGUFValueType.ARRAY not in field.types
        }
    found = fields.get("general.architecture")
    if found not in _ARCHITECTURES:
        raise CheckpointError(
            f"{path} is a {found!r} model; supported GGUF architectures: "
            f"{', '.join(_ARCHITECTURES)} (Mistral models are llama there)"
        )
    if fields.get("split.count", 0) > 1:
        raise CheckpointError(
            f"{path} is one of {fields['split.count']} parts; merge them with "
            "`llama-gguf-split --merge` first"
        )
    kinds = _dequantizable()
    strange = sorted({t.tensor_type.name for t in reader.tensors} - kinds)
    if strange:
        raise CheckpointError(
            f"{path} holds tensors quantized as {', '.join(strange)}; supported are "
            f"{', '.join(sorted(kinds))}"
        )
    scaled = {k: v for k, v in fields.items() if k.startswith(f"{found}.rope.scal")}
    if scaled and fields.get(f"{found}.rope.scaling.type", "linear") != "none":
        raise CheckpointError(
            f"{path} scales its rotary positions ({', '.join(sorted(scaled))}), which is not read "
            "from a GGUF file; use the model's Hugging Face checkpoint"
        )
    pre = fields.get("tokenizer.ggml.pre", "default")
    known = (*_SPLITS, *_GPT2_SPLITS, *_DIGIT_SPLITS)
    if fields.get("tokenizer.ggml.model") == "gpt2" and pre not in known:
        raise CheckpointError(
            f"{path} has a tokenizer that cuts text as {pre!r} does; supported are "
            f"{', '.join(known)}"
        )
    return {**fields, _TENSORS: [tensor.name for tensor in reader.tensors]}


_TENSORS = "tensors"  # beside the metadata, whose keys all have a dot


def _check_names(
    path: Path, fields: Mapping[str, Any], parameters: Any, missing: list[str]
) -> None:
    """Each tensor of the file has its parameter, each parameter its tensor."""
    architecture = fields["general.architecture"]
    kind = next(k for k, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, fields[f"{architecture}.block_count"])
    read = {names.get_name(name, try_suffixes=(".weight", ".bias")) for name in parameters}
    problems = [f"missing: {name}" for name in sorted(missing)]
    problems += [f"unexpected: {name}" for name in fields[_TENSORS] if name not in read]
    if problems:
        raise CheckpointError(
            f"{path} does not hold the {architecture} model that it says:\n  "
            + "\n  ".join(problems)
        )


def _dequantizable() -> set[str]:
    """The names of the types that `gguf` can turn into float32."""
    found = set()
    for kind, (_, size) in gguf.GGML_QUANT_SIZES.items():
        try:
            gguf.dequantize(np.zeros((1, size), np.uint8), kind)
        except NotImplementedError:
            continue
        found.add(kind.name)
    return found


def _starts_with_bos(fields: Mapping[str, Any]) -> bool:
    """Whether the model reads a BOS token first; files that do not say follow llama.cpp."""
    sentencepiece = fields.get("tokenizer.ggml.model") == "llama"
    implied = sentencepiece or fields.get("tokenizer.ggml.pre") in ("llama-bpe", "llama3")
    return bool(fields.get("tokenizer.ggml.add_bos_token", implied))


def _split_digits(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )


@contextmanager
def _as_checkpoint_error(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except Exception as error:  # both libraries meet a damaged file with errors of every kind
        raise CheckpointError(f"{path} cannot be read as GGUF: {error}") from error
