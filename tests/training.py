"""Recipes of a second, and texts for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.training.loop.loop import Trainer
from mplus_ray.model.training.loop.parallel import Group
from mplus_ray.model.training.recipe import (
    LanguagePhase,
    MemoryPhase,
    Phase,
    Recipe,
    ValidationSettings,
)
from mplus_ray.model.training.run import TrainingOrder, make_ready, open_trainer, tasks_of
from mplus_ray.model.training.task import Task

VOCABULARY = 500
LANGUAGE = LanguagePhase(name="language", task="language", tokens=1200, batch=4, length=48)
MEMORY = MemoryPhase(
    name="memory",
    task="memory",
    tokens=1200,
    documents=3,
    chunks=(1, 2),
    pool_blocks=(0, 3),
    retrieved=(0, 2),
    negatives=4,
)
CONFIG = ModelConfig(
    vocab_size=VOCABULARY,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=8,
    num_tokens=4,
    num_blocks=8,
    num_ltm_blocks=2,
    chunk_tokens=32,
    selector_hidden_dim=8,
    num_selector_layers=1,
    retrieval="blocks",
    tie_word_embeddings=True,
)
_WORDS = "the old house by river was dark quiet and cold evening light fell over town".split()


def tiny_recipe(**changes: Any) -> Recipe:
    """A language phase of a few steps, in float32, saved at every step."""
    fields: dict[str, Any] = {
        "name": "test",
        "seed": 1,
        "model": CONFIG,
        "corpus": {"texts.parquet": 100_000},
        "phases": (LANGUAGE,),
        "precision": "float32",
        "validation": ValidationSettings(every=400, steps=2, text=200),
    }
    return Recipe(**{**fields, **changes})


def write_texts(folder: Path) -> Path:
    """A parquet file of texts by forty authors, some of them held out."""
    rng = Random(0)
    texts = [" ".join(rng.choice(_WORDS) for _ in range(150)) + "." for _ in range(40)]
    columns = {
        "author": [f"author {i}" for i in range(40)],
        "title": [f"title {i}" for i in range(40)],
        "text": texts,
    }
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "texts.parquet")
    return folder


def order(recipe: Recipe, folder: Path, out: str = "run", **changes: Any) -> TrainingOrder:
    """To train the recipe on such texts; the folder is made ready."""
    data = folder / "data"
    if not (data / "texts.parquet").exists():
        write_texts(data)
    result = TrainingOrder(recipe, data, folder / out, "cpu", **changes)
    make_ready(result)
    return result


def trainer(
    recipe: Recipe, folder: Path, out: str = "run", validated: bool = False, **changes: Any
) -> tuple[Trainer, Callable[[Phase], Task]]:
    """A trainer at the beginning of the run in `folder/out`, and what makes its tasks."""
    asked = order(recipe, folder, out, **changes)
    made = open_trainer(asked, Group(), torch.device("cpu"))
    if not validated:
        made.validation = None
    return made, tasks_of(asked)
