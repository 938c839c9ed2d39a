"""What is lost to a head that was replaced begins again, so often and no oftener."""

from __future__ import annotations

import pytest

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.errors import DamagedFileError, StorageError, SwappedError
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.pipeline.ledger.heads.replaced import TRIES, attempts, check_damage

SHARD = Shard("t/rows.arrow", "c", 0, 1, 10, (0, 0, 0))
PLAN = ReadPlan("t", "h", "f", 0, "bfloat16", "checkpoint", 1, (SHARD,))


def lost(times: int, error: Exception) -> int:
    """Which attempt comes through, of a read that is lost so many times."""
    for attempt in attempts():
        with attempt:
            if attempt.number < times:
                raise error
            return attempt.number
    raise AssertionError


@pytest.mark.parametrize("times", range(TRIES))
def test_the_first_attempt_that_is_not_lost_counts(times: int) -> None:
    assert lost(times, SwappedError("replaced")) == times


def test_the_last_one_says_what_it_was_lost_to() -> None:
    with pytest.raises(SwappedError, match="replaced"):
        lost(TRIES, SwappedError("replaced"))


def test_another_error_ends_it_at_once() -> None:
    error = StorageError("no space")
    with pytest.raises(StorageError, match="no space") as caught:
        lost(1, error)
    assert caught.value is error


class TestDamage:
    def test_of_a_file_that_is_still_read(self) -> None:
        error = DamagedFileError(SHARD.file, "it is missing")
        with pytest.raises(DamagedFileError) as caught:
            check_damage(error, PLAN)
        assert caught.value is error

    def test_of_a_file_that_nobody_reads_any_more(self) -> None:
        with pytest.raises(SwappedError, match="ask again"):
            check_damage(DamagedFileError("merged.arrow", "it is missing"), PLAN)
