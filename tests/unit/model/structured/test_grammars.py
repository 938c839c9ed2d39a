"""Masks over tokens: what may be said, what it costs, and who is not touched by it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import numpy as np
import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.generation.generate import Generation, advance
from mplus_ray.model.generation.sampling import Sampling
from mplus_ray.model.structured import grammars, values
from mplus_ray.model.structured.constraint import Constraint
from mplus_ray.model.structured.values import NUMBER
from tests.checkpoints import write_checkpoint

OBJECT = Constraint.to_schema(
    {
        "type": "object",
        "properties": {"a": {"type": "integer", "maximum": 99}, "b": {"enum": ["x", "y"]}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module")
def mplus(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    folder = tmp_path_factory.mktemp("model")
    write_checkpoint(folder, retrieval="blocks", refusal=" not said")
    return MPlus.load(folder, device="cpu")


def said(mplus: MPlus, *samplings: Sampling) -> list[Generation]:
    """Answers to one question, each with its own sampling, in one batch."""
    from mplus_ray.model.generation.generate import start

    view = mplus.view(mplus.memorize(mplus.empty_memory(), "The raven is black."))
    count = len(samplings)
    generations = start(
        mplus.networks.reader,
        mplus.tokenizer,
        [view] * count,
        [[5, 9, 77]] * count,
        samplings,
        mplus.grammars,
    )
    while any(each.finish_reason is None for each in generations):
        advance(mplus.networks.reader, generations)
    return generations


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("constraint", "form"),
    [
        (Constraint(regex="(?i:red|green)"), r"(?i:red|green)"),
        (Constraint(regex=r"[0-9]{4}/[0-9]{2}"), r"[0-9]{4}/[0-9]{2}"),
        (Constraint(regex=r"a\\/[bc]\/\\"), r"a\\/[bc]/\\"),
        (NUMBER, NUMBER.regex),
        (OBJECT, r'\{"a": -?[0-9]+, "b": "[xy]"\}'),
    ],
)
def test_an_answer_has_its_form_or_is_the_refusal(
    mplus: MPlus, constraint: Constraint, form: str, seed: int
) -> None:
    sampling = Sampling(max_tokens=200, temperature=1.0, seed=seed, constraint=constraint)
    (answer,) = said(mplus, sampling)
    assert answer.finish_reason == "stop"
    assert answer.shown == "not said" or re.fullmatch(form, answer.shown), answer.shown


def test_neighbours_in_a_batch_say_the_same(mplus: MPlus) -> None:
    free, formed = Sampling(max_tokens=12), Sampling(max_tokens=60, constraint=OBJECT)
    drawn = Sampling(max_tokens=60, constraint=OBJECT, temperature=1.0, seed=3)
    alone = [said(mplus, each)[0].tokens for each in (free, formed, drawn)]
    assert [each.tokens for each in said(mplus, free, formed, drawn)] == alone
    assert [each.tokens for each in said(mplus, drawn, free, formed)] == [alone[2], *alone[:2]]


def test_too_few_tokens_end_it(mplus: MPlus) -> None:
    (answer,) = said(mplus, Sampling(max_tokens=4, constraint=OBJECT))
    assert (answer.finish_reason, len(answer.tokens)) == ("length", 4)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(answer.shown)


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint(regex="(?=a)b"),
        Constraint(regex="("),
        Constraint(schema='{"type": "nonsense"}'),
        Constraint(schema='{"not": {}}'),
    ],
)
def test_what_cannot_be_compiled_is_refused(mplus: MPlus, constraint: Constraint) -> None:
    with pytest.raises(InvalidInputError, match="cannot be followed"):
        mplus.grammars.compile(constraint)
    with pytest.raises(InvalidInputError, match="cannot be followed"):
        said(mplus, Sampling(constraint=constraint))


def test_a_form_that_takes_too_much_ends_its_own_answer_alone(
    mplus: MPlus, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = said(mplus, Sampling(max_tokens=8))[0].tokens
    take, taken = grammars.TokenMask.take, []

    def fails_at_last(self: grammars.TokenMask, token: int) -> None:
        take(self, token)
        taken.append(token)
        if len(taken) == 3:
            raise InvalidInputError("too complex")

    monkeypatch.setattr(grammars.TokenMask, "take", fails_at_last)
    free, formed = said(mplus, Sampling(max_tokens=8), Sampling(max_tokens=60, constraint=OBJECT))
    assert free.tokens == plain
    with pytest.raises(InvalidInputError, match="too complex"):
        mplus.answer(formed)


def test_grammars_are_kept_within_bounds_and_for_their_owner_only(mplus: MPlus) -> None:
    kept = grammars.Grammars(mplus.tokenizer, mplus.config)
    first = kept.compile(OBJECT, "anna")
    assert kept.compile(OBJECT, "anna") is first
    assert kept.compile(OBJECT, "bruno") is not first
    for number in range(grammars.KEPT):
        kept.compile(Constraint(regex=f"a{number}"), "bruno")
    assert len(kept._kept) == grammars.KEPT
    assert kept.compile(OBJECT, "anna") is not first


def test_a_mask_is_one_answers_own(mplus: MPlus) -> None:
    grammar = mplus.grammars.compile(Constraint(regex="ab"))
    one, other = grammar.mask(), grammar.mask()
    a, b = mplus.tokenizer.encode("ab")
    one.take(a)
    assert one.allowed()[b]
    assert other.allowed()[a]
    assert not other.allowed()[b]
    assert other.allowed().dtype == np.bool_


@pytest.mark.parametrize("fields", [{}, {"regex": "a", "schema": "{}"}])
def test_a_constraint_is_one_thing(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="either"):
        Constraint(**fields)


def test_long_runs_of_spaces_are_parted_at_once() -> None:
    began = time.process_time()
    assert values.parts("bread" + " " * 50_000 + "and" + " \t" * 20_000 + "salt") == [
        "bread",
        "salt",
    ]
    assert time.process_time() - began < 1
