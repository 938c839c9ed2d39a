"""What a run leaves to look at: a table, a picture, a bar or lines, and the best weights."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.training.export import export
from mplus_ray.model.training.loop import saves
from mplus_ray.model.training.loop.loss_curves import Records
from mplus_ray.model.training.loop.progress import Display, Standing
from mplus_ray.model.training.validation.held_out import score
from tests.training import LANGUAGE, MEMORY, tiny_recipe, trainer


def test_every_loss_is_in_the_table_and_in_the_picture(tmp_path: Path) -> None:
    recipe = tiny_recipe(phases=(LANGUAGE, MEMORY))
    records = Records(tmp_path, recipe)
    records.write("language", 20, 600, {"text": 5.0})
    size = records.write("memory", 20, 300, {"text": 4.0, "validation text": 4.5})
    records.write("memory", 40, 900, {"text": 3.0})

    records.cut(size)
    records.plot()

    assert records.curves() == {
        "text": ([0.0006, 0.0015], [5.0, 4.0]),
        "validation text": ([0.0015], [4.5]),
    }
    assert records.picture.read_bytes().startswith(b"\x89PNG")


def _shown(terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200, soft_wrap=True)
    recipe, standing = tiny_recipe(phases=(LANGUAGE, MEMORY)), Standing()
    with Display(recipe, console=console) as display:
        display.begin(LANGUAGE, standing)
        for _ in range(20):
            standing.add(30, {"text": 5.0, "answer": float("nan")}, 0.5)
            display.step(LANGUAGE, standing)
        display.validated({"text": 5.5}, best=True)
    return out.getvalue()


def test_lines_say_how_far_it_is_and_how_long_it_takes() -> None:
    (line, validation) = _shown(terminal=False).splitlines()

    assert line == ("language 0.00M of 0.00M tokens, 60/s, 0 min left, 0 of the run | text 5.000")
    assert validation == "validation | text 5.500 (the best so far)"


def test_a_terminal_gets_a_bar() -> None:
    shown = _shown(terminal=True)

    assert "━" in shown
    assert "language" in shown
    assert "50%" in shown  # 600 of 1,200 tokens
    assert "60 tokens/s" in shown
    assert "text 5.000" in shown


def test_validation_is_the_same_whenever_it_is_taken(tmp_path: Path) -> None:
    run, task_of = trainer(tiny_recipe(phases=(MEMORY,)), tmp_path, validated=True)
    assert run.validation is not None
    before = run.validation.measure(run.whole)
    run.open_tasks(MEMORY, task_of)
    run.start(MEMORY)

    assert run.validation.measure(run.whole) == before
    assert {"text", "answering", "retrieval", "found", "exact"} <= before.keys()
    run.step(MEMORY)
    assert run.validation.measure(run.whole) != before


def test_the_best_weights_are_kept_and_exported(tmp_path: Path, monkeypatch) -> None:
    """The second of three validations is made to be the best."""
    recipe = tiny_recipe(phases=(replace(LANGUAGE, tokens=1000),))
    run, task_of = trainer(recipe, tmp_path, validated=True)
    seen: list[dict[str, torch.Tensor]] = []
    assert run.validation is not None

    def measured(whole):
        seen.append({n: p.detach().clone() for n, p in whole.network.named_parameters()})
        return {"text": [5.0, 1.0, 3.0][len(seen) - 1]}

    monkeypatch.setattr(run.validation, "measure", measured)
    run.run(task_of)

    assert len(seen) == 3
    best = saves.read(run.out, saves.BEST)
    assert best["figures"] == {"text": 1.0}
    for last, which in ((False, 1), (True, 2)):
        export(recipe, run.out, tmp_path / "checkpoint", last=last)
        from safetensors.torch import load_file

        tensors = load_file(tmp_path / "checkpoint" / "model.safetensors")
        for name, weights in seen[which].items():
            assert torch.equal(tensors[name], weights.bfloat16()), name


def test_an_answer_weighs_more_than_text_and_what_was_not_measured_nothing() -> None:
    figures = {"answering": 1.0, "retrieval": 1.0, "text": 1.0, "exact": 0.5}

    assert score({**figures, "answering": 0.9}) < score({**figures, "text": 0.5})
    assert score({"text": 2.0}) == pytest.approx(0.2)


def test_a_folder_without_a_save_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no state\.pt"):
        saves.read(tmp_path)


def test_banks_of_another_save_are_left_out(tmp_path: Path) -> None:
    """Workers' files stay when a process alone goes on."""
    saves.write(tmp_path / "state.pt", {"progress": {"total_tokens": 7}, "tasks": {0: {"a": 1}}})
    saves.write(tmp_path / "state.1.pt", {"total_tokens": 7, "tasks": {1: {"a": 2}}})
    saves.write(tmp_path / "state.2.pt", {"total_tokens": 6, "tasks": {0: {"a": 3}}})

    assert saves.read(tmp_path)["tasks"] == {0: {"a": 1}, 1: {"a": 2}}
