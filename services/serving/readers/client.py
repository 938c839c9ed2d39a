"""The readers as the API sees them, over a Serve handle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any

from grpc.aio import AioRpcError
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from mplus_ray.actors.messages import (
    AskRequest,
    AskResult,
    ReaderStats,
    SearchRequest,
    SearchResult,
    TextDelta,
)
from mplus_ray.model.errors import MPlusError, OverloadedError, ReaderLostError

if TYPE_CHECKING:
    from mplus_ray.services.serving.model_card import Card

_STATS_SECONDS = 2.0
_CLOSE_SECONDS = 10.0


class ServeReaders:
    """Each tenant has its reader, which keeps its memory; any other would do.

    Args:
        handle: of the `Readers` deployment.
        patience: seconds for which a question may look for a reader that takes it.
    """

    def __init__(self, handle: Any, patience: float = 30.0) -> None:
        self._handle = handle
        self._patience = patience

    async def ask(self, asked: AskRequest) -> AsyncGenerator[TextDelta | AskResult, None]:
        """Ask the tenant's reader, see `services.api.deps.ReaderClient`."""
        # The same tenant is hashed to the same reader as long as that one lives.
        options = self._handle.options(stream=True, session_id=asked.plan.tenant)
        # Serve gives all calls of one HTTP request one id, which it finds in the context, and loses
        # all but one of those that wait at the same time. In an empty one each has its own.
        call = Context().run(options.ask.remote, asked)
        try:
            with _errors():
                for said in await self._taken(call):
                    yield said
                async for batch in call:
                    for said in batch:
                        yield said
        finally:
            call.cancel()

    async def search(self, asked: SearchRequest) -> SearchResult:
        """Search the tenant's memory, see `services.api.deps.ReaderClient`."""
        call = self._handle.options(session_id=asked.plan.tenant).search.remote(asked)
        try:
            with _errors():
                found: SearchResult = await asyncio.wait_for(call, self._patience)
        except TimeoutError:
            raise OverloadedError(
                f"no reader searched within {self._patience:.0f} s; search again later",
                retry_after=5.0,
            ) from None
        finally:
            call.cancel()
        return found

    async def stats(self) -> Sequence[ReaderStats]:
        """Of those readers that are ready and say so in time."""
        return list((await self.figures()).values())

    async def figures(self) -> Mapping[str, ReaderStats]:
        """What each reader says of itself, by the readers' ids."""
        return dict(await self._everywhere("stats", seconds=_STATS_SECONDS))

    async def close(self, tenant: str) -> None:
        await self._everywhere("close", tenant, seconds=_CLOSE_SECONDS)

    async def card(self) -> Card:
        """Of the model that a reader has loaded; waits for the first reader.

        Raises:
            MPlusError: it cannot be loaded.
        """
        with _errors():
            card: Card = await self._handle.card.remote()
        return card

    async def _taken(self, call: Any) -> Sequence[TextDelta | AskResult]:
        """Wait for the first thing that a question's stream has, which may be nothing yet."""
        try:
            first: Sequence[TextDelta | AskResult] = await asyncio.wait_for(
                anext(call), self._patience
            )
        except TimeoutError:
            raise OverloadedError(
                f"no reader took the question within {self._patience:.0f} s; ask again later",
                retry_after=5.0,
            ) from None
        return first

    async def _everywhere(self, method: str, *arguments: Any, seconds: float) -> list[Any]:
        """What every reader says; those that cannot be reached are left out."""
        asking = self._handle.broadcast(method, *arguments)
        try:
            said = await asking.results_async(timeout_s=seconds, return_exceptions=True)
        except (RayError, RayServeException, TimeoutError):
            return []
        return [one for one in said if not isinstance(one, BaseException)]


@contextmanager
def _errors() -> Iterator[None]:
    """Ours as they were raised; those of Ray as what they mean to somebody who asks.

    Raises:
        OverloadedError: too many questions look for a reader.
        ReaderLostError: the reader that was answering is gone.
    """
    try:
        yield
    except RayTaskError as error:  # which is of the cause's class too, with a traceback as its text
        if isinstance(error.cause, MPlusError):
            raise error.cause from error
        raise
    except RayServeException as error:  # BackPressureError, DeploymentUnavailableError
        raise OverloadedError(
            "more questions look for a reader than may wait; ask again later", retry_after=2.0
        ) from error
    except (RayError, AioRpcError) as error:  # replicas speak gRPC, and not all of it is translated
        raise ReaderLostError(
            "the reader that was answering has ended; another one takes its place, ask again",
            retry_after=2.0,
        ) from error
