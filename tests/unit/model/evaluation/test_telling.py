"""What is told before each moment, and what is asked then."""

from __future__ import annotations

from collections import Counter

import pytest

from mplus_ray.model import MPlus
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.telling import Due, tell
from mplus_ray.model.memory.digest import digest
from tests.unit.model.evaluation.told import document, memory_of, others


class TestTelling:
    def told(self, mplus: MPlus) -> list[Due]:
        logs = [
            [document(mplus, "aaaa", "bb", asked="1?"), document(mplus, "cccccc", asked="2?")],
            [document(mplus, "ddd"), document(mplus, "eeeeeeeee", asked="3?")],
        ]
        return list(tell(mplus, logs, [others(mplus), others(mplus)], [0, 25, 7], seed=3))

    def test_every_question_is_due_once_at_every_distance(self, mplus: MPlus) -> None:
        counts = Counter((d.document.questions[0].text, d.distance) for d in self.told(mplus))
        assert counts == Counter({(f"{n}?", d): 1 for n in (1, 2, 3) for d in (0, 7, 25)})

    def test_so_many_tokens_stand_between(self, mplus: MPlus) -> None:
        for due in self.told(mplus):
            after = [len(c.ids) for c in due.log[due.steps.stop : due.memory.step]]
            assert sum(after) >= due.distance
            assert sum(after[:-1]) < due.distance or not after

    def test_the_memory_is_that_of_its_log(self, mplus: MPlus) -> None:
        for due in self.told(mplus):
            fresh = memory_of(mplus, due.log[: due.memory.step], seed=6 + due.tenant)
            assert digest(fresh) == digest(due.memory)
            assert list(due.document.chunks) == [due.log[step] for step in due.steps]

    def test_text_that_ends_is_an_error(self, mplus: MPlus) -> None:
        logs = [[document(mplus, "aaaa", asked="1?")]]
        with pytest.raises(InvalidInputError, match="not enough other text"):
            list(tell(mplus, logs, [iter(())], [5]))
