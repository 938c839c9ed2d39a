"""Index sets: against the reference's lists of rows, over long histories."""

from __future__ import annotations

import numpy as np
import pytest

from model.drops import drop_positions
from model.membership import Membership
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


def advance(config, membership, steps, seed=0):
    for _ in range(steps):
        positions = drop_positions(
            seed,
            membership.step,
            config.num_hidden_layers,
            membership.pool.shape[1],
            membership.leaving(config),
            config.drop_memory_per_layer,
        )
        membership = membership.advance(config, positions)
    return membership


def test_an_empty_pool_fills_up_before_anything_leaves():
    config = tiny_config()
    sizes = []
    membership = Membership.empty(config)
    for _ in range(6):
        membership = advance(config, membership, 1)
        sizes.append((membership.pool.shape[1], len(membership.retrievable(0))))
    assert sizes == [(4, 0), (8, 0), (12, 0), (16, 0), (16, 4), (16, 8)]


def test_forgetting_waits_while_it_would_leave_no_more_than_a_full_retrieval():
    """The official rule: strictly more than K0 rows must survive."""
    config = tiny_config(
        initial_rf_when_moving_stm_to_ltm=1, update_ltm_frequency=1, num_ltm_blocks=2
    )
    membership = advance(config, Membership.empty(config), 6)
    assert len(membership.retrievable(0)) == config.retrieved_rows
    assert membership.remaining[0].tolist() == [1.0] * 8, "the decay is suspended as well"


def test_advancing_leaves_the_earlier_value_as_it_was():
    config = tiny_config()
    before = advance(config, Membership.empty(config), 9)
    copies = before.pool.copy(), [ids.copy() for ids in before.long_term], len(before.dropped)
    counters = [c.copy() for c in before.remaining]
    advance(config, before, 7, seed=5)
    assert before.step == 9
    assert np.array_equal(before.pool, copies[0])
    assert all(np.array_equal(a, b) for a, b in zip(before.long_term, copies[1], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(before.remaining, counters, strict=True))
    assert len(before.dropped) == copies[2]


def test_without_a_long_term_memory_dropped_rows_are_gone():
    config = tiny_config(num_ltm_blocks=0, num_blocks=2)
    membership = advance(config, Membership.empty(config), 9)
    assert membership.pool.shape == (3, 8)
    assert all(len(membership.retrievable(layer)) == 0 for layer in range(3))
    assert membership.dropped == ()


def test_the_same_rows_leave_every_layer_where_the_config_says_so():
    config = tiny_config(drop_memory_per_layer=False)
    pool = advance(config, Membership.empty(config), 12).pool
    assert (pool == pool[0]).all()
    config = tiny_config()
    pool = advance(config, Membership.empty(config), 12).pool
    assert not (pool == pool[0]).all()
