"""Ray shells round the roles, and what a caller holds of them.

The caller's side has the methods of the plain classes, so that code takes either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mplus_ray.actors.plans import ReadPlan, Sealed, WritePlan, WriteRequest
from mplus_ray.actors.reading.reader import Reader
from mplus_ray.actors.writer import Writer
from mplus_ray.model.errors import MPlusError

if TYPE_CHECKING:
    import ray

    from mplus_ray.model import Answer
    from mplus_ray.model.generation.tokenizer import TextTokenizer
    from mplus_ray.model.object_store.object_store import ObjectStore


@dataclass(frozen=True)
class ModelCard:
    """What a caller needs to know of the model an actor has loaded."""

    fingerprint: str
    parameters: int
    chunk_tokens: int
    tokenizer: TextTokenizer


@dataclass(frozen=True)
class StoreUrl:
    """Where an actor finds the row store.

    Attributes:
        url: a path, s3://… or gs://….
        cache, cache_bytes: folder and size of the local cache of a remote store.
    """

    url: str
    cache: Path
    cache_bytes: int = 4 << 30

    def open(self) -> ObjectStore:
        from mplus_ray.model.object_store.object_store import ObjectStore
        from mplus_ray.model.object_store.range_cache import RangeCache

        return ObjectStore.open(self.url, RangeCache(self.cache, self.cache_bytes))


class _WriterActor:
    def load(self, checkpoint: str, store: StoreUrl) -> ModelCard:
        """Not in the constructor: there an error would be the actor's death."""
        from mplus_ray.model import MPlus

        model = MPlus.load(checkpoint, write_only=True)
        self._writer = Writer(model, store.open())
        return ModelCard(
            fingerprint=model.fingerprint,
            parameters=sum(p.numel() for p in model.networks.writer.parameters()),
            chunk_tokens=model.config.chunk_tokens,
            tokenizer=model.tokenizer,
        )

    def open(self, plan: WritePlan) -> int:
        return self._writer.open(plan)

    def memorize(self, requests: Sequence[WriteRequest]) -> list[int]:
        return self._writer.memorize(requests)

    def seal(self, tenant: str, leaving: bool) -> Sealed | None:
        return self._writer.seal(tenant, leaving)

    def close(self, tenant: str) -> None:
        self._writer.close(tenant)


class _ReaderActor:
    def load(self, checkpoint: str, store: StoreUrl) -> None:
        from mplus_ray.model import MPlus

        self._reader = Reader(MPlus.load(checkpoint), store.open())

    def open(self, plan: ReadPlan) -> int:
        return self._reader.open(plan)

    def ask(self, plan: ReadPlan, question: str, sampling: dict[str, Any]) -> Answer:
        return self._reader.ask(plan, question, **sampling)


class RemoteWriter:
    """A writer in an actor of its own."""

    def __init__(
        self, checkpoint: str, store: StoreUrl, num_cpus: float, num_gpus: float = 0
    ) -> None:
        self._actor = _start(_WriterActor, num_cpus, num_gpus)
        self.card: ModelCard = _result(self._actor.load.remote(checkpoint, store))

    def open(self, plan: WritePlan) -> int:
        return _result(self._actor.open.remote(plan))

    def memorize(self, requests: Sequence[WriteRequest]) -> list[int]:
        return _result(self._actor.memorize.remote(requests))

    def seal(self, tenant: str, leaving: bool = False) -> Sealed | None:
        return _result(self._actor.seal.remote(tenant, leaving))

    def seal_later(self, tenant: str, leaving: bool = False) -> Callable[[], Sealed | None]:
        """What is there now is sealed, in the actor, while the caller goes on."""
        reference = self._actor.seal.remote(tenant, leaving)
        return lambda: _result(reference)

    def close(self, tenant: str) -> None:
        _result(self._actor.close.remote(tenant))

    def stop(self) -> None:
        """End the actor; what is not committed is to be memorized again."""
        _stop(self._actor)


class RemoteReader:
    """A reader in an actor of its own."""

    def __init__(
        self, checkpoint: str, store: StoreUrl, num_cpus: float, num_gpus: float = 0
    ) -> None:
        self._actor = _start(_ReaderActor, num_cpus, num_gpus)
        _result(self._actor.load.remote(checkpoint, store))

    def open(self, plan: ReadPlan) -> int:
        return _result(self._actor.open.remote(plan))

    def ask(
        self,
        plan: ReadPlan,
        question: str,
        on_text: Callable[[str], None] = lambda piece: None,
        **sampling: Any,
    ) -> Answer:
        """The answer; its text is handed over in one piece."""
        answer: Answer = _result(self._actor.ask.remote(plan, question, sampling))
        on_text(answer.text)
        return answer

    def stop(self) -> None:
        _stop(self._actor)


# Ray reads its environment when it is imported, so that waits until somebody has set it.


def _start(shell: type, num_cpus: float, num_gpus: float) -> Any:
    import ray

    # Ray gives an actor as many computing threads as CPUs, unless the environment says otherwise.
    actor: Any = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(shell)
    return actor.remote()


def _stop(actor: Any) -> None:
    import ray

    ray.kill(actor)


def _result(reference: ray.ObjectRef) -> Any:
    """The value, or the error as it was raised there."""
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from error
    except RayActorError as error:
        raise MPlusError(
            "an actor's process ended unexpectedly, perhaps for want of memory; what is in the "
            f"log is safe, so run it again ({error})"
        ) from error
