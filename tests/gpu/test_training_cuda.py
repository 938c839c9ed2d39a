"""Training on CUDA in bfloat16: every phase runs and resumes there, and what comes out loads."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mplus_ray.model.mplus import MPlus
from mplus_ray.model.training.loop import saves
from mplus_ray.model.training.loop.parallel import Group
from mplus_ray.model.training.network.initial import open_whole
from mplus_ray.model.training.recipe import Adapters
from mplus_ray.model.training.run import CHECKPOINT, open_trainer, tasks_of, train
from mplus_ray.model.training.task import Draws
from tests.reading import reading_recipe, write_backbone
from tests.training import LANGUAGE, MEMORY, order, tiny_recipe

PHASES = (LANGUAGE, MEMORY, replace(MEMORY, name="long", gradient_chunks=1, continuing=0.5))


@pytest.mark.parametrize("retrieval", ["blocks", "rows"])
@pytest.mark.parametrize("recompute", [False, True])
def test_every_phase_trains_and_resumes(tmp_path, retrieval, recompute):
    model = replace(tiny_recipe().model, retrieval=retrieval)
    recipe = tiny_recipe(phases=PHASES, precision="auto", model=model, recompute=recompute)
    asked = replace(order(recipe, tmp_path), device="cuda", steps=3, drawers=1)
    trainer = open_trainer(asked, Group(), asked.device_of())
    assert trainer.whole.network.device.type == "cuda"
    step, made = trainer.step, []

    def stop_at_fifth(phase):
        made.append(phase)
        trainer.stopping = len(made) == 5
        tokens, parts, due = step(phase)
        assert parts.get("answering", 0.0) == parts.get("answering", 0.0)
        return tokens, parts, due

    trainer.step = stop_at_fifth  # type: ignore[method-assign]
    trainer.run(tasks_of(asked))

    assert train(replace(asked, resume=True))

    assert saves.read(asked.out)["progress"]["phase"] == 3
    mplus = MPlus.load(asked.out / CHECKPOINT)
    memory = mplus.memorize(mplus.empty_memory(), "Maren Tolva lives in Brelin.")
    assert mplus.ask(memory, "Where does Maren Tolva live?", max_tokens=2).usage.memory_rows


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("shared", [True, False])
def test_reading_trains_validates_and_resumes(tmp_path, shared, recompute):
    """Loss and answers of held-out titles are measured there too, and what comes out answers."""
    backbone = write_backbone(tmp_path / "llama")
    recipe = reading_recipe(tmp_path, backbone, shared, recompute=recompute, precision="auto")
    asked = replace(order(recipe, tmp_path), device="cuda", steps=3, drawers=1)
    assert not train(replace(asked, minutes=0.0))
    assert saves.read(asked.out)["progress"]["total_tokens"] > 0

    assert train(replace(asked, resume=True))

    assert "validation asked f1" in (asked.out / "losses.csv").read_text()
    mplus = MPlus.load(asked.out / CHECKPOINT)
    memory = mplus.memorize(mplus.empty_memory(), "The mill is kept by Mara.")
    assert mplus.ask(memory, "Who keeps the mill?", max_tokens=2).usage.memory_rows == 25


def test_reading_apart_is_the_same_on_the_gpu(tmp_path):
    """In float32, by fused attention with a mask, against the products of the CPU."""
    recipe = reading_recipe(tmp_path, write_backbone(tmp_path / "llama"))
    task = tasks_of(order(recipe, tmp_path))(recipe.phases[1])
    figures = []
    for device in ("cpu", "cuda"):
        whole = open_whole(recipe, torch.device(device))
        step = whole(task, task.draw(Draws.of("step", 0)), Draws.of("step", 0))
        step.loss.backward()
        rows = whole.network.bos_embedding
        assert rows is not None
        assert rows.grad is not None
        figures.append((step.loss.detach().cpu(), rows.grad.cpu()))
    (loss, grad), (cuda_loss, cuda_grad) = figures
    assert torch.allclose(loss, cuda_loss, rtol=1e-4)
    assert torch.allclose(grad, cuda_grad, atol=1e-3 * float(grad.abs().max()))


def test_a_backbone_is_adapted_in_bfloat16(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    from mplus_ray.model.checkpoint.backbone import backbone_config
    from mplus_ray.model.config_json import LoraConfig, read_config
    from tests.checkpoints import write_tokenizer

    folder, adapters = tmp_path / "llama", Adapters(r=4, alpha=8)
    shape = LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=1,
        eos_token_id=2,
    )
    llama = LlamaForCausalLM(shape)
    llama.bfloat16().save_pretrained(folder)
    write_tokenizer(folder)
    memory = {"num_tokens": 8, "num_blocks": 8, "num_ltm_blocks": 2, "chunk_tokens": 96}
    config = replace(
        backbone_config(read_config(folder), memory, "llama"),
        lora_config=LoraConfig(r=4, lora_alpha=8, target_modules=adapters.targets),
        add_decoder_lora=True,
    )
    recipe = tiny_recipe(
        model=config,
        backbone=str(folder),
        adapters=adapters,
        precision="auto",
        recompute=True,
        phases=(replace(MEMORY, tokens=10**6, continuing=0.5, other_lr=0.01),),
    )
    asked = replace(order(recipe, tmp_path), device="cuda", steps=3, drawers=1)

    assert train(asked)

    assert MPlus.load(asked.out / CHECKPOINT).config.add_decoder_lora
