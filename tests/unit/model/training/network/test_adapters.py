"""A frozen Hugging Face Llama with two adapters: what is trained, and what comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.read_pass import begin
from mplus_ray.model.mplus import MPlus
from mplus_ray.model.training.loop import saves
from mplus_ray.model.training.loop.loss_curves import Records
from mplus_ray.model.training.recipe import MemoryPhase, Recipe
from mplus_ray.model.training.run import CHECKPOINT, train
from tests.reading import write_backbone
from tests.training import order, trainer, write_texts
from tests.unit.model.training.test_recipes import FOLDER

ADAPTED = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "down_proj")
TRAINED = ("lora_", "query_proj", "key_proj", "bos_embedding", "new_memory_positional_emb")


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Records, "plot", lambda records: None)


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    return write_backbone(tmp_path / "llama", tied=False)


def _recipe(tmp_path: Path, backbone: Path, steps: int) -> Recipe:
    """The recipe that ships with a memory and batches of nothing, in float32."""
    raw = yaml.safe_load((FOLDER / "adapt.yaml").read_text())
    raw["model"] |= {"num_tokens": 4, "num_blocks": 8, "num_ltm_blocks": 2, "chunk_tokens": 96}
    raw["model"] |= {"selector_hidden_dim": 8}
    raw |= {"corpus": {"texts.parquet": 100_000}, "questions": [], "precision": "float32"}
    raw["validation"] = {"every": 10**9, "steps": 2, "text": 200}
    for phase in raw["phases"]:
        phase |= {"documents": 4, "chunks": [1, 3], "gradient_chunks": 2, "other_lr": 0.02}
        phase["pool_blocks"] = [min(3, n) for n in phase.get("pool_blocks", [0])]
        phase["retrieved"] = [min(1, n) for n in phase.get("retrieved", [0])]
        phase["negatives"] = min(4, phase.get("negatives", 0))
    path = tmp_path / "adapt.yaml"
    path.write_text(yaml.safe_dump(raw))
    return Recipe.load(path, str(backbone))


def test_the_recipe_that_ships_is_the_papers(backbone: Path) -> None:
    recipe = Recipe.load(FOLDER / "adapt.yaml", str(backbone))

    assert recipe.adapters is not None
    assert (recipe.adapters.r, recipe.adapters.alpha) == (16, 32)
    assert set(recipe.adapters.targets) == set(ADAPTED)
    config = recipe.model
    assert (config.num_tokens, config.pool_rows, config.retrieved_rows) == (256, 10_240, 2_560)
    assert (config.chunk_tokens, config.retrieval, config.num_selector_layers) == (512, "rows", 2)
    assert config.hidden_size == 32  # the backbone's
    assert len(recipe.phases) == 3


def test_three_stages_train_what_they_should_and_export(tmp_path: Path, backbone: Path) -> None:
    recipe = _recipe(tmp_path, backbone, 3)
    before, _ = trainer(recipe, tmp_path, "first")
    begun = {n: p.detach().clone() for n, p in before.whole.network.named_parameters()}

    assert train(order(recipe, tmp_path, steps=4))

    tensors = load_file(tmp_path / "run" / CHECKPOINT / "model.safetensors")
    state = saves.read(tmp_path / "run")
    assert begun.keys() == tensors.keys()
    for name, weights in begun.items():
        trained = any(part in name for part in TRAINED)
        assert torch.equal(tensors[name], weights) != trained or "lora_A" in name, name
        assert (name in state["network"]) == trained, name
    for role in ("default", "decoder_adapter"):
        moved = [n for n in tensors if f"lora_B.{role}" in n and tensors[n].any()]
        assert len(moved) == 2 * len(ADAPTED), role


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_losses_fall(tmp_path: Path, backbone: Path, stage: int) -> None:
    recipe = _recipe(tmp_path, backbone, 0)
    phase = recipe.phases[stage]
    assert isinstance(phase, MemoryPhase)
    run, task_of = trainer(replace(recipe, phases=(phase,)), tmp_path)
    run.start(phase)
    run.open_tasks(phase, task_of)
    losses, retrieving = [], []
    for _ in range(24):
        _, parts, _ = run.step(phase)
        run.standing.step += 1
        losses.append(parts["answering"])
        retrieving.append(parts["retrieval"])

    assert np.mean(losses[-6:]) < np.mean(losses[:6]) - 0.2
    assert bool(np.isfinite(retrieving).all()) == (stage == 2)


def test_each_role_looks_at_its_own_adapter_also_when_it_recomputes(
    tmp_path: Path, backbone: Path
) -> None:
    """Nothing but the writer's adapter is moved by what only the writer does, and the reverse."""
    recipe = _recipe(tmp_path, backbone, 0)
    run, _ = trainer(recipe, tmp_path)
    roles, network = run.whole.roles, run.whole.network
    assert all(layer.recompute for layer in network.layers)
    from mplus_ray.model.training.network.passes import language, write

    ids = torch.randint(3, 300, (2, 9))
    for loss, mine in (
        (lambda: write(roles.writer, ids, None).square().mean(), "default"),
        (lambda: language(roles.reader, ids).square().mean(), "decoder_adapter"),
    ):
        network.zero_grad()
        loss().backward()
        used = {n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()}
        assert any(f"lora_B.{mine}" in name for name in used)
        assert all(f".{mine}." in name for name in used if "lora_" in name)


def test_without_memory_an_export_is_the_backbone_with_its_read_adapter(
    tmp_path: Path, backbone: Path
) -> None:
    recipe = _recipe(tmp_path, backbone, 3)
    assert train(order(recipe, tmp_path, steps=4))
    folder = tmp_path / "run" / CHECKPOINT
    mplus = MPlus.load(folder, dtype="float32")
    tensors, prompt = load_file(folder / "model.safetensors"), torch.tensor([5, 77, 130, 20])

    llama = LlamaForCausalLM.from_pretrained(backbone)
    assert recipe.model.lora_config is not None
    scale = recipe.model.lora_config.scale
    with torch.no_grad():
        for name, weight in llama.named_parameters():
            module = name.removesuffix(".weight")
            a = tensors.get(f"{module}.lora_A.decoder_adapter.weight")
            if a is not None:
                b = tensors[f"{module}.lora_B.decoder_adapter.weight"]
                assert torch.equal(weight, tensors[f"{module}.base_layer.weight"])
                weight.add_(scale * b @ a)
    # Every layer begins with a row of its own in the first place of the sequence.
    for row, layer in zip(tensors["bos_embedding"], llama.model.layers, strict=True):
        layer.register_forward_pre_hook(
            lambda _, args, row=row: (torch.cat([row[None], args[0][:, 1:]], 1), *args[1:])
        )
    with torch.no_grad():
        expected = llama(torch.cat([torch.tensor([1]), prompt])[None]).logits[0, 1:]

    view = MemoryView(mplus.networks.reader, mplus.empty_memory())
    _, (logits,) = begin(mplus.networks.reader, [view], [prompt], whole=True)
    assert torch.allclose(logits, expected, atol=1e-4 * float(expected.abs().max()))


def test_an_export_answers_and_says_where_answers_end(tmp_path: Path, backbone: Path) -> None:
    assert train(order(_recipe(tmp_path, backbone, 1), tmp_path, steps=1))
    folder = tmp_path / "run" / CHECKPOINT

    mplus = MPlus.load(folder)

    memory = mplus.memorize(mplus.empty_memory(), "Maren Tolva lives in Brelin.")
    assert mplus.ask(memory, "Where does Maren Tolva live?", max_tokens=2).usage.memory_rows
    config = ModelConfig.load(folder)
    assert config.lora_config is not None
    assert config.add_decoder_lora
    assert config.eos_token_ids == (2,)


def test_an_adapted_run_resumes_bit_for_bit(tmp_path: Path, backbone: Path) -> None:
    recipe = _recipe(tmp_path, backbone, 0)
    write_texts(tmp_path / "data")
    assert train(order(recipe, tmp_path, "whole", steps=3))
    part, task_of = trainer(recipe, tmp_path, "part", validated=True, steps=3)
    step, made = part.step, []

    def stop_at_fifth(phase):
        made.append(phase)
        part.stopping = len(made) == 5
        return step(phase)

    part.step = stop_at_fifth  # type: ignore[method-assign]
    part.run(task_of)
    assert train(order(recipe, tmp_path, "part", steps=3, resume=True))

    whole, parts = (
        load_file(tmp_path / n / CHECKPOINT / "model.safetensors") for n in ("whole", "part")
    )
    assert all(torch.equal(parts[name], weights) for name, weights in whole.items())
