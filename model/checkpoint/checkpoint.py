"""Loading and saving checkpoints in the official layout, adapters merged role by role.

Legend: L layers, N pool rows, d hidden size, s retriever key width.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mplus_ray.model.checkpoint.tensors import TensorFolder
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.memory.genesis import Genesis, make_genesis
from mplus_ray.model.network.decoder import Network

# In official checkpoints, but not needed: the retriever of the encoding side, keys and ages that
# follow from the rows, and rotary tables.
_UNUSED = re.compile(
    r"(\.self_attn\.encoder_query_proj\.|^ltm_keys\.|^ltm_ages\.|rotary_emb\.inv_freq$)"
)
_GENESIS = re.compile(r"^(memory$|ltm\.\d+$|ltm_recall_frequencies\.\d+$)")
# What a process that only writes needs of the read role: the projections of `encode_rows`.
_ROW_ENCODER = re.compile(r"(\.input_layernorm\.|\.self_attn\.(k_proj|v_proj|k_norm|key_proj)\.)")

# A one-layer retriever is a bare linear layer in some checkpoints.
_ONE_LAYER = re.compile(r"(\.(?:query|key)_proj)\.0\.weight$")


@dataclass(frozen=True)
class TensorSource:
    """Where one network parameter comes from: W, plus (scale) · B·A when adapted.

    Attributes:
        base: name of the tensor W.
        a, b: names of the adapter's factors; None without one.
    """

    base: str
    a: str | None = None
    b: str | None = None

    @property
    def names(self) -> list[str]:
        return [name for name in (self.base, self.a, self.b) if name]


@dataclass(frozen=True)
class Networks:
    """The networks of both roles; one object where the checkpoint has no read adapter.

    Attributes:
        writer, reader: of each role.
        genesis: the memory that every tenant begins with; None for an empty one.
    """

    writer: Network
    reader: Network
    genesis: Genesis | None


def load_networks(
    folder: Path, config: ModelConfig, device: torch.device, dtype: torch.dtype, write_only: bool
) -> Networks:
    """Load both roles straight onto the device.

    Args:
        write_only: leave out what only answering needs, where the roles differ.

    Raises:
        CheckpointError: one message that lists every missing, unexpected and mis-shaped tensor.
    """
    tensors = TensorFolder.open(folder)
    config = complete_config(config, tensors.shapes)
    sources = check_layout(config, tensors.shapes, str(folder))
    reader = _empty(config)
    needed = sources["read"]
    separate = sources["write"] != sources["read"]
    if write_only and separate:
        needed = {name: s for name, s in needed.items() if _ROW_ENCODER.search(name)}
    _fill(reader, needed, tensors, config, device, dtype)
    writer = reader
    if separate:
        writer = _empty(config)
        own = {n: s for n, s in sources["write"].items() if needed.get(n) != s}
        _fill(writer, own, tensors, config, device, dtype)
        shared = dict(reader.named_parameters())
        for name in sources["write"].keys() - own.keys():
            _set(writer, name, shared[name])
    for network in (writer, reader):
        if config.tie_word_embeddings:
            network.lm_head.weight = network.model.embed_tokens.weight
        network.requires_grad_(False).eval()
    return Networks(writer, reader, _load_genesis(reader, tensors, device, dtype))


def complete_config(config: ModelConfig, shapes: dict[str, tuple[int, ...]]) -> ModelConfig:
    """Official configs do not say how wide the retriever's hidden layer is; its weights do."""
    first = shapes.get("model.layers.0.self_attn.key_proj.0.weight")
    if config.selector_inner_dim or first is None or config.num_selector_layers == 1:
        return config
    return replace(config, selector_inner_dim=first[0])


def check_layout(
    config: ModelConfig, shapes: dict[str, tuple[int, ...]], where: str
) -> dict[str, dict[str, TensorSource]]:
    """Compare a checkpoint's tensors with what `config` needs; returns sources by role."""
    network = _empty(config)
    parameters = dict(network.named_parameters())
    sources: dict[str, dict[str, TensorSource]] = {"write": {}, "read": {}}
    problems: list[str] = []
    used: set[str] = set()
    for role, adapter in _adapters(config).items():
        for name, parameter in parameters.items():
            source = _source(name, adapter, shapes)
            sources[role][name] = source
            used.update(source.names)
            problems += _mismatches(source, tuple(parameter.shape), shapes, config)
    if config.tie_word_embeddings:
        used.add("lm_head.weight")
    if config.lora_config is not None:  # adapters of further names may lie beside
        adapted = {n.removesuffix(".base_layer.weight") for n in used if ".base_layer." in n}
        used |= {n for n in shapes if ".lora_" in n and n.split(".lora_")[0] in adapted}
    extra = sorted(
        n for n in shapes.keys() - used if not _UNUSED.search(n) and not _GENESIS.search(n)
    )
    problems += [f"unexpected: {name} {list(shapes[name])}" for name in extra]
    problems += _genesis_problems(config, shapes)
    if problems:
        listed = "\n  ".join(dict.fromkeys(problems))
        raise CheckpointError(
            f"{where} does not hold the model its config.json describes:\n  {listed}"
        )
    return sources


def save_checkpoint(folder: Path, config: ModelConfig, network: Network) -> None:
    """Write `config.json` and `model.safetensors` so that loading them gives the same network."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: parameter.detach().contiguous() for name, parameter in network.named_parameters()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    save_config(folder, config)
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)  # of shards that lay here


def save_config(folder: Path, config: ModelConfig) -> None:
    """Write `config.json`."""
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=1) + "\n")


def _adapters(config: ModelConfig) -> dict[str, str | None]:
    if config.lora_config is None:
        return {"write": None, "read": None}
    return {"write": "default", "read": "decoder_adapter" if config.add_decoder_lora else "default"}


def _source(name: str, adapter: str | None, shapes: Iterable[str]) -> TensorSource:
    if name not in shapes and (plain := _ONE_LAYER.sub(r"\1.weight", name)) in shapes:
        return TensorSource(plain)
    module, _, leaf = name.rpartition(".")
    base = f"{module}.base_layer.{leaf}"
    if adapter is None or leaf == "bias" or base not in shapes:
        return TensorSource(name if base not in shapes else base)
    return TensorSource(
        base, f"{module}.lora_A.{adapter}.weight", f"{module}.lora_B.{adapter}.weight"
    )


def _mismatches(
    source: TensorSource,
    shape: tuple[int, ...],
    shapes: dict[str, tuple[int, ...]],
    config: ModelConfig,
) -> list[str]:
    wanted = {source.base: shape}
    if source.a and source.b and config.lora_config:
        wanted[source.a] = (config.lora_config.r, shape[1])
        wanted[source.b] = (shape[0], config.lora_config.r)
    return [
        f"missing: {name} {list(size)}"
        if name not in shapes
        else f"wrong shape: {name} is {list(shapes[name])}, expected {list(size)}"
        for name, size in wanted.items()
        if shapes.get(name) != size
    ]


def _genesis_problems(config: ModelConfig, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    layers, d = config.num_hidden_layers, config.hidden_size
    problems = []
    if "memory" not in shapes:
        return [f"unexpected: {n} without memory" for n in shapes if n.startswith("ltm.")]
    expected = (layers, config.pool_rows, d)
    if shapes["memory"] != expected:
        problems.append(
            f"wrong shape: memory is {list(shapes['memory'])}, expected {list(expected)}"
        )
    if config.has_long_term and "ltm.0" in shapes:
        for layer in range(layers):
            rows = shapes.get(f"ltm.{layer}")
            counts = shapes.get(f"ltm_recall_frequencies.{layer}")
            if rows is None or len(rows) != 2 or rows[1] != d:
                problems.append(f"ltm.{layer} is {rows and list(rows)}, expected [rows, {d}]")
            elif counts != rows[:1]:
                got = counts and list(counts)
                problems.append(f"ltm_recall_frequencies.{layer} is {got}, expected [{rows[0]}]")
    return problems


def _empty(config: ModelConfig) -> Network:
    with torch.device("meta"):
        return Network(config)


def _fill(
    network: Network,
    sources: dict[str, TensorSource],
    tensors: TensorFolder,
    config: ModelConfig,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Load parameters one by one; adapters are merged in float32 before the cast."""
    scale = config.lora_config.scale if config.lora_config else 0.0
    for name, source in sources.items():
        weight = tensors.read(source.base, device)
        if source.a and source.b:
            a, b = (tensors.read(n, device).float() for n in (source.a, source.b))
            weight = weight.float() + scale * (b @ a)
        _set(network, name, nn.Parameter(weight.to(dtype), requires_grad=False))


def _set(network: Network, name: str, parameter: nn.Parameter) -> None:
    path, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(path) if path else network, leaf, parameter)


def _load_genesis(
    reader: Network, tensors: TensorFolder, device: torch.device, dtype: torch.dtype
) -> Genesis | None:
    if "memory" not in tensors.shapes:
        return None
    layers = range(reader.config.num_hidden_layers)

    def read(name: str) -> Tensor:
        return tensors.read(name, device).to(dtype)

    has_rows = reader.config.has_long_term and "ltm.0" in tensors.shapes
    rows = [read(f"ltm.{i}") for i in layers] if has_rows else []
    counts = [read(f"ltm_recall_frequencies.{i}").float() for i in layers] if has_rows else []
    return make_genesis(reader, read("memory"), rows, counts)
