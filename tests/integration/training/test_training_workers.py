"""Two processes train what one does with their batches together: replicated, and sharded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mplus_ray.model.checkpoint.backbone import backbone_config
from mplus_ray.model.config_json import LoraConfig, read_config
from mplus_ray.model.training.loop import saves
from mplus_ray.model.training.loop.loss_curves import Records
from mplus_ray.model.training.network.initial import open_whole
from mplus_ray.model.training.recipe import Adapters, Recipe
from mplus_ray.model.training.run import train
from tests.checkpoints import write_tokenizer
from tests.reading import reading_recipe, write_backbone
from tests.training import LANGUAGE, MEMORY, order, tiny_recipe
from tests.training_processes import together

pytestmark = pytest.mark.timeout(600)  # seconds on a quiet machine, minutes on a busy one
CPU = torch.device("cpu")
# With two retrieved blocks one would be the hardest, which rounding decides among like ones.
PHASES = (replace(LANGUAGE, batch=2), replace(MEMORY, gradient_chunks=1, retrieved=(0, 1)))


def _moved_alike(recipe: Recipe, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Up to rounding: what was trained moved, and the difference is a thousandth of that."""
    begun = saves.weights_of(open_whole(recipe, CPU).network)
    assert ours["network"].keys() == theirs["network"].keys() == begun.keys()
    moved = torch.cat([(theirs["network"][n] - w).flatten() for n, w in begun.items()]).norm()
    apart = [(ours["network"][n] - w).flatten() for n, w in theirs["network"].items()]
    assert float(moved) > 0.01
    assert float(torch.cat(apart).norm()) < 1e-3 * float(moved)
    assert ours["progress"]["total_tokens"] == theirs["progress"]["total_tokens"]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Records, "plot", lambda records: None)


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_two_workers_are_one_with_both_batches(tmp_path: Path, sharded: bool) -> None:
    """Through both phases, and through a stop in the second, that one worker asked for."""
    recipe = tiny_recipe(phases=PHASES)
    assert train(order(replace(recipe, shards=2), tmp_path, "one", steps=5))

    two = order(recipe, tmp_path, "two", steps=5)
    half = together(two, sharded, stop=7)
    assert (half["progress"]["phase"], half["progress"]["step"]) == (1, 2)
    assert half["tasks"].keys() == {0, 1}  # the banks of both
    ours = together(replace(two, resume=True), sharded)

    _moved_alike(recipe, ours, saves.read(tmp_path / "one"))
    best, other = (saves.read(tmp_path / run, saves.BEST)["figures"] for run in ("one", "two"))
    assert other == pytest.approx(best, rel=1e-3)


def test_two_workers_share_a_frozen_backbone(tmp_path: Path) -> None:
    """Sharded, where one layer's call serves two roles and its activations are computed again."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=320,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(shape).save_pretrained(tmp_path / "llama")
    write_tokenizer(tmp_path / "llama")
    adapters = Adapters(r=2, alpha=4)
    memory = {"num_tokens": 4, "num_blocks": 8, "num_ltm_blocks": 2, "chunk_tokens": 96}
    config = replace(
        backbone_config(read_config(tmp_path / "llama"), memory, "llama"),
        lora_config=LoraConfig(r=2, lora_alpha=4, target_modules=adapters.targets),
        add_decoder_lora=True,
    )
    recipe = tiny_recipe(
        model=config,
        backbone=str(tmp_path / "llama"),
        adapters=adapters,
        recompute=True,
        phases=(replace(MEMORY, tokens=10**6, continuing=0.5, other_lr=0.01),),
    )
    assert train(order(replace(recipe, shards=2), tmp_path, "one", steps=4))

    ours = together(order(recipe, tmp_path, "two", steps=4), sharded=True)

    _moved_alike(recipe, ours, saves.read(tmp_path / "one"))


@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_two_workers_read_what_one_reads(tmp_path: Path, sharded: bool) -> None:
    """Two roles with an adapter each, through both phases that ship."""
    backbone = write_backbone(tmp_path / "llama")
    recipe = reading_recipe(tmp_path, backbone, shared=False, recompute=True)
    assert train(order(replace(recipe, shards=2), tmp_path, "one", steps=4))

    ours = together(order(recipe, tmp_path, "two", steps=4), sharded)

    _moved_alike(recipe, ours, saves.read(tmp_path / "one"))
