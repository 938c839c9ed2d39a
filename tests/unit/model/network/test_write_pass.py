"""Memorizing: against the plain reference, and a batch against one by one, bit for bit."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.memory.encode import encode_rows
from mplus_ray.model.memory.memory import memorize
from mplus_ray.model.network.write_pass import write
from tests.forms import FORMS, build, chunks, first, grow, load, same_memory, step, step_both, worst
from tests.official import LORA, write_official


@pytest.mark.parametrize("form", FORMS)
def test_new_rows_are_those_of_the_reference(tmp_path, form):
    networks, reference = build(tmp_path, form)
    memory, tenant = first(networks), reference.tenant()
    for chunk in chunks(networks.reader.config, 8):
        memory, ours, theirs = step_both(networks, reference, memory, tenant, chunk)
        assert worst(ours, theirs) < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_stored_keys_are_those_of_the_reference(tmp_path, form):
    networks, reference = build(tmp_path, form)
    if not networks.reader.config.has_long_term:
        pytest.skip("no retriever")
    memory, tenant = first(networks), reference.tenant()
    for chunk in chunks(networks.reader.config, 3):
        memory, _, _ = step_both(networks, reference, memory, tenant, chunk)
    stored = memory.store.stored(0, 3).keys
    for layer, rows in enumerate(tenant.born):
        keys = torch.stack([reference.key(row, layer) for row in rows])
        assert worst(stored[layer], keys) < 1e-5


@pytest.mark.parametrize("length", range(1, 17))
def test_every_chunk_length_on_an_empty_and_on_a_grown_memory(tmp_path, length):
    networks, reference = build(tmp_path, "empty start")
    memory, tenant = first(networks), reference.tenant()
    for seed in range(2):
        chunk = [random.Random(seed).randrange(320) for _ in range(length)]
        memory, ours, theirs = step_both(networks, reference, memory, tenant, chunk)
        assert worst(ours, theirs) < 1e-5


@pytest.fixture(scope="module", params=["float32", "bfloat16", "adapters", "no bos", "qk_norm"])
def crowd(tmp_path_factory, request):
    """A model with tenants of all ages, the new-born among them."""
    changes: dict[str, dict[str, Any]] = {
        "adapters": {"lora_config": LORA, "add_decoder_lora": True},
        "no bos": {"add_bos_embedding": False},
        "qk_norm": {"qk_norm": True, "attention_bias": True},
    }
    folder = tmp_path_factory.mktemp("crowd")
    config, _ = write_official(folder, 3, **changes.get(request.param, {}))
    dtype = torch.bfloat16 if request.param == "bfloat16" else torch.float32
    networks = load(folder, config, dtype)
    return networks, [grow(networks, age, age, dtype) for age in (0, 0, 1, 2, 5, 9, 0, 7)]


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 16), min_size=1, max_size=8),
    order=st.permutations(range(8)),
)
def test_a_batch_is_one_by_one_bit_for_bit(crowd, lengths, order):
    networks, tenants = crowd
    chosen = [tenants[i] for i in order[: len(lengths)]]
    rng = random.Random(str(lengths))
    texts = [[rng.randrange(320) for _ in range(n)] for n in lengths]
    together = memorize(networks.writer, networks.reader, chosen, texts)
    for memory, text, after in zip(chosen, texts, together, strict=True):
        same_memory(after, step(networks, memory, text))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_batch_of_wide_rows_is_one_by_one_bit_for_bit(tmp_path, dtype):
    """Widths at which the matrix library blocks and threads its products."""
    config, _ = write_official(
        tmp_path,
        hidden_size=256,
        intermediate_size=704,
        num_attention_heads=8,
        head_dim=32,
        num_hidden_layers=2,
        num_tokens=32,
        chunk_tokens=96,
        selector_hidden_dim=64,
    )
    networks = load(tmp_path, config, dtype)
    rng = random.Random(1)
    memories = [grow(networks, age, age, dtype) for age in (0, 1, 2, 3, 1)]
    for lengths in ([96, 1, 40, 33, 7], [5, 5, 5, 5, 5], [96] * 5, [1, 31, 32, 33, 95]):
        texts = [[rng.randrange(320) for _ in range(n)] for n in lengths]
        together = memorize(networks.writer, networks.reader, memories, texts)
        for memory, text, after in zip(memories, texts, together, strict=True):
            same_memory(after, step(networks, memory, text))


def test_writing_leaves_its_inputs_as_they_were(crowd):
    networks, tenants = crowd
    before = [None if m.last_block is None else m.last_block.clone() for m in tenants]
    ids = [torch.tensor([5, 6, 7]) for _ in tenants]
    with torch.no_grad():
        blocks = write(networks.writer, ids, [m.last_block for m in tenants])
        encode_rows(networks.reader, blocks)
    for old, memory in zip(before, tenants, strict=True):
        assert old is None or torch.equal(old, memory.last_block)


@pytest.mark.parametrize(
    ("chunk", "said"),
    [
        ([], "0 tokens"),
        ([1] * 17, "17 tokens; a step takes 1 to 16"),
        ([-1], "outside 0 … 319"),
        ([320], "outside 0 … 319"),
    ],
)
def test_an_impossible_chunk_is_refused_and_nobody_in_the_batch_is_changed(tmp_path, chunk, said):
    networks, _ = build(tmp_path, "empty start")
    memory = grow(networks, 2)
    other = grow(networks, 3, seed=1)
    with pytest.raises(InvalidInputError, match=said):
        memorize(networks.writer, networks.reader, [memory, other], [[5, 6], chunk])
    assert (memory.step, memory.store.steps) == (2, 2)
    assert (other.step, other.store.steps) == (3, 3)
