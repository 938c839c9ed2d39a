"""Replays recorded traces of the official model and reports the largest differences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mplus_ray.model.checkpoint.checkpoint import Networks, load_networks
from mplus_ray.model.checkpoint.tensors import TensorFolder
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.read_pass import begin, extend
from mplus_ray.model.ids import Ids
from mplus_ray.model.memory.genesis import first_memory
from mplus_ray.model.memory.memory import Memory, memorize

TOLERANCE = 1e-4


@dataclass(frozen=True)
class ParityReport:
    """Largest absolute difference by kind of tensor, over the whole trace of one folder.

    Attributes:
        case: name of the folder.
        steps, queries: how many of each were replayed.
        differences: by kind of tensor.
    """

    case: str
    steps: int
    queries: int
    differences: dict[str, float]

    @property
    def passed(self) -> bool:
        return all(value <= TOLERANCE for value in self.differences.values())


class _Hidden:
    """Hidden rows of the whole history by id: the trace compares them, the product drops them."""

    def __init__(self, tensors: dict[str, Tensor], layers: int) -> None:
        pool = tensors.get("memory")
        self.rows: list[list[Tensor]] = [[] for _ in range(layers)]
        self.genesis = [0] * layers
        for layer in range(layers if pool is not None else 0):
            assert pool is not None
            before = tensors.get(f"ltm.{layer}", pool.new_empty(0, pool.shape[2]))
            self.rows[layer] = [before, pool[layer]]
            self.genesis[layer] = len(before) + pool.shape[1]

    def append(self, block: Tensor) -> None:
        for layer, rows in enumerate(block):
            self.rows[layer].append(rows)

    def at(self, layer: int, ids: Ids) -> Tensor:
        return torch.cat(self.rows[layer])[torch.from_numpy(ids + self.genesis[layer])]


def run(folder: Path) -> ParityReport:
    """Replay `folder` (config.json, model.safetensors, trace.safetensors) in float32.

    Raises:
        CheckpointError: the folder is not such a case.
    """
    config = ModelConfig.load(folder)
    cpu = torch.device("cpu")
    networks = load_networks(folder, config, cpu, torch.float32, write_only=False)
    try:
        trace = load_file(folder / "trace.safetensors")
    except (FileNotFoundError, SafetensorError) as error:
        raise CheckpointError(f"{folder} has no readable trace.safetensors: {error}") from error
    missing = [name for name in ("step.0.input_ids", "final.memory") if name not in trace]
    if missing:
        raise CheckpointError(f"{folder / 'trace.safetensors'} has no {' and no '.join(missing)}")
    tensors = TensorFolder.open(folder)
    kept = [n for n in tensors.shapes if n == "memory" or n.startswith("ltm.")]
    hidden = _Hidden(dict(tensors.walk(kept, cpu)), config.num_hidden_layers)
    differences: dict[str, float] = {}
    memory, steps = _replay_steps(networks, config, trace, hidden, differences)
    _compare_final(memory, networks.reader.config, trace, hidden, differences)
    queries = _replay_queries(networks, memory, trace, hidden, differences)
    return ParityReport(folder.name, steps, queries, differences)


def _replay_steps(
    networks: Networks,
    config: ModelConfig,
    trace: dict[str, Tensor],
    hidden: _Hidden,
    differences: dict[str, float],
) -> tuple[Memory, int]:
    """Memorize the trace's chunks with its drops."""
    memory = first_memory(
        networks.reader, networks.genesis, seed=0, fingerprint="", precision="float32"
    )
    step = 0
    while f"step.{step}.input_ids" in trace:
        chunk = trace[f"step.{step}.input_ids"].tolist()
        drops = trace[f"step.{step}.dropped"].numpy()
        memory = memorize(networks.writer, networks.reader, [memory], [chunk], [drops])[0]
        assert memory.last_block is not None
        hidden.append(memory.last_block)
        _note(differences, "new_memory", memory.last_block, trace[f"step.{step}.new_memory"])
        step += 1
    return memory, step


def _compare_final(
    memory: Memory,
    config: ModelConfig,
    trace: dict[str, Tensor],
    hidden: _Hidden,
    differences: dict[str, float],
) -> None:
    """Pool and long-term rows, in order, and the long-term rows' keys."""
    membership = memory.membership
    for layer in range(config.num_hidden_layers):
        pool = hidden.at(layer, membership.pool[layer])
        _note(differences, "memory", pool, trace["final.memory"][layer])
        if f"final.ltm.{layer}" not in trace:
            continue
        ids = membership.retrievable(layer)
        _note(differences, "ltm", hidden.at(layer, ids), trace[f"final.ltm.{layer}"])
        if f"final.ltm_keys.{layer}" in trace:
            keys = torch.cat(list(memory.store.keys(layer, memory.store.end)))
            order = torch.from_numpy(ids - memory.store.first)
            _note(differences, "ltm_keys", keys[order], trace[f"final.ltm_keys.{layer}"])


def _replay_queries(
    networks: Networks,
    memory: Memory,
    trace: dict[str, Tensor],
    hidden: _Hidden,
    differences: dict[str, float],
) -> int:
    """Prompt logits, retrieved rows and greedy tokens of every query."""
    view = MemoryView(networks.reader, memory)
    query = 0
    while f"query.{query}.input_ids" in trace:
        prompt = trace[f"query.{query}.input_ids"]
        readings, logits = begin(networks.reader, [view], [prompt], whole=True)
        _note(differences, "logits", logits[0], trace[f"query.{query}.logits"])
        if f"query.{query}.ltm_rows" in trace:
            rows = [hidden.at(i, ids) for i, ids in enumerate(readings[0].retrieved)]
            _note(differences, "ltm_rows", torch.stack(rows), trace[f"query.{query}.ltm_rows"])
        if f"query.{query}.greedy" in trace:
            expected = trace[f"query.{query}.greedy"]
            tokens = [logits[0][-1].argmax()]
            while len(prompt) + len(tokens) < len(expected):
                tokens.append(extend(networks.reader, readings, tokens[-1][None])[0].argmax())
            ours = torch.cat([prompt, torch.stack(tokens)])
            wrong = float((ours != expected).sum())
            differences["greedy_tokens"] = max(differences.get("greedy_tokens", 0.0), wrong)
        query += 1
    return query


def _note(differences: dict[str, float], kind: str, ours: Tensor, official: Tensor) -> None:
    """A tensor of another shape differs infinitely."""
    worst = float("inf")
    if ours.shape == official.shape:
        worst = float((ours - official).abs().max()) if ours.numel() else 0.0
    differences[kind] = max(differences.get(kind, 0.0), worst)
