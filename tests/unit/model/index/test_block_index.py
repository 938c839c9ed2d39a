"""Finding the best blocks of a long memory: what is found is what exact scoring finds."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from mplus_ray.model.errors import MPlusError
from mplus_ray.model.generation.memory_view import MemoryView
from mplus_ray.model.generation.read_pass import begin
from mplus_ray.model.index.block_index import COPIES_FROM, LISTS_FROM, BlockIndex, index_bytes
from mplus_ray.model.index.int8_tiles import Queries, Tile, near_votes, tile_blocks
from mplus_ray.model.retrieval.block_search import BlockQuery, exact_votes, vote
from mplus_ray.model.store.row_format import RowBlock
from mplus_ray.model.store.row_store import RowStore
from tests.checkpoints import tiny_config
from tests.forms import grow, load
from tests.official import write_official

CONFIG = tiny_config(
    num_hidden_layers=2,
    num_tokens=64,
    num_blocks=12,
    num_ltm_blocks=4,
    num_key_value_heads=1,
    head_dim=2,
    selector_hidden_dim=16,
    retrieval="blocks",
)
TILE = 64
NEVER = 1 << 60


def blocks(count, seed=0):
    """Keys [count, L, K, s] of blocks about something each, as real ones are."""
    generator = torch.Generator().manual_seed(seed)
    subject = torch.randn(count, 2, 1, 16, generator=generator)
    return subject + torch.randn(count, 2, 64, 16, generator=generator)


def filled(keys, start=1, lists_from=NEVER):
    store = RowStore(CONFIG, "float32", torch.float32, torch.device("cpu"), None)
    store.index = BlockIndex(CONFIG, start, lists_from)
    for block in keys:
        store.append(store.format.store(RowBlock(torch.zeros(2, 64, 2, 1, 2), block)), b"")
    return store


def questions(keys, count, seed=1):
    """L × [n, s], each about one of the blocks."""
    generator = torch.Generator().manual_seed(seed)
    for step in torch.randint(len(keys), (count,), generator=generator).tolist():
        rows = torch.randint(64, (11,), generator=generator)
        asked = keys[step][:, rows] + 0.5 * torch.randn(2, 11, 16, generator=generator)
        yield list(asked)


def ballot(store, asked, steps=None, barred=(), pool=0):
    steps = store.steps if steps is None else steps
    known = np.ones(steps, dtype=bool)
    known[list(barred)] = False
    eligible = known.copy()
    eligible[steps - pool :] = False
    return BlockQuery(asked, store, steps, known, eligible, 4)


def winners(votes, one):
    eligible = votes.masked_fill(~torch.from_numpy(one.eligible), -torch.inf)
    return set(eligible.topk(min(4, int(one.eligible.sum()))).indices.tolist())


@pytest.mark.parametrize("steps", [1, 63, 64, 65, 300, 700])
@pytest.mark.parametrize("pool", [0, 9])
def test_copies_elect_the_exact_blocks(steps, pool):
    keys = blocks(steps)
    store = filled(keys)
    for asked in questions(keys, 10):
        one = ballot(store, asked, pool=min(pool, steps - 1))
        exact, votes = exact_votes(one), vote(one)
        assert store.index.steps == steps // TILE * TILE
        best = list(winners(exact, one))
        assert winners(votes, one) == set(best)
        torch.testing.assert_close(votes[best], exact[best])
        torch.testing.assert_close(votes, exact, atol=0.2, rtol=0)


def test_copies_decide_only_what_is_scored(monkeypatch):
    """Estimates that are far off widen the search, to all blocks if need be."""
    keys = blocks(640)
    store = filled(keys)

    def misleading(self, queries, first, steps):
        return torch.linspace(1, 0, steps)[: self.steps]

    monkeypatch.setattr(BlockIndex, "near_votes", misleading)
    for asked in questions(keys, 5):
        one = ballot(store, asked)
        assert winners(vote(one), one) == winners(exact_votes(one), one)


def test_lists_elect_nearly_always_the_exact_blocks():
    keys = blocks(4096)
    store = filled(keys, lists_from=16)
    store.extend_index(store.steps)
    store.index.lists.join()
    assert store.index.listed(store.steps)[1] == 4096
    found, spread = [], []
    for asked in questions(keys, 25):
        one = ballot(store, asked, pool=100)
        exact, votes = exact_votes(one), vote(one)
        found.append(len(winners(votes, one) & winners(exact, one)) / 4)
        spread.append(float(votes.std() / exact.std()))
        assert votes.argmax() == exact.argmax()
    assert np.mean(found) >= 0.99
    assert np.mean(spread) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("lists_from", [NEVER, 8])
def test_what_is_forgotten_or_later_is_never_found(lists_from):
    keys = blocks(2100)
    store = filled(keys, lists_from=lists_from)
    store.extend_index(store.steps)
    store.index.lists.join()
    for asked in questions(keys, 5):
        best = exact_votes(ballot(store, asked)).topk(3).indices.tolist()
        one = ballot(store, asked, barred=best)
        assert winners(vote(one), one) == winners(exact_votes(one), one)
        earlier = ballot(store, asked, steps=2085, barred=[b for b in best if b < 2085])
        votes = vote(earlier)
        assert len(votes) == 2085
        assert winners(votes, earlier) == winners(exact_votes(earlier), earlier)
    nothing = ballot(store, asked, barred=range(2100))
    assert vote(nothing).isfinite().all()


def test_what_a_filter_leaves_is_found_whatever_lists_know():
    keys = blocks(2100)
    store = filled(keys, lists_from=8)
    store.extend_index(store.steps)
    store.index.lists.join()
    for left in (1, 3, 40, 500):
        kept = np.random.default_rng(left).choice(2100, left, replace=False)
        barred = sorted(set(range(2100)) - set(kept.tolist()))
        for asked in questions(keys, 3):
            one = ballot(store, asked, barred=barred)
            exact, votes = exact_votes(one), vote(one)
            assert winners(votes, one) == winners(exact, one)
            torch.testing.assert_close(votes[np.sort(kept)], exact[np.sort(kept)])


def test_lists_follow_a_growing_memory_and_are_shared():
    keys = blocks(1400)
    store = filled(keys[:700], lists_from=2)
    store.extend_index(700)
    store.index.lists.join()
    lists, listed = store.index.listed(700)
    assert listed == 640
    longer = store.prefix(700)  # as a reader goes on when a file is added
    for block in keys[700:]:
        longer.append(longer.format.store(RowBlock(torch.zeros(2, 64, 2, 1, 2), block)), b"")
    longer.extend_index(1400)
    longer.index.lists.join()
    assert longer.index.lists is store.index.lists
    assert longer.index._tiles[:10] == store.index._tiles  # the very same objects
    newer, listed = longer.index.listed(1400)
    assert listed == 1344
    assert newer is lists  # 21 tiles are less than four times 8, from which they were learned
    assert newer.trained == 8
    for asked in questions(keys[:700], 5):
        one = ballot(store, asked)
        assert winners(vote(one), one) == winners(exact_votes(one), one)


def test_lists_are_learned_again_when_there_are_four_times_as_many():
    keys = blocks(640)
    store = filled(keys, lists_from=2)
    for steps, trained in ((64, None), (128, 2), (448, 2), (512, 8), (640, 8)):
        store.extend_index(steps)
        store.index.lists.join()
        lists, listed = store.index.listed(steps)
        assert (lists.trained if lists else None) == trained
        assert listed == (steps if trained else 0)


def test_another_future_does_not_meet_the_first_ones_blocks():
    keys, others = blocks(640), blocks(640, seed=9)
    store = filled(keys, lists_from=2)
    store.extend_index(640)
    store.index.lists.join()
    fork = store.prefix(300)
    for block in others[300:]:
        fork.append(fork.format.store(RowBlock(torch.zeros(2, 64, 2, 1, 2), block)), b"")
    fork.extend_index(640)
    fork.index.lists.join()
    assert fork.index.lists is not store.index.lists
    for mine, theirs in ((keys, store), (torch.cat([keys[:300], others[300:]]), fork)):
        for asked in questions(mine, 5):
            one = ballot(theirs, asked)
            assert winners(vote(one), one) == winners(exact_votes(one), one)


def test_the_same_memory_gives_the_same_candidates():
    """However it grew: in one go, or tile by tile with lists made in between."""
    keys = blocks(640)
    at_once, bit_by_bit = filled(keys, lists_from=2), filled(keys, lists_from=2)
    at_once.extend_index(640)
    for steps in range(64, 641, 64):
        bit_by_bit.extend_index(steps)
        bit_by_bit.index.lists.join()
    at_once.index.lists.join()
    for asked in questions(keys, 5):
        assert torch.equal(vote(ballot(at_once, asked)), vote(ballot(bit_by_bit, asked)))


def test_nobody_builds_lists_for_a_store_that_is_gone():
    store = filled(blocks(256), lists_from=2)
    store.extend_index(256)
    worker = store.index.lists._worker
    del store
    if worker is not None:
        worker.join(timeout=60)
        assert not worker.is_alive()


@pytest.mark.parametrize("width", [4, 8, 16, 33, 64])
@pytest.mark.parametrize("count", [1, 7, 8, 24])
def test_near_votes_are_near(width, count):
    generator = torch.Generator().manual_seed(width)
    keys = torch.randn(2, 5, 8, width, generator=generator)
    queries = [torch.randn(count, width, generator=generator) for _ in range(2)]
    near = near_votes(queries, [Tile.of(keys), Tile.of(keys * 3)])
    votes = [
        torch.einsum("ns,bks->bnk", q, k).amax(2).mean(1)
        for q, k in zip(queries, keys, strict=True)
    ]
    exact = torch.stack(votes).sum(0)
    torch.testing.assert_close(near, torch.cat([exact, exact * 3]) * width**-0.5, atol=0.2, rtol=0)


SATURATING = """
import torch
from mplus_ray.model.index.int8_tiles import Queries, Tile, best_rows
keys = torch.full((1, 4, 8, 64), 3.0)
best = best_rows([Tile.of(keys)], 0, Queries.of(torch.full((5, 64), 2.0)))
torch.testing.assert_close(best, torch.full((4, 5), 384.0), rtol=0.01, atol=0)
"""


@pytest.mark.parametrize("processor", ["SSE41", "AVX2", "AVX512_CORE", "DEFAULT"])
def test_old_processors_do_not_overflow(processor):
    """Without 8-bit dot products, pairs of products are added in 16 bits and cut off."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": processor, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", SATURATING], env=environment, check=True, timeout=100)


def test_the_bytes_are_known_beforehand():
    for steps, lists_from in ((COPIES_FROM, NEVER), (COPIES_FROM + 70, NEVER)):
        store = filled([], start=COPIES_FROM, lists_from=lists_from)
        keys = blocks(64)
        store.index.extend(steps, lambda first, end: keys.transpose(0, 1))  # noqa: B023
        assert store.index.nbytes == index_bytes(CONFIG, steps)
    assert index_bytes(CONFIG, COPIES_FROM - 1) == 0
    tiles = 10 * LISTS_FROM
    lists = index_bytes(CONFIG, tiles * TILE) - tiles * index_bytes(CONFIG, COPIES_FROM) // 16
    assert lists >= tiles * TILE * 64 * 2 * (16 + 8)
    assert tile_blocks(CONFIG) == TILE


@pytest.mark.parametrize("attended", [True, False])
def test_an_answer_is_the_same_with_and_without_an_index(tmp_path, attended):
    config, _ = write_official(
        tmp_path, 0, num_tokens=64, retrieval="blocks", pool_attended=attended
    )
    networks = load(tmp_path, config)
    memory = grow(networks, 270)
    prompt = [torch.tensor([7, 3, 250, 11, 4, 4, 99, 180, 42])]
    view = MemoryView(networks.reader, memory).prepare()
    expected, logits = begin(networks.reader, [view], prompt)
    assert view.host_bytes == 0  # too few to be worth it
    memory.store.index = BlockIndex(config, 1)
    found, others = begin(networks.reader, [view], prompt)
    assert view.host_bytes == memory.store.index.nbytes > 0
    assert [ids.tolist() for ids in found[0].retrieved] == [
        ids.tolist() for ids in expected[0].retrieved
    ]
    assert torch.equal(logits[0], others[0])


def test_without_faiss_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    store = filled(blocks(130), lists_from=2)
    with pytest.raises(MPlusError, match="pip install faiss-cpu"):
        store.extend_index(130)


def test_queries_fill_whole_lanes():
    queries = Queries.of(torch.zeros(5, 16))
    assert queries.numbers.shape == (16, 8)
    assert queries.scales.shape == (5,)


UNFINISHED = """
import sys
from tests.unit.model.index.test_block_index import blocks, filled
store = filled(blocks(640), lists_from=2)
store.extend_index(640)
sys.exit(7)
"""


def test_a_process_may_end_while_lists_are_made():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", UNFINISHED], env=environment, check=False, timeout=100
    )
    assert done.returncode == 7
