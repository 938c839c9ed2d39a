"""A memory is a function of weights, seed and log: in whatever way it was made."""

from __future__ import annotations

import itertools

import pytest

from mplus_ray.model.memory.digest import digest
from mplus_ray.model.store.row_format import PRECISIONS
from mplus_ray.pipeline.ledger.tenant import RETENTIONS
from mplus_ray.pipeline.maintenance.tenant_lifecycle import drop_rows
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.pipeline.workers.catch_up import catch_up
from tests.worlds import World, make_text, merge_all

pytest_plugins = ["tests.installations"]

DOCUMENTS = [(key, make_text(key, steps)) for key, steps in zip("abc", (7, 1, 9), strict=True)]


def test_alone_together_and_interrupted(world: World) -> None:
    alone = world.grow("alone", DOCUMENTS)
    one_by_one = world.tenant("one by one")
    for key, words in DOCUMENTS:
        world.accept(one_by_one, key, words)
        catch_up(world.engine, [one_by_one])
    together = [world.tenant(f"tenant {number}") for number in range(4)]
    for number, log in enumerate(together):
        for key, words in DOCUMENTS[: 1 + number]:
            world.accept(log, key, words)
    catch_up(world.engine, together)
    assert world.digest(together[0]) == world.digest(alone, 7)
    interrupted = world.tenant("interrupted")
    for key, words in DOCUMENTS:
        world.accept(interrupted, key, words)
    for patience in (1, 3, 2, 5):
        steps = itertools.count(1)

        def interrupt(*_: object, last: int = patience, steps: itertools.count = steps) -> None:
            if next(steps) == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            catch_up(world.engine, [interrupted], interrupt)
    catch_up(world.engine, [interrupted])
    expected = digest(world.chain(alone)[-1])
    for log in (alone, one_by_one, *together[2:], interrupted):
        assert world.digest(log) == expected


def test_seed_and_text_matter(world: World) -> None:
    made = [
        world.grow("a", DOCUMENTS),
        world.grow("b", DOCUMENTS, seed=8),
        world.grow("c", DOCUMENTS[::-1]),
        world.grow("d", DOCUMENTS, retention="unbounded"),
        world.grow("e", DOCUMENTS, precision="float32"),
    ]
    assert len({world.digest(log) for log in made}) == len(made)


@pytest.mark.parametrize("retention", RETENTIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_read_back_is_what_was_made(world: World, precision: str, retention: str) -> None:
    log = world.grow("anna", DOCUMENTS, precision=precision, retention=retention)
    expected = world.chain(log)
    memory = world.reader.memory(read_plan(log, log.heads.serving()))
    assert digest(memory) == digest(expected[-1])
    merge_all(world, log)
    again = world.restarted()
    log = again.ledger.tenant("anna")
    assert again.digest(log) == digest(expected[-1])
    drop_rows(again.engine, log)
    catch_up(again.engine, [log])
    assert again.digest(log) == digest(expected[-1])
    again.close()
