"""Answering: against the plain reference, a batch against one by one, decoding against reading."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mplus_ray.model.generation.read_pass import begin, extend
from mplus_ray.model.retrieval.retriever import Candidates, retrieve_rows
from mplus_ray.model.store.row_format import RowBlock
from mplus_ray.model.store.row_store import RowStore
from tests.checkpoints import tiny_config
from tests.forms import (
    FORMS,
    build,
    chunks,
    first,
    grow,
    grow_both,
    load,
    step,
    step_both,
    view,
    worst,
)
from tests.official import write_official
from tests.reference import Reference

PROMPT = [7, 3, 250, 11, 4, 4, 99, 180, 42]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("steps", [0, 13])
def test_rows_and_logits_are_those_of_the_reference(tmp_path, form, steps):
    networks, reference = build(tmp_path, form, seed=steps)
    memory, tenant = grow_both(networks, reference, steps)
    seen = view(networks, memory)
    for prompt in (PROMPT, PROMPT[:1]):
        readings, logits = begin(networks.reader, [seen], [torch.tensor(prompt)], whole=True)
        expected = reference.read(tenant, prompt)
        theirs = [[row.birth for row in rows] for rows in expected.retrieved]
        assert [ids.tolist() for ids in readings[0].retrieved] == theirs
        assert worst(logits[0], expected.logits) < 2e-5


@pytest.mark.parametrize("form", FORMS)
def test_decoding_is_reading_the_whole(tmp_path, form):
    """Token by token, the rows fetched for the prompt are kept."""
    networks, reference = build(tmp_path, form)
    memory, tenant = grow_both(networks, reference, 9)
    answer = [8, 301, 17, 17, 2, 60]
    readings, logits = begin(networks.reader, [view(networks, memory)], [torch.tensor(PROMPT)])
    steps = [logits[0]]
    steps += [extend(networks.reader, readings, torch.tensor([token])) for token in answer]
    expected = reference.read(tenant, PROMPT + answer, question=len(PROMPT)).logits
    assert worst(torch.cat(steps), expected[len(PROMPT) - 1 :]) < 2e-5


@pytest.mark.parametrize("form", ["adapters", "blocks", "sliding window", "no bos", "no retrieval"])
def test_the_last_logits_alone_are_those_of_the_whole(tmp_path, form):
    networks, _ = build(tmp_path, form)
    seen = view(networks, grow(networks, 7))
    prompts = [torch.tensor(PROMPT), torch.tensor(PROMPT[:4]), torch.tensor([5])]
    _, last = begin(networks.reader, [seen] * 3, prompts)
    _, whole = begin(networks.reader, [seen] * 3, prompts, whole=True)
    for a, b, prompt in zip(last, whole, prompts, strict=True):
        assert a.shape == (1, 320)
        assert b.shape == (len(prompt), 320)
        assert worst(a[0], b[-1]) < 1e-5


@pytest.fixture(scope="module", params=["adapters", "blocks", "blocks and window", "no retrieval"])
def crowd(tmp_path_factory, request):
    networks, _ = build(tmp_path_factory.mktemp("crowd"), request.param)
    return networks, [view(networks, grow(networks, age, age)) for age in (0, 1, 3, 6, 14)]


@settings(max_examples=10, deadline=None)
@given(
    who=st.lists(st.integers(0, 4), min_size=1, max_size=9),
    seed=st.integers(0, 1000),
    steps=st.integers(0, 4),
)
def test_many_questions_together_are_one_by_one(crowd, who, seed, steps):
    """Several of one tenant, next to each other or not, and of tenants with no memory."""
    networks, views = crowd
    rng = random.Random(seed)
    prompts = [torch.tensor([rng.randrange(320) for _ in range(rng.randint(1, 12))]) for _ in who]
    more = torch.tensor([[rng.randrange(320) for _ in who] for _ in range(steps)])
    together, logits = begin(networks.reader, [views[i] for i in who], prompts)
    rows = [torch.cat(logits)] + [extend(networks.reader, together, ids) for ids in more]
    for at, (tenant, prompt) in enumerate(zip(who, prompts, strict=True)):
        alone, own = begin(networks.reader, [views[tenant]], [prompt])
        single = [own[0]] + [extend(networks.reader, alone, ids[at][None]) for ids in more]
        # Rounding grows with the numbers: 1e-5 of the largest logit.
        expected = torch.cat(single)
        largest = max(1.0, float(expected.abs().max()))
        assert worst(torch.stack([r[at] for r in rows]), expected) < 1e-5 * largest
        fetched = [ids.tolist() for ids in alone[0].retrieved]
        assert [ids.tolist() for ids in together[at].retrieved] == fetched
        assert (alone[0].votes is None) == (together[at].votes is None)
        if (mine := together[at].votes) is not None and alone[0].votes is not None:
            # Votes of rows are in standard deviations: of scores that are nearly all the same,
            # rounding is a part that shows.
            assert worst(mine, alone[0].votes) < 0.05


def test_answers_that_end_leave_the_others_as_they_were(crowd):
    """The batch shrinks while decoding."""
    networks, views = crowd
    prompt = torch.tensor(PROMPT)
    together, _ = begin(networks.reader, [views[4], views[2], views[4]], [prompt] * 3)
    extend(networks.reader, together, torch.tensor([5, 6, 7]))
    rest = extend(networks.reader, [together[2]], torch.tensor([9]))
    alone, _ = begin(networks.reader, [views[4]], [prompt])
    extend(networks.reader, alone, torch.tensor([7]))
    assert worst(rest, extend(networks.reader, alone, torch.tensor([9]))) < 1e-5


def test_memory_rows_counts_what_a_layer_attends(tmp_path):
    networks, _ = build(tmp_path, "empty start")
    for steps, rows in ((0, 0), (1, 4), (4, 16), (5, 20), (6, 24), (9, 24)):
        readings, _ = begin(
            networks.reader, [view(networks, grow(networks, steps))], [torch.tensor(PROMPT)]
        )
        assert readings[0].memory_rows == rows


def test_votes_name_every_step_and_no_row_of_the_genesis(tmp_path):
    networks, _ = build(tmp_path, "genesis")
    memory = first(networks)
    for count, chunk in enumerate(chunks(networks.reader.config, 4), 1):
        memory = step(networks, memory, chunk)
        readings, _ = begin(networks.reader, [view(networks, memory)], [torch.tensor(PROMPT)])
        assert readings[0].votes is not None
        assert readings[0].votes.shape == (count,)
        assert bool(readings[0].votes.isfinite().all())


@pytest.mark.parametrize("genesis", [None, 12])
def test_a_long_memory_still_retrieves_the_exact_rows(tmp_path, genesis):
    """Many more rows than are wanted, so that a first look is taken before scoring exactly."""
    config, tensors = write_official(
        tmp_path,
        seed=6,
        genesis=genesis,
        num_hidden_layers=2,
        num_ltm_blocks=1,
        num_blocks=3,
        initial_rf_when_moving_stm_to_ltm=1000,
    )
    networks, reference = load(tmp_path, config), Reference(config, tensors)
    memory, tenant = first(networks), reference.tenant()
    for at in range(40):
        memory, _, _ = step_both(networks, reference, memory, tenant, [at, 7 * at % 320, 5])
    assert len(memory.membership.retrievable(0)) > 100
    seen = view(networks, memory)
    for prompt in (PROMPT, PROMPT[:1], PROMPT[3:7], [250] * 5):
        readings, logits = begin(networks.reader, [seen], [torch.tensor(prompt)], whole=True)
        expected = reference.read(tenant, prompt)
        theirs = [[row.birth for row in rows] for rows in expected.retrieved]
        assert [ids.tolist() for ids in readings[0].retrieved] == theirs
        assert worst(logits[0], expected.logits) < 2e-5


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
def test_the_best_of_many_rows_are_the_exact_ones(seed, scale):
    """Keys of any size, so that the sigmoids are flat, or saturated and full of near ties."""
    config = tiny_config(num_hidden_layers=1, num_tokens=16, selector_hidden_dim=16)
    generator = torch.Generator().manual_seed(seed)
    store = RowStore(config, "float32", torch.float32, torch.device("cpu"), None)
    for _ in range(150):
        keys = torch.randn(1, 16, 16, generator=generator) * scale
        store.append(store.format.store(RowBlock(torch.zeros(1, 16, 2, 2, 8), keys)), b"")
    queries = torch.randn(9, 16, generator=generator)
    ids = np.flatnonzero(np.random.default_rng(seed).random(2400) < 0.9)
    chosen, _ = retrieve_rows(
        queries, store, 0, Candidates.of(ids, 0, 2400, torch.device("cpu")), 32
    )
    every = torch.cat(list(store.keys(0, 2400)))
    scores = (every.double() @ queries.double().T).sigmoid().mean(1)[torch.from_numpy(ids)]
    best = np.sort(ids[scores.topk(32).indices.numpy()])
    missed = set(best.tolist()) - set(chosen.tolist())
    assert len(chosen) == 32
    assert set(chosen.tolist()) <= set(ids.tolist())
    # A row may be missed only for one whose score float32 cannot tell apart.
    by_id = dict(zip(ids.tolist(), scores.tolist(), strict=True))
    instead = set(chosen.tolist()) - set(best.tolist())
    assert all(
        abs(a - b) < 1e-6
        for a, b in zip(
            sorted(by_id[i] for i in missed), sorted(by_id[i] for i in instead), strict=True
        )
    )
