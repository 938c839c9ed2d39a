"""Running text, read with and without what came before."""

from __future__ import annotations

from itertools import chain, pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.model.evaluation.data.text import RunningText
from mplus_ray.model.evaluation.perplexity import perplexity, place_windows, tokens_to_memorize
from mplus_ray.model.memory.memory import link
from tests.unit.model.evaluation.told import SIZE


class TestPerplexity:
    def test_memory_is_what_stands_before_each_window(
        self, mplus: MPlus, text: RunningText, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mplus_ray.model.evaluation import perplexity as module

        seen: list[Any] = []
        real = module._loss

        def look(mplus: MPlus, ids: Any, windows: Any, arm: str) -> list[float]:
            if arm == "mplus":
                seen.extend(windows)
            return real(mplus, ids, windows, arm)

        monkeypatch.setattr(module, "_loss", look)
        memorized: list[int] = []
        distances = [0, 200, 1300]
        perplexity(mplus, text.ids, distances, 5, memorized.append)
        starts = place_windows(len(text), 1300, SIZE, 5)
        assert sum(memorized) == tokens_to_memorize(starts, distances, SIZE)
        assert sorted((w.distance, w.at) for w in seen) == sorted(
            (d, at) for d in distances for place in starts for at in place
        )
        for window in seen:
            assert self.explains(window, text.ids.tolist()), window

    def explains(self, window: Any, ids: list[int]) -> bool:
        """Whether some run of whole chunks that ends where the window begins is its history."""
        for extra in range(0, max(1, window.distance // 8) + 1, SIZE):
            length = window.distance + extra
            start = window.at - length
            first = window.distance % SIZE
            cuts = [0, *range(first, length + 1, SIZE)] if first else range(0, length + 1, SIZE)
            history = b""
            for a, b in pairwise(cuts):
                history = link(history, ids[start + a : start + b])
            if history == window.memory.history:
                return True
        return False

    def test_figures(self, mplus: MPlus, text: RunningText) -> None:
        result = perplexity(mplus, text.ids, [300, 0], 2)
        assert result == perplexity(mplus, text.ids, [0, 300], 2)
        for points in result["arms"].values():
            assert list(points) == ["0", "300"]
            assert points["0"]["ratio"] == 1.0
            for entry in points.values():
                assert entry["low"] <= entry["perplexity"] <= entry["high"]
                # A byte is a token here, and a character.
                bits = entry["bits_per_character"]
                assert 2**bits == pytest.approx(entry["perplexity"], rel=1e-3)
        assert result["arms"]["mplus"]["0"] == result["arms"]["memoryllm"]["0"]

    def test_windows_do_not_overlap_and_fit(self) -> None:
        for length, memory, count in ((3000, 100, 9), (1000, 0, 50), (2000, 1900, 5)):
            starts = list(chain.from_iterable(place_windows(length, memory, 40, count)))
            assert 0 < len(starts) <= count
            assert min(starts) >= memory
            assert max(starts) + 80 <= length
            assert all(b - a >= 40 for a, b in pairwise(starts))

    def test_a_text_that_is_too_short(self) -> None:
        with pytest.raises(InvalidInputError, match="need 180"):
            place_windows(179, 100, 40, 4)


class TestText:
    def test_it_is_read_in_order_and_again(self, mplus: MPlus) -> None:
        text = RunningText.of("abcdef", "x", mplus.tokenizer)
        reader = text.reader(Random(0))
        taken = mplus.tokenizer.decode(reader.take(4) + reader.take(10))
        assert taken in "abcdef" * 4

    def test_files_of_every_kind(self, mplus: MPlus, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        (tmp_path / "a.txt").write_text("\ufeffplain é", "utf-8")
        np.save(tmp_path / "b.npy", np.array(mplus.tokenizer.encode("ids"), dtype=np.uint16))
        authors = [f"author {n}" for n in range(80)]
        table = pa.table({"author": authors, "title": authors, "text": [f"<{a}>" for a in authors]})
        pq.write_table(table, tmp_path / "c.parquet")
        paths = [tmp_path / name for name in ("a.txt", "b.npy", "c.parquet")]
        text = RunningText.read(paths, mplus.tokenizer)
        whole = mplus.tokenizer.decode(text.ids.tolist())
        assert whole.startswith("plain éids<author")
        assert 0 < whole.count("<") < 20  # one author in twenty is held out

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.txt", b""), ("a.txt", b"\xff"), ("a.npy", b"no"), ("a.parquet", b"no")],
    )
    def test_bad_files(self, mplus: MPlus, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DocumentError, match=name):
            RunningText.read([tmp_path / name], mplus.tokenizer)

    def test_ids_of_another_tokenizer(self, mplus: MPlus, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([1, 70_000]))
        with pytest.raises(InvalidInputError, match="another checkpoint"):
            RunningText.read([tmp_path / "a.npy"], mplus.tokenizer)
        np.save(tmp_path / "b.npy", np.array([[0.5]]))
        with pytest.raises(DocumentError, match="not token ids"):
            RunningText.read([tmp_path / "b.npy"], mplus.tokenizer)
