"""The loop: losses fall, a resumed run equals one that was never stopped, exports load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from model.config import ModelConfig
from model.errors import CheckpointError, InvalidInputError
from model.library import MPlus
from model.network import Network
from model.training.documents import Documents
from model.training.export import export
from model.training.facts import draw_fact
from model.training.language import LanguageTask
from model.training.loop import Trainer, learning_rate
from model.training.memory import MemoryTask
from model.training.optimizer import orthogonalize
from model.training.recipe import LanguagePhase, MemoryPhase, Recipe
from model.training.run import first_weights
from model.training.text import Corpus, train_tokenizer

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


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    rng = Random(0)
    return train_tokenizer((draw_fact(rng).statement for _ in range(300)), VOCABULARY)


@pytest.fixture
def corpus(tokenizer: Tokenizer) -> Corpus:
    ids = tokenizer.encode("It was a dark and quiet evening. " * 50).ids
    return Corpus(np.array(ids, dtype=np.uint16))


@pytest.fixture
def recipe() -> Recipe:
    config = ModelConfig(
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
    return Recipe(name="test", seed=1, model=config, corpus={}, phases=(LANGUAGE,))


def trainer(recipe: Recipe, out: Path) -> Trainer:
    network = Network(recipe.model)
    network.initialize(recipe.seed)
    return Trainer(recipe, network, out)


def test_a_resumed_run_equals_an_uninterrupted_one(
    recipe: Recipe, tokenizer: Tokenizer, corpus: Corpus, tmp_path: Path
) -> None:
    def task_of(phase: object) -> LanguageTask:
        assert isinstance(phase, LanguagePhase)
        return LanguageTask(phase, tokenizer, corpus)

    whole = trainer(recipe, tmp_path)
    whole.run(task_of)

    half = trainer(recipe, tmp_path)
    half._start(LANGUAGE)
    task = task_of(LANGUAGE)
    for _ in range(3):
        tokens, _ = half._step(LANGUAGE, task)
        half.progress.step += 1
        half.progress.tokens += tokens
    half.save()
    resumed = trainer(recipe, tmp_path)
    resumed.resume()
    resumed.run(task_of)

    assert resumed.progress.phase == 1
    for mine, theirs in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_run_can_begin_with_a_checkpoint(
    recipe: Recipe, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    earlier = trainer(replace(recipe, seed=9), tmp_path)
    earlier.save()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    export(recipe, tmp_path, tmp_path / "checkpoint")
    begun = first_weights(replace(recipe, start=str(tmp_path / "checkpoint")))
    kept = earlier.network.to(torch.bfloat16).state_dict()
    for name, weights in begun.state_dict().items():
        assert torch.equal(weights, kept[name].float()), name
    other = replace(recipe.model, hidden_size=32)
    with pytest.raises(CheckpointError):
        first_weights(replace(recipe, model=other, start=str(tmp_path / "checkpoint")))


def test_a_finished_run_goes_on_when_its_recipe_gets_another_phase(
    recipe: Recipe, tokenizer: Tokenizer, corpus: Corpus, tmp_path: Path
) -> None:
    def task_of(phase: object) -> LanguageTask:
        assert isinstance(phase, LanguagePhase)
        return LanguageTask(phase, tokenizer, corpus)

    trainer(recipe, tmp_path).run(task_of)
    longer = replace(recipe, phases=(LANGUAGE, replace(LANGUAGE, name="more")))

    resumed = trainer(longer, tmp_path)
    resumed.resume()
    resumed.run(task_of)

    assert resumed.progress.phase == 2
    assert resumed.progress.total_tokens >= 2 * LANGUAGE.tokens


def test_memory_training_lowers_the_loss(
    recipe: Recipe, tokenizer: Tokenizer, corpus: Corpus, tmp_path: Path
) -> None:
    run = trainer(recipe, tmp_path)
    phase = replace(MEMORY, matrix_lr=0.1, other_lr=0.05)
    run._start(phase)
    task = MemoryTask(phase, Documents(tokenizer, corpus, []))
    losses = []
    for _ in range(30):
        _, parts = run._step(phase, task)
        run.progress.step += 1
        losses.append(parts["answering"])

    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    assert len(task.bank) == task.bank.capacity


def test_every_parameter_of_the_memory_is_trained(
    recipe: Recipe, tokenizer: Tokenizer, corpus: Corpus
) -> None:
    network = Network(recipe.model)
    network.initialize(0)
    task = MemoryTask(replace(MEMORY, chunks=(2,)), Documents(tokenizer, corpus, []))
    for step in range(3):
        task.loss(network, Random(step)).loss.backward()

    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_an_export_loads_and_answers(recipe: Recipe, tokenizer: Tokenizer, tmp_path: Path) -> None:
    trainer(recipe, tmp_path).save()
    tokenizer.save(str(tmp_path / "tokenizer.json"))

    export(recipe, tmp_path, tmp_path / "checkpoint")

    mplus = MPlus.load(tmp_path / "checkpoint")
    memory = mplus.memorize(mplus.empty_memory(), "Maren Tolva lives in Brelin.")
    assert mplus.ask(memory, "Where does Maren Tolva live?", max_tokens=3).usage.memory_rows
    assert mplus.config.prompt_template is not None


def test_learning_rate_warms_up_and_decays_to_its_last_share() -> None:
    assert learning_rate(0, 0.0, 0.1) < learning_rate(20, 0.0, 0.1) < 1
    assert learning_rate(1000, 0.0, 0.1) == 1
    assert learning_rate(1000, 1.0, 0.1) == pytest.approx(0.1)


def test_orthogonalized_steps_have_like_singular_values() -> None:
    values = torch.linalg.svdvals(orthogonalize(torch.randn(2, 12, 6)))

    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.5


def test_a_bad_recipe_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nphases: [{name: p, task: juggling, tokens: 1}]\n")

    with pytest.raises(InvalidInputError, match="juggling"):
        Recipe.load(path)


def test_the_shipped_recipe_is_valid() -> None:
    recipe = Recipe.load(Path("model/training/recipes/tiny.yaml"))

    assert recipe.model.retrieval == "blocks"
