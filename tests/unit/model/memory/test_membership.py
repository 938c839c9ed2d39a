"""Index sets: against the reference's lists of rows, over long histories."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mplus_ray.model.memory.membership import Membership
from tests.checkpoints import tiny_config
from tests.forms import FORMS, build, first, grow_both, step_both


@pytest.mark.parametrize("form", FORMS)
def test_pool_and_long_term_rows_are_those_of_the_reference(tmp_path, form):
    networks, reference = build(tmp_path, form)
    memory, tenant = first(networks), reference.tenant()
    for _ in range(15):
        memory, _, _ = step_both(networks, reference, memory, tenant, [5, 9])
        membership = memory.membership
        for layer in range(networks.reader.config.num_hidden_layers):
            assert membership.pool[layer].tolist() == [r.birth for r in tenant.pool[layer]]
            rows = [r.birth for r in tenant.retrievable(layer)]
            assert membership.retrievable(layer).tolist() == rows
            counters = [r.counter for r in tenant.long_term[layer]]
            assert membership.remaining[layer].tolist() == pytest.approx(counters)


def test_a_row_is_in_one_place_and_forgotten_rows_do_not_come_back(tmp_path):
    networks, reference = build(tmp_path, "quick to forget")
    memory, _ = grow_both(networks, reference, 12)
    for layer in range(3):
        pool = set(memory.membership.pool[layer].tolist())
        long_term = memory.membership.retrievable(layer).tolist()
        assert len(long_term) == len(set(long_term))
        assert not pool & set(long_term)
        assert len(pool) + len(long_term) < 12 * 4, "nothing was forgotten"


def advance(membership, steps, seed=0):
    return membership.replay(seed, membership.step + steps)


def test_an_empty_pool_fills_up_before_anything_leaves():
    config = tiny_config()
    sizes = []
    membership = Membership.genesis(config)
    for _ in range(6):
        membership = advance(membership, 1)
        sizes.append((membership.pool.shape[1], len(membership.retrievable(0))))
    assert sizes == [(4, 0), (8, 0), (12, 0), (16, 0), (16, 4), (16, 8)]


def test_forgetting_waits_while_it_would_leave_no_more_than_a_full_retrieval():
    """The official rule: strictly more than K0 rows must survive."""
    config = tiny_config(
        initial_rf_when_moving_stm_to_ltm=1, update_ltm_frequency=1, num_ltm_blocks=2
    )
    membership = advance(Membership.genesis(config), 6)
    assert len(membership.retrievable(0)) == config.retrieved_rows
    assert membership.remaining[0].tolist() == [1.0] * 8, "the decay is suspended as well"


def test_advancing_leaves_the_earlier_value_as_it_was():
    config = tiny_config()
    before = advance(Membership.genesis(config), 9)
    copies = before.pool.copy(), [ids.copy() for ids in before.long_term], len(before.dropped)
    counters = [c.copy() for c in before.remaining]
    advance(before, 7, seed=5)
    assert before.step == 9
    assert np.array_equal(before.pool, copies[0])
    assert all(np.array_equal(a, b) for a, b in zip(before.long_term, copies[1], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(before.remaining, counters, strict=True))
    assert len(before.dropped) == copies[2]


def test_without_a_long_term_memory_dropped_rows_are_gone():
    config = tiny_config(num_ltm_blocks=0, num_blocks=2)
    membership = advance(Membership.genesis(config), 9)
    assert membership.pool.shape == (3, 8)
    assert all(len(membership.retrievable(layer)) == 0 for layer in range(3))
    assert membership.dropped == ()


def test_the_same_rows_leave_every_layer_where_the_config_says_so():
    config = tiny_config(drop_memory_per_layer=False)
    pool = advance(Membership.genesis(config), 12).pool
    assert (pool == pool[0]).all()
    config = tiny_config()
    pool = advance(Membership.genesis(config), 12).pool
    assert not (pool == pool[0]).all()


def counted(config, steps, seed=0):
    """Every row's counter, decayed one by one as the official code does."""
    counters: list[dict[int, np.float32]] = [{} for _ in range(config.num_hidden_layers)]
    membership = Membership.genesis(config)
    for _ in range(steps):
        waiting = [membership.retrievable(i)[len(c) :] for i, c in enumerate(counters)]
        left = np.take_along_axis(membership.pool, membership.draw(seed), axis=1)
        merges = len(membership.dropped) + 1 >= config.update_ltm_frequency
        membership = advance(membership, 1, seed)
        for layer, mine in enumerate(counters if merges else []):
            fresh = [*waiting[layer].tolist(), *left[layer].tolist()]
            every = mine | dict.fromkeys(
                fresh, np.float32(config.initial_rf_when_moving_stm_to_ltm)
            )
            decayed = {i: c - np.float32(config.decay_frequency) for i, c in every.items()}
            alive = {i: c for i, c in decayed.items() if c > 0.01}
            counters[layer] = alive if len(alive) > config.retrieved_rows else every
        yield membership, counters


@settings(max_examples=25, deadline=None)
@given(
    rf=st.sampled_from([0.3, 1, 2.5, 7, 50, 1e9]),
    decay=st.sampled_from([0.1, 0.3, 1.0]),
    every=st.integers(1, 4),
    blocks=st.integers(1, 3),
    per_layer=st.booleans(),
    seed=st.integers(0, 2**63),
)
def test_counters_are_those_of_decaying_each_row(rf, decay, every, blocks, per_layer, seed):
    config = tiny_config(
        initial_rf_when_moving_stm_to_ltm=rf,
        decay_frequency=decay,
        update_ltm_frequency=every,
        num_ltm_blocks=blocks,
        drop_memory_per_layer=per_layer,
    )
    for membership, counters in counted(config, 40, seed):
        for layer, expected in enumerate(counters):
            assert membership.long_term[layer].tolist() == list(expected)
            assert membership.remaining[layer].tolist() == [float(c) for c in expected.values()]


def test_an_unbounded_memory_forgets_nothing():
    config = tiny_config(initial_rf_when_moving_stm_to_ltm=5, update_ltm_frequency=1)
    forgetting = advance(Membership.genesis(config), 60)
    keeping = advance(Membership.genesis(config).unbounded(), 60)
    assert forgetting.pool.tolist() == keeping.pool.tolist(), "retention changes no drop"
    assert len(forgetting.retrievable(0)) < 60
    assert len(keeping.retrievable(0)) == 60 * 4 - 16


@pytest.mark.parametrize("steps", [0, 1, 9, 30])
def test_a_reader_of_everything_needs_no_replay(steps: int) -> None:
    config = tiny_config(
        retrieval="blocks", pool_attended=False, initial_rf_when_moving_stm_to_ltm=1e9
    )
    replayed = Membership.genesis(config).replay(7, steps)
    known = Membership.genesis(config).everything(steps)

    assert replayed.is_all
    assert known.is_all
    for layer in range(config.num_hidden_layers):
        both = np.concatenate([replayed.retrievable(layer), replayed.pool[layer]])
        assert sorted(both) == list(known.retrievable(layer))
    assert replayed.pool_only().is_all == (steps <= replayed.pool.shape[1] // config.num_tokens)
    assert not Membership.genesis(tiny_config()).is_all
