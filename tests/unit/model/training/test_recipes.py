"""Recipes: those that ship are valid and trainable in small, and a bad one is one clear error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import mplus_ray.model.training.recipe
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.training.loop.loss_curves import Records
from mplus_ray.model.training.recipe import LanguagePhase, MemoryPhase, Phase, Recipe
from mplus_ray.model.training.run import train
from tests.training import VOCABULARY, order

FOLDER = Path(mplus_ray.model.training.recipe.__file__).with_name("recipes")
ADAPTING = ("adapt.yaml", "read.yaml", "read_gpu.yaml")
FROM_NOTHING = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name not in ADAPTING)


@pytest.mark.parametrize("name", FROM_NOTHING)
def test_the_shipped_recipes_are_valid(name: str) -> None:
    recipe = Recipe.load(FOLDER / name)

    assert recipe.model.retrieval == "blocks"
    assert len({phase.name for phase in recipe.phases}) == len(recipe.phases)  # seeds of batches


def _shrunken(phase: Phase) -> Phase:
    if isinstance(phase, LanguagePhase):
        return replace(phase, batch=2, length=48)
    assert isinstance(phase, MemoryPhase)
    return replace(phase, documents=4, negatives=min(phase.negatives, 8))


def test_small_trains_when_it_is_made_tiny(tmp_path: Path, monkeypatch) -> None:
    """Its phases, tasks and switches, with a shape and batches of nothing."""
    monkeypatch.setattr(Records, "plot", lambda records: None)
    recipe = Recipe.load(FOLDER / "small.yaml")
    shape = replace(
        recipe.model,
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        num_tokens=4,
        chunk_tokens=32,
        selector_hidden_dim=8,
    )
    tiny = replace(
        recipe,
        model=shape,
        corpus={"texts.parquet": 100_000},
        questions=(),
        phases=tuple(_shrunken(phase) for phase in recipe.phases),
    )

    assert train(order(tiny, tmp_path, steps=2))

    assert (tmp_path / "run" / "checkpoint" / "model.safetensors").exists()
    lines = (tmp_path / "run" / "losses.csv").read_text()
    assert all(f"{phase.name},2," in lines for phase in recipe.phases)


@pytest.mark.parametrize("name", ADAPTING)
def test_adapting_needs_a_backbone(name: str) -> None:
    with pytest.raises(InvalidInputError, match="--backbone"):
        Recipe.load(FOLDER / name)


def test_a_backbone_is_refused_by_a_recipe_without_adapters(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no adapters"):
        Recipe.load(FOLDER / "small.yaml", str(tmp_path))


def test_a_bad_recipe_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nphases: [{name: p, task: juggling, tokens: 1}]\n")

    with pytest.raises(InvalidInputError, match="juggling"):
        Recipe.load(path)
