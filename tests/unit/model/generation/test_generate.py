"""Answers in progress: stop strings, limits, cancellation, batches that shrink."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.generate import Generation, advance, pieces, start
from mplus_ray.model.generation.read_pass import begin, extend
from mplus_ray.model.generation.reading import Reading
from mplus_ray.model.generation.sampling import Sampling
from mplus_ray.model.mplus import MPlus
from tests.checkpoints import write_tokenizer
from tests.forms import grow, view
from tests.official import write_official


@pytest.fixture(scope="module")
def mplus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_official(folder, eos_token_ids=())
    return MPlus.load(folder)


@pytest.fixture(scope="module")
def views(mplus):
    return [view(mplus.networks, grow(mplus.networks, age, age)) for age in (0, 3, 8)]


def started(mplus, views, **options):
    prompts = [[5, 9, 77 + i] for i in range(len(views))]
    return start(
        mplus.networks.reader, mplus.tokenizer, views, prompts, [Sampling(**options)] * len(views)
    )


def finished(mplus, generations):
    while any(g.finish_reason is None for g in generations):
        advance(mplus.networks.reader, generations)
    return generations


def spoken(mplus, views, text, **options):
    """The generation after the model has said the bytes of `text`, one token each."""
    tokenizer = mplus.tokenizer
    sampling = Sampling(**{"max_tokens": 10_000, **options})
    generation = Generation(
        Reading(views[0]),
        [5],
        sampling,
        frozenset(sampling.stop_ids),
        tokenizer.stream(),
        sampling.generator(),
    )
    shown = [""]
    for token in tokenizer.encode(text):
        if generation.finish_reason is not None:
            break
        generation._choose(torch.nn.functional.one_hot(torch.tensor(token), 320).float())
        assert generation.text.startswith(shown[-1]), "what was shown stays"
        shown.append(generation.text)
    return generation, shown


def test_max_tokens(mplus, views):
    for count in (1, 2, 7):
        (answer,) = finished(mplus, started(mplus, views[1:2], max_tokens=count))
        assert (len(answer.tokens), answer.finish_reason) == (count, "length")


def test_the_text_is_that_of_the_tokens(mplus, views):
    for answer in finished(mplus, started(mplus, views, max_tokens=20)):
        whole = mplus.tokenizer.decode(answer.tokens)
        assert whole.startswith(answer.text)
        assert set(whole[len(answer.text) :]) <= {"\ufffd"}


def test_a_stop_id_ends_the_answer_and_is_not_part_of_it(mplus, views):
    (free,) = finished(mplus, started(mplus, views[1:2], max_tokens=8))
    stop = free.tokens[4]
    at = free.tokens.index(stop)
    (answer,) = finished(mplus, started(mplus, views[1:2], max_tokens=8, stop_ids=(stop,)))
    assert answer.tokens == free.tokens[:at]
    assert answer.finish_reason == "stop"


def test_the_checkpoints_eos_ends_the_answer(tmp_path, mplus, views):
    (free,) = finished(mplus, started(mplus, views[:1], max_tokens=8))
    write_official(tmp_path, eos_token_ids=(free.tokens[0],))
    other = MPlus.load(tmp_path)
    (answer,) = finished(other, started(other, [view(other.networks, grow(other.networks, 0))]))
    assert (answer.tokens, answer.text, answer.finish_reason) == ([], "", "stop")


@pytest.mark.parametrize(
    ("said", "stop", "expected"),
    [
        ("hello END more", ("END",), "hello "),
        ("hello END more", (" END",), "hello"),
        ("aaab", ("aab",), "a"),
        ("abababac", ("ababac",), "ab"),
        ("no such thing", ("END",), "no such thing"),
        ("EN", ("END",), "EN"),
        ("END", ("END",), ""),
        ("one. two", (".", "two"), "one"),
        ("xabcd", ("bcd", "abc"), "x"),
        ("xyé!z", ("é!",), "xy"),
        ("x😀y", ("😀",), "x"),
        ("line\n\nnext", ("\n\n",), "line"),
        ("repeat repeat", ("repeat",), ""),
    ],
)
def test_stop_strings(mplus, views, said, stop, expected):
    generation, shown = spoken(mplus, views, said, stop=stop)
    ended = any(text in said for text in stop)
    if not ended:
        generation._finish("length")
    assert generation.text == expected
    assert (generation.finish_reason == "stop") == ended
    assert not any(text in piece for piece in shown for text in stop)


@settings(max_examples=150, deadline=None)
@given(
    said=st.text("abé😀", max_size=20),
    stop=st.lists(st.text("abé😀", min_size=1, max_size=4), max_size=3),
)
def test_no_part_of_a_stop_string_is_ever_shown(mplus, views, said, stop):
    generation, shown = spoken(mplus, views, said, stop=tuple(stop))
    ends = [at + len(text) for text in stop if (at := said.find(text)) >= 0]
    if not ends:
        generation._finish("length")
        assert generation.text == said
        return
    heard = said[: min(ends)]  # the stop string that is complete first ends the answer
    assert generation.finish_reason == "stop"
    assert generation.text == heard[: min(heard.find(t) for t in stop if t in heard)]
    assert all(generation.text.startswith(text) for text in shown)


def test_a_batch_that_shrinks_answers_like_one_by_one(mplus, views):
    options: dict[str, Any] = {"temperature": 1.0, "top_k": 40, "seed": 3}
    prompts = [[5, 9, 77 + i] for i in range(3)]
    samplings = [Sampling(max_tokens=n, **options) for n in (2, 9, 5)]
    reader, tokenizer = mplus.networks.reader, mplus.tokenizer
    together = finished(mplus, start(reader, tokenizer, views, prompts, samplings))
    for seen, prompt, sampling, answer in zip(views, prompts, samplings, together, strict=True):
        alone = finished(mplus, start(reader, tokenizer, [seen], [prompt], [sampling]))
        assert alone[0].tokens == answer.tokens


def test_cancelling_stops_the_computation(mplus, views):
    generations = started(mplus, views, max_tokens=50)
    advance(mplus.networks.reader, generations)
    generations[1].cancel()
    before = list(generations[1].tokens), generations[1].reading.length
    advance(mplus.networks.reader, generations)
    assert (generations[1].tokens, generations[1].reading.length) == before
    assert generations[1].finish_reason == "cancelled"
    assert [len(g.tokens) for g in generations] == [3, 2, 3]


def test_cancelling_what_is_finished_changes_nothing(mplus, views):
    (answer,) = finished(mplus, started(mplus, views[:1], max_tokens=1))
    answer.cancel()
    assert answer.finish_reason == "length"


def test_nothing_to_do(mplus, views):
    reader = mplus.networks.reader
    assert start(reader, mplus.tokenizer, [], [], []) == []
    advance(reader, [])
    with pytest.raises(InvalidInputError, match="empty"):
        start(reader, mplus.tokenizer, views[:1], [[]], [Sampling()])


def test_the_same_seed_says_the_same(mplus, views):
    options = {"temperature": 1.5, "max_tokens": 12}
    one, other, third = (
        finished(mplus, started(mplus, views[2:], seed=seed, **options))[0].tokens
        for seed in (4, 4, 5)
    )
    assert one == other != third


def test_repetition_penalty_counts_the_prompt(mplus, views):
    def said(penalty, prompt):
        sampling = Sampling(max_tokens=30, repetition_penalty=penalty)
        generations = start(mplus.networks.reader, mplus.tokenizer, views[:1], [prompt], [sampling])
        return finished(mplus, generations)[0].tokens

    free = said(1.0, [5, 9])
    assert len(set(free)) < 30
    punished = said(100.0, [5, 9])
    assert len(set(punished)) == 30
    assert not {5, 9} & set(punished)


def test_a_tokenizer_larger_than_the_network_is_refused(tmp_path):
    from mplus_ray.model.errors import CheckpointError

    write_official(tmp_path, vocab_size=200)
    write_tokenizer(tmp_path)
    with pytest.raises(CheckpointError, match="259 tokens, the network only 200"):
        MPlus.load(tmp_path)


def test_pieces_are_the_answer_without_space_round_it(mplus, views):
    for seed in range(20):
        (one,) = started(mplus, views[2:], temperature=2.5, seed=seed, max_tokens=30)
        shown = list(pieces(mplus.networks.reader, one))
        assert "".join(shown) == one.text.strip() == one.shown
        assert all(shown)


@pytest.mark.parametrize("said", ["  a b ", "\n", "a \n b\n\n", ""])
def test_space_at_the_end_is_held_back(mplus, views, said):
    generation, _ = spoken(mplus, views, "")
    shown = [""]
    for token in mplus.tokenizer.encode(said):
        generation._choose(torch.nn.functional.one_hot(torch.tensor(token), 320).float())
        assert generation.shown.startswith(shown[-1]), "what was shown stays"
        assert generation.shown == generation.shown.strip()
        shown.append(generation.shown)
    assert shown[-1] == said.strip()


def test_how_sure_it_was_is_noted_for_every_token(mplus, views):
    """Whatever the sampling, by what the network itself gave."""
    options = {"temperature": 1.5, "top_k": 7, "repetition_penalty": 3.0, "max_tokens": 9}
    (one,) = finished(mplus, started(mplus, views[2:], **options))
    ids = torch.tensor(one.prompt + one.tokens)
    _, (logits,) = begin(mplus.networks.reader, views[2:], [ids[:3]], whole=True)
    readings, _ = begin(mplus.networks.reader, views[2:], [ids[:3]])
    rows = [logits[-1:]]
    rows += [extend(mplus.networks.reader, readings, token[None]) for token in ids[3:-1]]
    expected = torch.cat(rows).log_softmax(-1)
    chosen = expected.gather(1, ids[3:, None])[:, 0]
    assert one.logprobs == pytest.approx(chosen.tolist(), abs=1e-4)
    assert one.entropy == pytest.approx(float(-(expected[0].exp() * expected[0]).sum()), abs=1e-4)


def test_the_token_that_ends_an_answer_is_noted_too(mplus, views):
    (free,) = finished(mplus, started(mplus, views[1:2], max_tokens=8))
    stop = free.tokens[4]
    at = free.tokens.index(stop)
    (answer,) = finished(mplus, started(mplus, views[1:2], max_tokens=8, stop_ids=(stop,)))
    assert answer.logprobs == pytest.approx(free.logprobs[: at + 1])
