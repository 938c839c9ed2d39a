"""Beginning again what is lost to a head that was replaced meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.errors import DamagedFileError, SwappedError

TRIES = 3  # a head is replaced by a rebuild, which takes longer than any of them


@dataclass(frozen=True)
class Attempt:
    """One of them, as a context: what ends with SwappedError in it is over, unless it is the last.

    Attributes:
        number: from 0.
        last: whether its error is raised.
    """

    number: int
    last: bool

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return isinstance(error, SwappedError) and not self.last


def attempts(tries: int = TRIES) -> Iterator[Attempt]:
    """To go through with `for attempt in attempts():` and `with attempt:`, and to leave with what
    came of it."""
    for number in range(tries):
        yield Attempt(number, last=number == tries - 1)


def check_damage(error: DamagedFileError, now: ReadPlan) -> None:
    """Say what a damaged file is to a reader of the memory as it is now.

    Raises:
        DamagedFileError: the error itself; the file is still read.
        SwappedError: another head serves, which lacks the file.
    """
    if now.reads(error.file):
        raise error
    raise SwappedError(
        "the memory that was asked has been replaced meanwhile, and its files are gone; ask again"
    ) from error
