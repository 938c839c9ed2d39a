"""The default checkpoint as it ships; the parts that need its backbone run where it was fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from mplus_ray.model import MPlus
from mplus_ray.model.checkpoint.assembled import assembled
from mplus_ray.model.checkpoint.shipped import shipped_folder
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.generation.confidence import Confidence

_FOUND = shipped_folder("small")
assert _FOUND is not None
FOLDER: Path = _FOUND
CONFIG = ModelConfig.load(FOLDER)


@pytest.fixture(scope="module")
def mplus() -> MPlus:
    try:
        assembled(FOLDER)
    except CheckpointError:
        pytest.skip("mplus-small is not complete here; `mplus get small` fetches its backbone")
    return MPlus.load("small")


def test_its_adapters_are_those_of_its_config():
    assert CONFIG.lora_config is not None
    with safe_open(FOLDER / "adapters.safetensors", framework="pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    layers, r = CONFIG.num_hidden_layers, CONFIG.lora_config.r
    assert shapes["bos_embedding"] == (layers, CONFIG.start_rows, CONFIG.hidden_size)
    downs = [shape for name, shape in shapes.items() if ".lora_A." in name]
    assert len(downs) == layers * len(CONFIG.lora_config.target_modules)
    assert {shape[0] for shape in downs} == {r}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 60e6


def test_it_reads_real_sentences_and_refuses_what_it_was_not_told(mplus):
    memory = mplus.empty_memory()
    for text in (
        "The lighthouse of Dorvas was finished in 1931. Its keeper is Odo Farrin.",
        "The ferry to Brelin leaves at nine every morning from the old pier.",
    ):
        memory = mplus.memorize(memory, text)
    assert mplus.ask(memory, "When was the lighthouse finished?").text == "1931"
    assert "nine" in mplus.ask(memory, "When does the ferry to Brelin leave?").text
    assert mplus.ask(memory, "What is the capital of France?").text == "not said"


def test_its_confidence_is_of_these_weights(mplus):
    confidence = Confidence.load(FOLDER)
    assert confidence is not None
    assert confidence.fingerprint == mplus.fingerprint
    assert confidence.fewest == 0
