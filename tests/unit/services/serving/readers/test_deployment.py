"""What a reader's replica does, without Serve round it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.actors.messages import AskRequest, AskResult, ReaderStats, TextDelta, Turn
from mplus_ray.model import MPlus
from mplus_ray.model.errors import CheckpointError, DamagedFileError, MPlusError, OverloadedError
from mplus_ray.pipeline.installation import Installation, StoreUrl
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.reading.read_plans import read_plan
from mplus_ray.services.serving.readers import deployment as readers
from mplus_ray.services.serving.readers.delivery_queue import DeliveryQueue
from mplus_ray.services.serving.readers.deployment import Readers
from mplus_ray.services.serving.readers.scaling import ASKED
from tests.worlds import World, load_model, make_text, opened

BUDGET = {"device_bytes": 1 << 26, "host_bytes": 1 << 26, "slots": 4, "queue": 4}
TOLD: Any = object.__new__(AskResult)  # its contents do not matter here


class TestOutbox:
    def take(self, put: Callable[[DeliveryQueue], None]) -> list[Any]:
        async def run() -> list[Any]:
            outbox = DeliveryQueue()
            thread = threading.Thread(target=put, args=(outbox,))
            thread.start()
            thread.join()
            return list(await asyncio.wait_for(outbox.take(), 30))

        return asyncio.run(run())

    def test_pieces_that_pile_up_are_one(self) -> None:
        def put(outbox: DeliveryQueue) -> None:
            for letter in "abc":
                outbox.put(TextDelta(letter))
            outbox.put(TOLD)

        assert self.take(put) == [TextDelta("abc"), TOLD]

    def test_nothing_is_lost_between_two_takes(self) -> None:
        async def run() -> str:
            outbox, heard = DeliveryQueue(pace=1e-4), ""
            letters = [chr(ord("a") + n % 26) for n in range(5000)]

            def put() -> None:
                for letter in letters:
                    outbox.put(TextDelta(letter))

            thread = threading.Thread(target=put)
            thread.start()
            while len(heard) < len(letters):
                heard += "".join(s.text for s in await outbox.take() if isinstance(s, TextDelta))
            thread.join()
            assert heard == "".join(letters)
            return heard

        assert asyncio.run(asyncio.wait_for(run(), 30))

    def test_after_the_first_piece_others_wait_for_their_time_or_the_end(self) -> None:
        async def run() -> None:
            outbox = DeliveryQueue(pace=3600)
            outbox.put(TextDelta("a"))
            assert await outbox.take() == [TextDelta("a")]
            taking = asyncio.create_task(outbox.take())
            for letter in "bc":
                outbox.put(TextDelta(letter))
                await asyncio.sleep(0)
            assert not taking.done()
            outbox.put(TOLD)
            assert await taking == [TextDelta("bc"), TOLD]

        asyncio.run(asyncio.wait_for(run(), 30))

    @pytest.mark.parametrize("pace", [0.0, 0.01])
    def test_a_piece_whose_time_has_come_waits_for_nothing_else(self, pace: float) -> None:
        async def run() -> None:
            outbox = DeliveryQueue(pace)
            for letter in "abc":
                outbox.put(TextDelta(letter))
                assert await outbox.take() == [TextDelta(letter)]
                await asyncio.sleep(2 * pace)
            taking = asyncio.create_task(outbox.take())
            await asyncio.sleep(2 * pace)  # it is not resting any more, but waiting
            outbox.put(TextDelta("d"))
            assert await taking == [TextDelta("d")]

        asyncio.run(asyncio.wait_for(run(), 30))

    def test_a_loop_that_is_gone_is_no_error(self) -> None:
        async def make() -> DeliveryQueue:
            return DeliveryQueue()

        asyncio.run(make()).put(TOLD)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoint") / "tiny"


@pytest.fixture(scope="module")
def model(folder: Path) -> MPlus:
    return load_model(folder)


@pytest.fixture
def world(model: MPlus, tmp_path: Path) -> Iterator[World]:
    with opened(model, f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "rows") as world:
        yield world


class Replica:
    """The deployment's own class, and one loop that it lives in."""

    def __init__(self, checkpoint: Path, store: Path) -> None:
        installation = Installation(str(checkpoint), "", StoreUrl(str(store), store / "cache"))
        self.readers: Any = Readers(installation)
        self._runner = asyncio.Runner()
        self.run(self.readers.reconfigure(BUDGET))

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(asyncio.wait_for(what, 60))

    def ask(self, log: TenantLog, **options: Any) -> list[Any]:
        async def hear() -> list[Any]:
            return [batch async for batch in self.readers.ask(asked(log, **options))]

        return list(self.run(hear()))

    def stats(self) -> ReaderStats:
        return self.readers._ready().stats()  # without Serve it has no id

    def load(self) -> float:
        return float(self.run(self.readers.record_autoscaling_stats())[ASKED])


def asked(log: TenantLog, whole: bool = False, **sampling: Any) -> AskRequest:
    plan = read_plan(log, log.heads.serving())
    turns = (Turn("user", "what was it?"),)
    return AskRequest(plan, turns, {"max_tokens": 8, **sampling}, whole=whole)


@contextmanager
def replica(checkpoint: Path, store: Path) -> Iterator[Replica]:
    made = Replica(checkpoint, store)
    try:
        yield made
    finally:
        made.run(made.readers.drain(0.0))
        made._runner.close()


def test_an_answer_begins_with_a_receipt_and_ends_with_what_it_came_to(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_SOON_SECONDS", 0.0)
    log = world.grow("t", [("d", make_text("d", 4))])
    with replica(folder, world.folder) as one:
        first, *rest = one.ask(log)
        assert first == []
        said = [each for batch in rest for each in batch]
        told = said[-1]
        assert isinstance(told, AskResult)
        assert "".join(piece.text for piece in said[:-1]) == told.answer.text
        assert one.stats().answered == 1
        card = one.run(one.readers.card())
        assert card.fingerprint == world.model.fingerprint
        assert card.chunk_tokens == world.model.config.chunk_tokens
        one.run(one.readers.check_health())


def test_what_is_told_soon_needs_no_receipt(world: World, folder: Path) -> None:
    log = world.grow("t", [("d", make_text("d", 4))])
    with replica(folder, world.folder) as one:
        pieces = one.ask(log)
        whole = one.ask(log, whole=True)
    assert isinstance(pieces[0][0], TextDelta)
    ((told,),) = whole
    assert isinstance(told, AskResult)
    assert told.answer.text == pieces[-1][-1].answer.text


def test_closing_the_stream_frees_the_slot(world: World, folder: Path) -> None:
    log = world.grow("t", [("d", make_text("d", 4))])
    with replica(folder, world.folder) as one:

        async def leave() -> None:
            async with aclosing(one.readers.ask(asked(log, max_tokens=1000))) as answer:
                await anext(answer)
                await anext(answer)

        one.run(leave())
        assert one.load() == 0
        assert one.stats().cancelled == 1


def test_draining_takes_nothing_more_and_ends_what_lasts(world: World, folder: Path) -> None:
    log = world.grow("t", [("d", make_text("d", 4))])
    with replica(folder, world.folder) as one:

        async def drain() -> None:
            async with aclosing(one.readers.ask(asked(log, max_tokens=1000))) as answer:
                await anext(answer)
                draining = asyncio.create_task(one.readers.drain(0.0))
                with pytest.raises(OverloadedError):
                    async for _ in answer:
                        pass
                await draining
            with pytest.raises(OverloadedError, match="about to stop"):
                await anext(one.readers.ask(asked(log)))

        one.run(drain())


def test_a_damaged_file_is_opened_anew_once_it_is_whole(world: World, folder: Path) -> None:
    log = world.grow("t", [("d", make_text("d", 4))])
    (shard, *_) = log.heads.serving().shards
    path = world.folder / shard.file
    whole = path.read_bytes()
    with replica(folder, world.folder) as one:
        path.unlink()
        path.write_bytes(whole[:-8] + b"damaged!")
        with pytest.raises(DamagedFileError):
            one.ask(log)
        path.unlink()
        path.write_bytes(whole)
        assert one.ask(log)


def test_another_budget_is_taken_while_it_answers(world: World, folder: Path) -> None:
    log = world.grow("t", [("d", make_text("d", 4))])
    with replica(folder, world.folder) as one:

        async def change() -> Any:
            async with aclosing(one.readers.ask(asked(log))) as answer:
                said = [*await anext(answer)]  # which may be all of it
                changing = asyncio.create_task(one.readers.reconfigure({**BUDGET, "slots": 2}))
                said += [each async for batch in answer for each in batch]
                await changing
                return said[-1]

        assert isinstance(one.run(change()), AskResult)
        assert one.stats().slots == 2


def test_a_reader_whose_decoding_has_ended_is_not_healthy(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = world.grow("t", [("d", make_text("d", 4))])
    with replica(folder, world.folder) as one:
        one.ask(log)
        one.run(one.readers.check_health())
        monkeypatch.setattr(one.readers._ready(), "_take", lambda: 1 / 0)
        with pytest.raises(OverloadedError):
            one.ask(log)
        with pytest.raises(RuntimeError, match="decoding has ended"):
            one.run(one.readers.check_health())


def test_a_checkpoint_that_is_none_is_told_to_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replica(tmp_path / "nothing", tmp_path / "rows") as one:
        one.run(one.readers.check_health())  # it stays until it was asked why
        monkeypatch.setattr(readers, "_FAILED_SECONDS", -1.0)
        for method in ("card", "check_health"):
            with pytest.raises(CheckpointError, match="there is no folder"):
                one.run(getattr(one.readers, method)())
        assert one.load() == 0
        with pytest.raises(MPlusError):
            one.run(anext(one.readers.ask(None)))
