"""The readers over a Serve handle: what its errors mean, and that nothing is left running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from ray.exceptions import ActorUnavailableError, RayTaskError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from mplus_ray.actors.messages import AskRequest, AskResult, TextDelta, Turn
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.errors import InvalidInputError, MPlusError, OverloadedError, ReaderLostError
from mplus_ray.model.generation.answer import Answer, Usage
from mplus_ray.services.serving.readers.client import ServeReaders

PLAN = ReadPlan("t1", "h", "f", 0, "bfloat16", "checkpoint", 0, ())
ASKED = AskRequest(PLAN, (Turn("user", "what?"),))
TOLD = AskResult(Answer("ab", [], "stop", Usage(1, 2, 3)))


class Call:
    """What a streaming call returns, from a script of batches and errors."""

    def __init__(self, script: list[Any]) -> None:
        self._script = iter(script)
        self.cancelled = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for step in self._script:
            if isinstance(step, BaseException):
                raise step
            if step == "wait":
                await asyncio.Event().wait()
            return step
        raise StopAsyncIteration

    def cancel(self) -> None:
        self.cancelled += 1


class Broadcast:
    def __init__(self, said: list[Any] | Exception) -> None:
        self._said = said

    async def results_async(self, timeout_s: float, return_exceptions: bool) -> list[Any]:
        assert return_exceptions
        if isinstance(self._said, Exception):
            raise self._said
        return self._said


class Handle:
    """Of a deployment whose method `ask` does what a script says."""

    def __init__(self, script: list[Any] = [], said: list[Any] | Exception = []) -> None:  # noqa: B006
        self.call = Call(script)
        self.said = said
        self.opted: dict[str, Any] = {}
        self.told: tuple[Any, ...] = ()

    def options(self, **options: Any) -> Handle:
        self.opted = options
        return self

    @property
    def ask(self) -> Handle:
        return self

    def remote(self, *_: Any) -> Call:
        return self.call

    def broadcast(self, *told: Any) -> Broadcast:
        self.told = told
        return Broadcast(self.said)


async def hear(handle: Handle, patience: float = 30.0) -> list[Any]:
    return [said async for said in ServeReaders(handle, patience).ask(ASKED)]


def test_an_answer_comes_in_order_from_the_tenants_reader() -> None:
    handle = Handle([[], [TextDelta("a")], [TextDelta("b"), TOLD]])
    assert asyncio.run(hear(handle)) == [TextDelta("a"), TextDelta("b"), TOLD]
    assert handle.opted == {"stream": True, "session_id": "t1"}


def task_error(cause: Exception) -> BaseException:
    return RayTaskError("ask", "a traceback with secrets", cause).as_instanceof_cause()


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (lambda: OverloadedError("full", 3.0), OverloadedError),
        (lambda: task_error(InvalidInputError("no question")), InvalidInputError),
        (lambda: BackPressureError(3, 3), OverloadedError),
        (lambda: DeploymentUnavailableError(DeploymentID("Readers")), OverloadedError),
        (lambda: ActorUnavailableError("gone", None), ReaderLostError),
        (lambda: AioRpcError(StatusCode.INTERNAL, Metadata(), Metadata()), ReaderLostError),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 2])
def test_errors_are_ours_and_say_nothing_of_ray(
    raised: Callable[[], Exception], expected: type[MPlusError], before: int
) -> None:
    handle = Handle([*[[], [TextDelta("a")]][:before], raised()])
    with pytest.raises(expected) as caught:
        asyncio.run(hear(handle))
    assert type(caught.value) is expected
    assert "traceback" not in str(caught.value)
    assert handle.call.cancelled == 1


def test_the_first_thing_said_may_be_the_receipt() -> None:
    assert asyncio.run(hear(Handle([[TOLD]]))) == [TOLD]


def test_nobody_waits_for_ever_for_a_reader() -> None:
    handle = Handle(["wait"])
    with pytest.raises(OverloadedError, match="no reader took the question"):
        asyncio.run(hear(handle, patience=0.01))
    assert handle.call.cancelled == 1


def test_closing_the_iterator_cancels() -> None:
    async def run() -> int:
        handle = Handle([[], [TextDelta("a")], "wait"])
        answer = ServeReaders(handle).ask(ASKED)
        assert await anext(answer) == TextDelta("a")
        assert not handle.call.cancelled
        await answer.aclose()
        return handle.call.cancelled

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([("a", "one"), ActorUnavailableError("gone", None), ("b", "two")], ["one", "two"]),
        (DeploymentUnavailableError(DeploymentID("Readers")), []),
        (TimeoutError(), []),
    ],
)
def test_statistics_are_of_those_readers_that_answer(said: Any, expected: list[str]) -> None:
    found: Any = asyncio.run(ServeReaders(Handle(said=said)).stats())
    assert found == expected


def test_a_tenants_memory_is_closed_everywhere() -> None:
    handle = Handle(said=[None])
    asyncio.run(ServeReaders(handle).close("t1"))
    assert handle.told == ("close", "t1")
