"""`train`: a recipe, a folder of texts and a folder for the run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from model.checkpoint import load_networks
from model.config import ModelConfig
from model.network import Network
from model.training.documents import Documents
from model.training.grow import deepen
from model.training.induction import plant, plant_retriever
from model.training.language import LanguageTask
from model.training.loop import Trainer
from model.training.memory import MemoryTask
from model.training.questions import load_passages
from model.training.recipe import LanguagePhase, MemoryPhase, Recipe
from model.training.step import Task
from model.training.text import Corpus, prepare


def train(recipe_path: Path, data: Path, out: Path, resume: bool = False) -> None:
    """Train what the recipe describes; the run's state and losses stay in `out`.

    Args:
        recipe_path: a YAML file, see `recipes/`.
        data: the folder with the parquet and jsonl files that the recipe names.
        out: the run's folder, made if need be.
        resume: continue from the last save in `out`.
    """
    recipe = Recipe.load(recipe_path)
    out.mkdir(parents=True, exist_ok=True)
    if recipe.start is not None and not resume:
        shutil.copyfile(Path(recipe.start) / "tokenizer.json", out / "tokenizer.json")
    tokenizer = prepare(data, recipe.corpus, recipe.model.vocab_size, out)
    corpus = Corpus.open(out / "corpus.npy")
    trainer = Trainer(recipe, first_weights(recipe), out)
    if resume:
        trainer.resume()

    def task_of(phase: LanguagePhase | MemoryPhase) -> Task:
        if isinstance(phase, LanguagePhase):
            return LanguageTask(phase, tokenizer, corpus)
        passages = load_passages([data / name for name in recipe.questions], tokenizer)
        shares = {"real": phase.real, "recall": phase.recall, "following": phase.following}
        return MemoryTask(phase, Documents(tokenizer, corpus, passages, **shares))

    trainer.run(task_of)


def first_weights(recipe: Recipe) -> Network:
    """The network that a run begins with: noise, a planted circuit in it, or a checkpoint's,
    deepened where the recipe has more layers.

    Raises:
        CheckpointError: the checkpoint cannot be read, or is of another shape than the recipe's.
    """
    network = Network(recipe.model)
    network.initialize(recipe.seed)
    if recipe.plant_induction:
        plant(network, recipe.seed)
        plant_retriever(network, recipe.seed)
    if recipe.start is not None:
        start, cpu = Path(recipe.start), torch.device("cpu")
        layers = min(ModelConfig.load(start).num_hidden_layers, recipe.model.num_hidden_layers)
        shape = replace(recipe.model, num_hidden_layers=layers)
        begun = load_networks(start, shape, cpu, torch.float32, False).reader
        if layers < recipe.model.num_hidden_layers:
            begun = deepen(begun, recipe.model)
        network.load_state_dict(begun.state_dict())
    return network
