"""The arithmetic of `bench.durable.run`, and that its random rows take the writer's own way."""

from __future__ import annotations

import pytest
import torch

from mplus_ray.bench.durable.appends import Percentiles
from mplus_ray.bench.durable.run import rebuilding_wins_below
from mplus_ray.bench.fixture import Library, RandomRows, installation, tenant
from mplus_ray.model import MPlus
from mplus_ray.pipeline.workers.catch_up import catch_up
from mplus_ray.services.settings import Settings


def opened(tokens, seconds):
    return {"tokens": tokens, "open_memory": 1e3 * seconds}


def test_rebuilding_wins_while_the_fixed_time_of_opening_is_longer():
    # Opening n tokens takes 1 s + n ms; memorizing takes 2 ms a token, so both take 2 s for 1,000.
    small, large = opened(2_000, 3.0), opened(10_000, 11.0)
    assert rebuilding_wins_below(small, large, 500.0) == pytest.approx(1_000)
    assert rebuilding_wins_below(small, large, 2_000.0) is None  # always faster: no such point
    assert rebuilding_wins_below(opened(2_000, 2.0), opened(10_000, 10.0), 500.0) == 0


def test_percentiles_are_milliseconds():
    found = Percentiles.of([0.001 * n for n in range(101)])
    assert (found.p50, found.low, found.high, found.n) == pytest.approx((50, 0, 100, 101))
    assert found.p99 == pytest.approx(99)


def test_random_rows_are_committed_as_real_ones_are(tmp_path):
    model = RandomRows.like(MPlus.load(Settings.read(environment={}).checkpoint))
    with installation(tmp_path, model) as system:
        log = tenant(system)
        (tmp_path / "documents").mkdir()
        (tmp_path / "documents" / "one.txt").write_text("Nadia Kelm keeps a tortoise. " * 40)
        library = Library(model, tmp_path / "documents")
        library.fill(log, 1_000)  # more than there is, so it comes round again
        assert 1_000 <= log.tokens() < 1_000 + model.config.chunk_tokens
        steps = catch_up(system.engine, [log])
        serving = log.heads.serving()
        assert serving.head.step == steps == log.length()
        stored = system.files.size(serving.shards[0].file)
        assert stored == serving.shards[0].nbytes
    written = [rows for _, rows in model.write_steps([model.empty_memory().writer_state], [[1, 2]])]
    assert torch.isfinite(written[0].kv).all()
