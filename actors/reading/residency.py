"""What a reader holds, in two tiers by bytes: on the device and on the host.

Plain accounting: no thread, no clock, no tensor. Everything held is an `Item` with a cost in
either tier. What is in use is pinned; of the rest, the least recently used goes when room is
needed. Room is made before something is added, so neither budget is ever exceeded.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bytes:
    """An amount in both tiers.

    Attributes:
        device: on the reader's device.
        host: in its RAM.
    """

    device: int = 0
    host: int = 0

    def __add__(self, other: Bytes) -> Bytes:
        return Bytes(self.device + other.device, self.host + other.host)

    def __sub__(self, other: Bytes) -> Bytes:
        return Bytes(self.device - other.device, self.host - other.host)

    def within(self, budget: Bytes) -> bool:
        return self.device <= budget.device and self.host <= budget.host


@dataclass(eq=False)
class Item:
    """Something held.

    Attributes:
        key: by which it is found.
        cost: bytes it holds.
        parent: what it is a part of, and cannot be without.
        stale: something newer has taken its place, so it goes before all that is not.
        value: what is held; None until it is there, and after it was let go of.
        pins: how many are using it now; it goes when none are.
        used: when it was used last, by a counter.
        held: whether its bytes are counted as taken.
        parts: items whose parent it is.
    """

    key: Hashable
    cost: Bytes
    parent: Item | None = None
    stale: bool = False
    value: Any = None
    pins: int = 0
    used: int = 0
    held: bool = False
    parts: set[Item] = field(default_factory=set)


class Residency:
    """Items within a budget. One thread at a time."""

    def __init__(self, budget: Bytes) -> None:
        self.budget = budget
        self.used = Bytes()
        self.evictions = 0
        self._pinned = Bytes()
        self._items: dict[Hashable, Item] = {}
        self._uses = 0

    def get(self, key: Hashable) -> Item | None:
        return self._items.get(key)

    def items(self) -> Iterable[Item]:
        """All that can be found."""
        return self._items.values()

    def fits(self, more: Bytes, kept: Iterable[Item] = ()) -> bool:
        """Whether there can be room for `more` beside what is pinned and `kept`."""
        needed = self._pinned + more
        for item in kept:
            if not item.pins:
                needed += item.cost
        return needed.within(self.budget)

    def add(self, item: Item) -> None:
        """Hold it from now on, unpinned. Others go where it needs their room.

        Raises:
            ValueError: it does not fit; `fits` says so before.
        """
        self._make_room(item.cost)
        self.used += item.cost
        item.held = True
        self._items[item.key] = item
        if item.parent is not None:
            item.parent.parts.add(item)

    def grow(self, item: Item, cost: Bytes) -> None:
        """A pinned item costs more from now on."""
        more = cost - item.cost
        self._make_room(more)
        self.used += more
        self._pinned += more
        item.cost = cost

    def pin(self, item: Item) -> None:
        """It stays, and what it is a part of, until as many `unpin`s."""
        self._uses += 1
        one: Item | None = item
        while one is not None:
            if not one.pins:
                self._pinned += one.cost
            one.pins += 1
            one.used = self._uses
            one = one.parent

    def unpin(self, item: Item) -> None:
        """What was let go of meanwhile goes with its last pin."""
        one: Item | None = item
        while one is not None:
            one.pins -= 1
            if not one.pins:
                self._pinned -= one.cost
                if self._items.get(one.key) is not one:
                    self._drop(one)
            one = one.parent

    def forget(self, item: Item) -> None:
        """Nobody finds it any more; its bytes are free once nobody uses it."""
        if self._items.get(item.key) is item:
            del self._items[item.key]
        for part in list(item.parts):
            self.forget(part)
        if not item.pins:
            self._drop(item)

    def _drop(self, item: Item) -> None:
        if item.held:
            item.held = False
            self.used -= item.cost
            item.value = None
            if item.parent is not None:
                item.parent.parts.discard(item)

    def _make_room(self, more: Bytes) -> None:
        if (self.used + more).within(self.budget):
            return
        unused = [item for item in self._items.values() if not item.pins]
        for item in sorted(unused, key=_keep):
            over = self.used + more - self.budget
            if over.device <= 0 and over.host <= 0:
                return
            helps = Bytes(min(item.cost.device, over.device), min(item.cost.host, over.host))
            if item.held and (helps.device > 0 or helps.host > 0):
                self._evict(item)
        if not (self.used + more).within(self.budget):
            raise ValueError("there is no room, although it was asked for")

    def _evict(self, item: Item) -> None:
        self.evictions += 1 + len(item.parts)
        self.forget(item)


def _keep(item: Item) -> tuple[bool, int, bool]:
    """The smaller, the sooner it goes; a part before the whole that it was used with."""
    return not item.stale, item.used, item.parent is None
