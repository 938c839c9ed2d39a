"""Signs of life of the demo."""

from __future__ import annotations

import threading

from mplus_ray.deploy.demo.progress import Progress


class Clock:
    """Moves a second at each look."""

    def __init__(self) -> None:
        self.now = 0.0
        self.often = threading.Event()  # it was looked at

    def __call__(self) -> float:
        self.now += 1.0
        if self.now > 9:
            self.often.set()
        return self.now


def test_what_takes_long_is_said_again_and_again() -> None:
    heard: list[str] = []
    twice = threading.Event()

    def say(text: str) -> None:
        heard.append(text)
        if len(heard) == 2:
            twice.set()

    with Progress(say, every=0.01, clock=Clock()) as progress:
        progress.now("loading")
        assert twice.wait(10)
    assert heard[0].startswith("still loading, ")
    assert progress.phases["loading"] > 0


def test_what_tells_itself_is_not_spoken_for() -> None:
    heard: list[str] = []
    clock = Clock()
    with Progress(heard.append, every=0.001, clock=clock) as progress:
        progress.now("memorizing", tells_itself=True)
        assert clock.often.wait(10)
    assert heard == []
    assert list(progress.phases) == ["memorizing"]


def test_what_is_done_twice_counts_once() -> None:
    with Progress(print, every=60.0, clock=Clock()) as progress:
        for doing in ("one", "two", "one", ""):
            progress.now(doing)
    assert progress.phases == {"one": 2.0, "two": 1.0}
