"""`mplus train --workers`: one of two is killed, and the run ends as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml

from mplus_ray.model.mplus import MPlus
from mplus_ray.model.training.loop import saves
from mplus_ray.model.training.recipe import Recipe
from mplus_ray.model.training.run import train
from tests.integration.command import MPLUS
from tests.integration.conftest import RUN
from tests.training import LANGUAGE, MEMORY, order, tiny_recipe

pytestmark = pytest.mark.timeout(900)  # under a minute on a quiet machine
PHASES = (replace(LANGUAGE, batch=2, tokens=8000), replace(MEMORY, retrieved=(0, 1)))


def _write(path: Path, recipe: Recipe) -> Path:
    """The recipe as a file, which reads back as the same."""
    fields = {name: value for name, value in asdict(recipe).items() if value is not None}
    path.write_text(yaml.safe_dump(json.loads(json.dumps(fields))))
    assert Recipe.load(path) == recipe
    return path


def _workers() -> list[psutil.Process]:
    """Those that train, among our processes."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("MPLUS_TEST_RUN") == RUN
            if ours and "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _kill_one_after_a_checkpoint(out: Path, running: subprocess.Popen[Any]) -> None:
    while not list(out.glob("workers/run/*snapshot*.json")):
        assert running.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.02)
    workers = _workers()
    assert len(workers) == 2
    os.kill(workers[1].pid, signal.SIGKILL)


def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    recipe = tiny_recipe(phases=PHASES)
    asked = order(replace(recipe, shards=2), tmp_path, "one")
    assert train(asked)
    often = _write(tmp_path / "recipe.yaml", replace(recipe, save_every_minutes=0.0))
    out = tmp_path / "two"
    line = [str(MPLUS), "train", str(often), "--data", str(asked.data), "--out", str(out)]
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        running = subprocess.Popen([*line, "--workers", "2", "--device", "cpu"], stderr=file)
        try:
            _kill_one_after_a_checkpoint(out, running)
            assert running.wait() == 0, errors.read_text()
        finally:
            running.kill()

    said = errors.read_text()
    assert "language 0.00M of 0.01M tokens" in said
    assert "trained; the checkpoint is" in said
    one, two = saves.read(tmp_path / "one"), saves.read(out)
    assert two["progress"]["phase"] == 2
    assert two["progress"]["total_tokens"] == one["progress"]["total_tokens"]
    for name, weights in one["network"].items():
        assert torch.allclose(two["network"][name], weights, atol=1e-4), name
    assert _table(out) == _table(tmp_path / "one")
    assert not (out / "workers").exists()
    assert (out / "losses.png").exists()
    assert MPlus.load(out / "checkpoint").config.num_tokens == recipe.model.num_tokens


def _table(run: Path) -> list[list[str]]:
    """All but the values, which rounding moves: no line is there twice, and none is lost."""
    return [line.split(",")[:4] for line in (run / "losses.csv").read_text().splitlines()]
