"""Reading phases round a random backbone: what is trained, resumed, exported, and begun again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError, InvalidInputError
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.mplus import MPlus
from mplus_ray.model.network.hidden_states import hidden_states_alone
from mplus_ray.model.training.export import export
from mplus_ray.model.training.loop import saves
from mplus_ray.model.training.loop.loss_curves import Records
from mplus_ray.model.training.network.initial import open_whole
from mplus_ray.model.training.recipe import Recipe
from mplus_ray.model.training.run import CHECKPOINT, train
from tests.reading import reading_recipe, write_backbone
from tests.training import order, trainer

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Records, "plot", lambda records: None)


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    return write_backbone(tmp_path / "llama")


@pytest.fixture
def recipe(tmp_path: Path, backbone: Path) -> Recipe:
    return reading_recipe(tmp_path, backbone)


def test_the_start_rows_begin_as_what_the_backbone_makes_of_a_text(
    recipe: Recipe, backbone: Path
) -> None:
    network = open_whole(recipe, CPU).network
    ids = TextTokenizer.load(backbone).encode("Read.")
    assert recipe.model.start_rows == len(ids) == 5
    assert network.bos_embedding is not None
    with torch.no_grad():
        states = torch.stack(hidden_states_alone(network, torch.tensor(ids)))
    assert torch.allclose(network.bos_embedding, states, atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_losses_fall_and_nothing_but_adapters_and_start_rows_moves(
    tmp_path: Path, backbone: Path, shared: bool
) -> None:
    recipe = reading_recipe(tmp_path, backbone, shared)
    phases = tuple(replace(phase, other_lr=0.05) for phase in recipe.phases)
    run, task_of = trainer(replace(recipe, phases=phases), tmp_path)
    network, phase = run.whole.network, phases[1]
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    run.start(phase)
    run.open_tasks(phase, task_of)
    losses: list[float] = []
    parts: dict[str, float] = {}
    for _ in range(40):
        _, parts, _ = run.step(phase)
        run.standing.step += 1
        losses.append(parts["answering"])

    assert np.mean(losses[-6:]) < np.mean(losses[:6]) - 0.2
    assert {"alone", "apart", "unsaid", "fact", "prompt", "text", "exact", "refused"} <= set(parts)
    moved = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert all("lora_" in name or name == "bos_embedding" for name in moved)
    adapters = {name.rsplit(".", 2)[1] for name in moved if "lora_" in name}
    assert adapters == ({"default"} if shared else {"default", "decoder_adapter"})
    assert "bos_embedding" in moved


def test_a_run_validates_on_held_out_titles_and_its_export_answers(
    tmp_path: Path, recipe: Recipe
) -> None:
    assert train(order(recipe, tmp_path, steps=3))

    table = (tmp_path / "run" / "losses.csv").read_text()
    assert "validation asked f1" in table
    assert "validation answering" in table
    assert (tmp_path / "run" / saves.BEST).exists()
    folder = tmp_path / "run" / CHECKPOINT
    config = ModelConfig.load(folder)
    assert (config.rows, config.add_decoder_lora, config.eos_token_ids) == ("inputs", False, (2,))
    mplus = MPlus.load(folder)
    memory = mplus.memorize(mplus.empty_memory(), "The mill is kept by Mara.")
    assert mplus.ask(memory, "Who keeps the mill?", max_tokens=2).usage.memory_rows == 25


@pytest.mark.parametrize("recompute", [True, False])
def test_products_can_be_taken_in_bfloat16(tmp_path: Path, recipe: Recipe, recompute: bool) -> None:
    """As on a GPU, and on CPUs that do so fast; the frozen backbone is kept in it, too."""
    recipe = replace(recipe, precision="bfloat16", recompute=recompute)
    run, task_of = trainer(recipe, tmp_path, validated=True, steps=2)
    assert run.whole.network.dtype == torch.bfloat16
    run.run(task_of)
    assert run.standing.best is not None
    assert np.isfinite(run.standing.best)
    trained = [p for p in run.whole.network.parameters() if p.requires_grad]
    assert {p.dtype for p in trained} == {torch.float32}


def test_a_stopped_run_resumes_bit_for_bit(tmp_path: Path, recipe: Recipe) -> None:
    assert train(order(recipe, tmp_path, "whole", steps=3))
    part, task_of = trainer(recipe, tmp_path, "part", validated=True, steps=3)
    step, made = part.step, []

    def stop_at_fourth(phase):
        made.append(phase)
        part.stopping = len(made) == 4
        return step(phase)

    part.step = stop_at_fourth  # type: ignore[method-assign]
    part.run(task_of)
    assert part.stopping
    assert train(order(recipe, tmp_path, "part", steps=3, resume=True))
    whole, other = (
        load_file(tmp_path / n / CHECKPOINT / "model.safetensors") for n in ("whole", "part")
    )
    assert all(torch.equal(other[name], weights) for name, weights in whole.items())


def test_a_run_of_no_minutes_makes_a_step_and_saves(tmp_path: Path, recipe: Recipe) -> None:
    assert not train(order(recipe, tmp_path, minutes=0.0))
    assert saves.read(tmp_path / "run")["progress"]["step"] == 1


def test_only_what_was_trained_is_exported_and_other_files_stay(
    tmp_path: Path, recipe: Recipe
) -> None:
    assert train(order(recipe, tmp_path, steps=2))
    small = tmp_path / "small"
    small.mkdir()
    (small / "confidence.json").write_text("{}")

    export(recipe, tmp_path / "run", small, trained_only=True)

    names = sorted(path.name for path in small.iterdir())
    assert names == ["adapters.safetensors", "confidence.json", "config.json"]
    saved = load_file(small / "adapters.safetensors")
    layers, modules = recipe.model.num_hidden_layers, 7
    assert len(saved) == 1 + 2 * layers * modules
    assert all(tensor.dtype == torch.bfloat16 for tensor in saved.values())
    whole = load_file(tmp_path / "run" / CHECKPOINT / "model.safetensors")
    assert all(torch.equal(whole[name], tensor) for name, tensor in saved.items())
    assert ModelConfig.load(small) == ModelConfig.load(tmp_path / "run" / CHECKPOINT)


def test_a_run_begins_with_earlier_adapters(tmp_path: Path, backbone: Path, recipe: Recipe) -> None:
    assert train(order(recipe, tmp_path, steps=3))
    small = tmp_path / "small"
    export(recipe, tmp_path / "run", small, last=True, trained_only=True)
    saved = load_file(small / "adapters.safetensors")

    network = open_whole(replace(recipe, start=str(small)), CPU).network

    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert torch.equal(parameter, saved[name].float()), name
    two = reading_recipe(tmp_path, backbone, shared=False, start=str(small))
    roles = open_whole(two, CPU).roles
    for name, parameter in roles.reader.named_parameters():
        if parameter.requires_grad:
            twin = name.replace("decoder_adapter", "default")
            assert torch.equal(parameter, saved[twin].float()), name
    mark = {"new_memory_positional_emb": torch.zeros(1, 1, 32)}
    save_file({**saved, **mark}, small / "adapters.safetensors")
    again = replace(recipe, start=str(small))
    assert train(order(again, tmp_path, "again", steps=1))


def test_adapters_that_do_not_fit_are_refused(tmp_path: Path, recipe: Recipe) -> None:
    start = replace(recipe, start=str(tmp_path / "small"))
    with pytest.raises(CheckpointError, match=r"no adapters\.safetensors"):
        open_whole(start, CPU)
    assert train(order(recipe, tmp_path, steps=1))
    export(recipe, tmp_path / "run", tmp_path / "small", trained_only=True)
    config = json.loads((tmp_path / "small" / "config.json").read_text())
    config["lora_config"]["lora_alpha"] = 99
    (tmp_path / "small" / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="r and alpha"):
        open_whole(start, CPU)
    (tmp_path / "small" / "config.json").unlink()
    save_file({"bos_embedding": torch.zeros(2, 3, 32)}, tmp_path / "small/adapters.safetensors")
    with pytest.raises(CheckpointError, match=r"(?s)bos_embedding is .*missing: .*lora_A"):
        open_whole(start, CPU)


def test_a_recipe_that_cannot_read_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    outputs = replace(recipe.model, rows="outputs", block_positions="contiguous", votes="layers")
    with pytest.raises(InvalidInputError, match="rows: inputs"):
        replace(recipe, model=outputs)
    with pytest.raises(InvalidInputError, match="prompt_template"):
        replace(recipe, model=replace(recipe.model, prompt_template=None))
    with pytest.raises(InvalidInputError, match="files of questions"):
        replace(recipe, reading=())
    plain = replace(recipe, adapters=None)
    with pytest.raises(InvalidInputError, match="as a whole"):
        export(plain, tmp_path / "run", tmp_path / "small", trained_only=True)
