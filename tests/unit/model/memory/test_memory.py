"""A memory is a value: equal logs give equal memories, and the past never changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mplus_ray.model.generation.read_pass import begin
from mplus_ray.model.memory.memory import memorize
from mplus_ray.model.memory.saved_memory import restore_memory, save_memory
from tests.forms import build, chunks, first, grow, same_memory, step, view, worst

PROMPT = torch.tensor([7, 3, 250, 11])


def answer(networks, memory):
    return begin(networks.reader, [view(networks, memory)], [PROMPT], whole=True)[1][0]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return build(tmp_path_factory.mktemp("model"), "adapters")[0]


def test_the_same_seed_and_log_give_the_same_memory(networks):
    same_memory(grow(networks, 12), grow(networks, 12))


def test_another_seed_gives_other_drops_and_the_same_rows(networks):
    texts = chunks(networks.reader.config, 9)
    one, other = first(networks, seed=1), first(networks, seed=2)
    for chunk in texts:
        one, other = step(networks, one, chunk), step(networks, other, chunk)
    assert torch.equal(one.store.stored(0, 9).kv, other.store.stored(0, 9).kv)
    assert one.membership.pool.tolist() != other.membership.pool.tolist()
    assert not torch.equal(answer(networks, one), answer(networks, other))


def test_every_layer_keeps_other_rows(networks):
    pool = grow(networks, 12).membership.pool.tolist()
    assert len({tuple(row) for row in pool}) == len(pool)


def test_older_values_answer_as_before_while_the_history_grows(networks):
    texts = chunks(networks.reader.config, 14)
    memories = [first(networks)]
    answers = [answer(networks, memories[0])]
    for chunk in texts:
        memories.append(step(networks, memories[-1], chunk))
        answers.append(answer(networks, memories[-1]))
    for memory, before in zip(memories, answers, strict=True):
        assert torch.equal(answer(networks, memory), before)


def test_a_fork_is_what_it_would_have_been_alone(networks):
    texts = chunks(networks.reader.config, 12)
    trunk = [first(networks)]
    for chunk in texts:
        trunk.append(step(networks, trunk[-1], chunk))
    for at in (0, 1, 3, 6, 11):
        fork, alone = trunk[at], first(networks)
        for chunk in texts[:at]:
            alone = step(networks, alone, chunk)
        for chunk in ([1, 2, 3], [4] * 9, [5]):
            fork, alone = step(networks, fork, chunk), step(networks, alone, chunk)
        same_memory(fork, alone)
    straight = first(networks)
    for chunk in texts:
        straight = step(networks, straight, chunk)
    same_memory(trunk[-1], straight)


def test_one_memory_twice_in_a_batch_makes_two_futures(networks):
    past = grow(networks, 5)
    one, other = memorize(networks.writer, networks.reader, [past, past], [[9, 9], [8]])
    same_memory(one, step(networks, grow(networks, 5), [9, 9]))
    same_memory(other, step(networks, grow(networks, 5), [8]))


def test_history_names_the_log(networks):
    texts = chunks(networks.reader.config, 3)
    seen = {b""}
    for count in range(1, 4):
        memory = first(networks)
        for chunk in texts[:count]:
            memory = step(networks, memory, chunk)
        seen.add(memory.history)
    assert len(seen) == 4
    swapped = first(networks)
    for chunk in (texts[1], texts[0], texts[2]):
        swapped = step(networks, swapped, chunk)
    assert swapped.history not in seen
    split = step(networks, step(networks, first(networks), [1, 2]), [3])
    other = step(networks, step(networks, first(networks), [1]), [2, 3])
    assert split.history != other.history


def test_a_new_memory_has_no_history_and_no_rows(networks):
    memory = first(networks)
    assert (memory.step, memory.history, memory.store.nbytes) == (0, b"", 0)


def test_a_row_costs_the_same_at_every_step(networks):
    sizes = [grow(networks, n).store.nbytes for n in (0, 1, 2, 9)]
    assert sizes[1] > 0
    assert sizes == [sizes[1] * n for n in (0, 1, 2, 9)]
    # L · K · (2 · G · e + s) floats
    assert sizes[1] == 3 * 4 * (2 * 2 * 8 + 8) * 4


def test_a_memory_saves_itself(networks, tmp_path):
    memory = grow(networks, 3)
    save_memory(memory, tmp_path)
    same_memory(restore_memory(first(networks, seed=9), tmp_path), memory)


def test_a_chunk_does_not_see_rows_older_than_the_last_block(networks):
    """What makes a writer small: writing depends on the last block and the text alone."""
    long = grow(networks, 10)
    short = grow(networks, 4)
    lent = type(short)(
        short.seed,
        short.fingerprint,
        short.membership,
        replace(short.writer_state, last_block=long.last_block),
        short.store,
    )
    a, b = step(networks, long, [5, 6, 7]), step(networks, lent, [5, 6, 7])
    assert a.last_block is not None
    assert b.last_block is not None
    assert worst(a.last_block, b.last_block) == 0.0


def test_what_is_shown_of_a_memory_is_short(networks):
    """A notebook shows the value of a cell's last line: no tensor may be in it."""
    memory = grow(networks, 12)
    assert repr(memory) == "Memory(step=12, seed=0, fingerprint='tiny')"
    parts = (memory.membership, memory.writer_state, memory.store, view(networks, memory))
    for part in parts:
        assert len(repr(part)) < 200, type(part)
        assert "tensor(" not in repr(part)
