"""A small random model, and running text."""

from __future__ import annotations

from random import Random

import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.evaluation.data.text import RunningText
from tests.checkpoints import write_checkpoint
from tests.unit.model.evaluation.told import SIZE


@pytest.fixture(scope="module")
def mplus(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(
        folder,
        num_hidden_layers=2,
        chunk_tokens=SIZE,
        retrieval="blocks",
        initial_rf_when_moving_stm_to_ltm=1000,
    )
    return MPlus.load(folder, device="cpu")


@pytest.fixture(scope="module")
def text(mplus: MPlus) -> RunningText:
    rng = Random(0)
    prose = " ".join("".join(rng.choices("abcdefgh", k=6)) for _ in range(1500))
    return RunningText.of(prose, "invented", mplus.tokenizer)
