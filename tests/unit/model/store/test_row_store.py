"""The append-only row store: what was put in under an id comes out under it, forks included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mplus_ray.model.store.row_format import RowBlock, RowFormat
from mplus_ray.model.store.row_store import RowStore
from tests.checkpoints import tiny_config

CONFIG = tiny_config(num_hidden_layers=2)
CPU = torch.device("cpu")
WIDTH = (2, 2, 8)
FLOAT = RowFormat.of(CONFIG, "float32")


def rows(first, count):
    """Rows whose every number is their id, plus a thousand for each layer."""
    ids = torch.arange(first, first + count).float() + torch.tensor([[0.0], [1000.0]])
    kv = ids[:, :, None, None, None].expand(-1, -1, *WIDTH)
    return RowBlock(kv.clone(), ids[:, :, None].expand(-1, -1, 8).clone())


def filled(steps, genesis=0, store=None):
    if store is None:
        brought = rows(-genesis, genesis) if genesis else None
        store = RowStore(CONFIG, "float32", torch.float32, CPU, brought)
    while store.steps < steps:
        step = store.steps
        store.append(FLOAT.store(rows(step * 4, 4)), bytes([step % 256]))
    return store


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(0, 140),
    genesis=st.sampled_from([0, 1, 7, 16]),
    data=st.data(),
)
def test_gather_finds_rows_by_id(steps, genesis, data):
    store = filled(steps, genesis)
    known = np.arange(-genesis, steps * 4)
    chosen = data.draw(st.lists(st.sampled_from(known.tolist() or [0]), unique=True))
    ids = np.array(sorted(set(chosen) & set(known.tolist())), dtype=np.int64)
    for layer in range(2):
        found = store.gather(layer, ids)
        assert found.shape == (len(ids), *WIDTH)
        expected = torch.from_numpy(ids).float() + 1000 * layer
        assert torch.equal(found, expected[:, None, None, None].expand_as(found))


@pytest.mark.parametrize("genesis", [0, 9])
def test_keys_cover_every_row_up_to_a_step_once(genesis):
    store = filled(70, genesis)
    for steps in (0, 1, 2, 3, 7, 8, 64, 70):
        for layer in range(2):
            for own in (False, True):
                ids: list[float] = []
                for keys in store.keys(layer, steps * 4, 0 if own else None):
                    assert len(keys) > 0
                    ids += (keys[:, 0] - 1000 * layer).tolist()
                assert ids == list(range(0 if own else -genesis, steps * 4))
    assert store.first == -genesis


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 90), data=st.data())
def test_a_prefix_can_go_another_way(steps, data):
    store = filled(steps, 5)
    cut = data.draw(st.integers(0, steps))
    fork = store.prefix(cut)
    assert fork.steps == cut
    assert fork.links == {step: link for step, link in store.links.items() if step <= cut}
    for extra in range(10):
        block = rows(0, 4)
        other = RowBlock(block.kv * 0 - 5, block.keys * 0 - 5)
        fork.append(FLOAT.store(other), bytes([extra]))
    assert torch.equal(store.stored(0, steps).kv, filled(steps).stored(0, steps).kv)
    if cut:
        assert torch.equal(fork.stored(0, cut).kv, store.stored(0, cut).kv)
    assert bool((fork.stored(cut, cut + 10).kv == -5).all())
    genesis = np.arange(-5, 0)
    assert torch.equal(fork.gather(1, genesis), store.gather(1, genesis))


def test_blocks_are_the_rows_of_consecutive_steps():
    store = filled(30, 3)
    for first, end in ((0, 30), (0, 1), (7, 8), (5, 29)):
        kv = store.stored(first, end).kv
        assert kv[0, :, 0].tolist() == list(range(first * 4, end * 4))


def test_rows_are_kept_in_one_precision_and_handed_out_in_another():
    store = RowStore(CONFIG, "bfloat16", torch.float32, CPU, None)
    store.append(store.format.store(rows(0, 4)), b"")
    assert store.stored(0, 1).kv.dtype == torch.bfloat16
    assert store.gather(0, np.arange(4)).dtype == torch.float32
    assert store.nbytes == 2 * 4 * (2 * 2 * 8 + 8) * 2


def test_growing_does_not_move_what_is_there():
    """Earlier memories hold views of it."""
    store = filled(2)
    before = [keys.data_ptr() for keys in store.keys(0, 8)]
    filled(100, store=store)
    assert [keys.data_ptr() for keys in store.keys(0, 8)] == before
