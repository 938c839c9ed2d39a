"""`mplus init --set`: a field is set to what it is, or refused with what it should be."""

from __future__ import annotations

from typing import Any

import pytest

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.cli.checkpoints.init import _fields


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("num_tokens=64", 64),
        ("decay_frequency=0.5", 0.5),
        ("pool_attended=false", False),
        ("add_bos_embedding=True", True),
        ("rows=inputs", "inputs"),
        ("row_precision=int8", "int8"),
        ("max_vote_gap=3", 3.0),
        ("max_vote_gap=none", None),
        ("sliding_window=4096", 4096),
        ("refusal=I do not know.", "I do not know."),
        ("prompt_template=a=b {question}", "a=b {question}"),
        ("eos_token_ids=[1, 2]", (1, 2)),
    ],
)
def test_a_value_is_of_its_fields_type(setting: str, value: Any) -> None:
    found = _fields([setting])
    assert list(found.values()) == [value]
    assert type(next(iter(found.values()))) is type(value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("pool_attended=maybe", "pool_attended is true or false, not 'maybe'"),
        ("num_tokens=1.5", "num_tokens is a whole number, not '1.5'"),
        ("num_tokens=none", "num_tokens is a whole number, not 'none'"),
        ("num_tokens=", "num_tokens is a whole number, not ''"),
        ("num_tokens", "give a value, as in num_tokens=VALUE"),
        ("decay_frequency=fast", "decay_frequency is a number, not 'fast'"),
        ("max_vote_gap=wide", "max_vote_gap is a number or none, not 'wide'"),
        ("rows=both", "rows is outputs or inputs, not 'both'"),
        ("eos_token_ids=1,2", "eos_token_ids is JSON, as in config.json, not '1,2'"),
        ("size=1", "the configuration has no field 'size'"),
    ],
)
def test_what_it_is_not_is_refused(setting: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        _fields([setting])
    assert message in str(caught.value)
