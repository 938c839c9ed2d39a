"""A tiny backbone, question files and a recipe for reading phases, made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import torch
import yaml

from mplus_ray.model.training.recipe import Recipe
from tests.checkpoints import write_tokenizer
from tests.training import write_texts
from tests.unit.model.training.test_recipes import FOLDER

TOWNS = "Brelin Holt Tarn Osk Veld Marsh Dunmore Lisk".split()
KEEPERS = "Mara Odo Selin Bruno Talia Ines Rurik Anselm".split()


def write_questions(folder: Path, name: str = "questions.jsonl") -> Path:
    """Eight towns with three passages each, and two questions about each passage."""
    rng = Random(1)
    lines = []
    for town, keeper in zip(TOWNS, KEEPERS, strict=True):
        for place in ("mill", "tower", "ferry"):
            year = rng.randrange(1600, 1900)
            context = f"The {place} of {town} is kept by {keeper}. It was built in {year}."
            for question, answers in (
                (f"Who keeps the {place} of {town}?", [keeper, f"by {keeper}", keeper]),
                (f"When was the {place} built?", [str(year)]),
            ):
                row = {"title": town, "context": context, "question": question}
                lines.append(json.dumps({**row, "answers": answers}))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def write_backbone(folder: Path, tied: bool = True) -> Path:
    """Two layers of random weights, as `save_pretrained` writes them, and a tokenizer of bytes.

    Args:
        tied: whether the output projection is the embedding.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=tied,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3 if parameter.dim() > 1 else 0.1)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def reading_recipe(folder: Path, backbone: Path, shared: bool = True, **changes: Any) -> Recipe:
    """The recipe that ships, on such questions and in float32, with packs of nothing."""
    write_texts(folder / "data")
    write_questions(folder / "data")
    raw = yaml.safe_load((FOLDER / "read.yaml").read_text())
    raw["model"] |= {"num_tokens": 96, "chunk_tokens": 96, "header_tokens": 8, "num_blocks": 12}
    raw["adapters"] |= {"r": 4, "alpha": 8, "shared": shared}
    raw |= {"start_text": "Read.", "corpus": {"texts.parquet": 100_000}, "precision": "float32"}
    raw["reading"] = [{"file": "questions.jsonl", "held_out": 3}]
    raw["validation"] = {"every": 10**9, "steps": 2, "text": 200, "questions": 6}
    for phase in raw["phases"]:
        phase |= {"tokens": 3000, "pack": 400, "other_lr": 0.01}
    raw |= changes
    path = folder / "read.yaml"
    path.write_text(yaml.safe_dump(raw))
    return Recipe.load(path, str(backbone))
