"""Traces of the official code, and traces of other forms that the reference makes on the fly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.evaluation.parity import TOLERANCE, run
from mplus_ray.model.memory.drops import drop_positions
from tests.forms import FORMS, chunks
from tests.official import write_official
from tests.paths import ROOT
from tests.reference import Reference

HERE = ROOT / "tests" / "golden"
SHARED = ROOT.parent / "shared" / "golden"
COPIED = ["expiry", "short_chunks"]
KINDS = {"new_memory", "memory", "ltm", "ltm_keys", "logits", "ltm_rows", "greedy_tokens"}


def shared_cases():
    return sorted(p.parent.name for p in SHARED.glob("*/trace.safetensors"))


@pytest.mark.parametrize("case", COPIED)
def test_the_official_numbers(case):
    report = run(HERE / case)
    assert report.differences.keys() == KINDS
    assert report.differences.pop("greedy_tokens") == 0
    assert max(report.differences.values()) < 1e-5
    assert report.steps > 0
    assert report.queries > 0
    assert report.passed


@pytest.mark.parametrize("case", shared_cases() or [None])
def test_all_the_official_numbers_at_hand(case):
    if case is None:
        pytest.skip(f"{SHARED} does not exist here; the copied cases above ran")
    report = run(SHARED / case)
    assert report.differences.pop("greedy_tokens", 0) == 0  # not every trace has some
    assert max(report.differences.values()) < 1e-5


def write_case(folder: Path, form: str, steps: int) -> None:
    """A folder as the official traces are, made by the reference."""
    config, tensors = write_official(folder, seed=5, **{"genesis": 7, **FORMS[form]})
    reference = Reference(config, tensors)
    tenant = reference.tenant()
    trace = {}
    layers = range(config.num_hidden_layers)
    for step, chunk in enumerate(chunks(config, steps)):
        leaving = max(0, len(tenant.pool[0]) + config.num_tokens - config.pool_rows)
        pool = len(tenant.pool[0])
        drops = drop_positions(9, step, len(layers), pool, leaving, config.drop_memory_per_layer)
        trace[f"step.{step}.input_ids"] = torch.tensor(chunk)
        trace[f"step.{step}.dropped"] = torch.from_numpy(drops.copy())
        trace[f"step.{step}.new_memory"] = reference.memorize(tenant, chunk, drops.tolist())
    trace["final.memory"] = torch.stack(
        [torch.stack([row.hidden for row in rows]) for rows in tenant.pool]
    )
    for layer in layers if config.has_long_term else []:
        rows = tenant.retrievable(layer)
        trace[f"final.ltm.{layer}"] = torch.stack([row.hidden for row in rows])
        trace[f"final.ltm_keys.{layer}"] = torch.stack([reference.key(r, layer) for r in rows])
    for query, prompt in enumerate(([5, 77, 8, 120, 31], [9])):
        ids = list(prompt)
        reading = reference.read(tenant, ids)
        trace[f"query.{query}.input_ids"] = torch.tensor(prompt)
        trace[f"query.{query}.logits"] = reading.logits
        if config.has_long_term:
            fetched = [torch.stack([r.hidden for r in rows]) for rows in reading.retrieved]
            trace[f"query.{query}.ltm_rows"] = torch.stack(fetched)
        while len(ids) < len(prompt) + 8:
            logits = reference.read(tenant, ids, question=len(prompt)).logits
            ids.append(int(logits[-1].argmax()))
        trace[f"query.{query}.greedy"] = torch.tensor(ids)
    save_file({k: v.contiguous() for k, v in trace.items()}, folder / "trace.safetensors")


@pytest.mark.parametrize(
    "form",
    [
        "adapters",
        "one-layer projectors",
        "other projector widths",
        "multi-query",
        "K of 1",
        "K of 5",
        "K above the chunk",
        "memoryllm",
        "half a decay",
        "wide heads",
    ],
)
def test_folders_of_other_forms(tmp_path, form):
    write_case(tmp_path, form, steps=10)
    report = run(tmp_path)
    assert report.differences.pop("greedy_tokens") == 0
    assert max(report.differences.values()) < 2e-5


@pytest.mark.parametrize(
    "kind", ["step.1.new_memory", "final.memory", "final.ltm.1", "final.ltm_keys.0",
             "query.0.ltm_rows", "query.0.logits", "query.0.greedy"],
)  # fmt: skip
def test_a_difference_is_found(tmp_path, kind):
    trace = load_file(HERE / "short_chunks" / "trace.safetensors")
    trace[kind] = trace[kind] + (1 if kind.endswith("greedy") else 10 * TOLERANCE)
    write_copy(tmp_path, trace)
    report = run(tmp_path)
    assert not report.passed
    assert sum(value > TOLERANCE for value in report.differences.values()) == 1


def test_a_tensor_of_another_shape_differs_infinitely(tmp_path):
    trace = load_file(HERE / "short_chunks" / "trace.safetensors")
    trace["final.memory"] = trace["final.memory"][:, 1:].contiguous()
    write_copy(tmp_path, trace)
    assert run(tmp_path).differences["memory"] == float("inf")


def write_copy(folder, trace):
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((HERE / "short_chunks" / name).read_bytes())
    save_file(trace, folder / "trace.safetensors")


def test_a_folder_that_is_no_case(tmp_path):
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        run(tmp_path)
    write_official(tmp_path)
    with pytest.raises(CheckpointError, match=r"trace\.safetensors"):
        run(tmp_path)
    (tmp_path / "trace.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match=r"trace\.safetensors"):
        run(tmp_path)
    save_file({"other": torch.zeros(1)}, tmp_path / "trace.safetensors")
    with pytest.raises(CheckpointError, match=r"trace\.safetensors"):
        run(tmp_path)
