"""One ingest from its source to its summary, with a tiny model and no terminal."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import mplus_ray.pipeline.ingest.ingestor
import mplus_ray.services.cli.documents.ingest_session
import mplus_ray.services.cli.output
from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.ingest.ingestor import IngestReport
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.sources import Idle, Incoming, Item
from mplus_ray.services.cli.documents.ingest import carry_out
from mplus_ray.services.cli.documents.ingest_session import IngestOrder, IngestSession
from mplus_ray.services.cli.progress import LINE_SECONDS, Figures, Ingesting
from mplus_ray.services.embedded import Embedded
from mplus_ray.services.settings import Settings
from tests.checkpoints import write_checkpoint
from tests.logs import Clock


class Listed:
    """So many documents, and what happens before one of them is read."""

    def __init__(
        self,
        count: int,
        endless: bool = False,
        at: int | None = None,
        then: Callable[[], None] = lambda: None,
        stop: threading.Event | None = None,
    ) -> None:
        self.endless = endless
        self._count = count
        self._at = at
        self._then = then
        self._stop = stop or threading.Event()

    def __iter__(self) -> Iterator[Item]:
        for number in range(self._count):
            if number == self._at:
                yield Idle()
                self._then()
            if self._stop.is_set():
                return
            text = f"The bird of the day {number} is white."
            yield Incoming(f"d{number}", lambda text=text: ParsedDocument("T", text))  # type: ignore[misc]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    write_checkpoint(folder, retrieval="blocks")
    return folder


@pytest.fixture
def system(tmp_path: Path, checkpoint: Path) -> Iterator[Embedded]:
    with Embedded(Settings.read(tmp_path / "data", str(checkpoint)), write_only=True) as system:
        yield system


def carried_out(system: Embedded, order: IngestOrder, folder: Path) -> dict[str, Any]:
    carry_out(system, order, 0.0, str(folder / "result.json"))
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def test_no_more_waits_than_may_while_it_memorizes_itself(
    system: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mplus_ray.pipeline.ingest.ingestor, "GROUP_DOCUMENTS", 2)
    seen = _watch(monkeypatch)
    result = carried_out(system, IngestOrder("anna", Listed(20), max_backlog=5), tmp_path)
    assert result["documents"] == 20
    assert result["chunks"] == result["accepted"]["chunks"] >= 20
    assert result["tokens"] == result["accepted"]["tokens"]
    assert result["waiting"] == 0
    assert len(seen) > 2
    assert all(5 <= waiting <= 5 + 4 for waiting in seen[:-1]), "the last one is at the end"


def test_what_other_processes_memorize_is_waited_for(
    system: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    stop = threading.Event()

    def on_hold(self: Ingesting, waiting: int) -> None:
        held.append(waiting)
        stop.set()  # as Ctrl-C does

    monkeypatch.setattr(Ingesting, "held", on_hold)
    source = Listed(500, endless=True, stop=stop)
    order = IngestOrder("anna", source, wait=False, max_backlog=5, stop=stop)
    result = carried_out(system, order, tmp_path)
    assert held
    assert 5 < result["waiting"] == result["accepted"]["chunks"] < 500
    assert (result["chunks"], result["tokens"]) == (0, 0)


def test_an_interrupt_says_what_is_safe_and_how_to_go_on(
    system: Embedded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    order = IngestOrder("anna", Listed(9, at=7, then=interrupt))
    with pytest.raises(KeyboardInterrupt):
        carry_out(system, order, 0.0, None)
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("stopped: anna: 7 documents, ")
    assert "the same command goes on from here" in said
    result = carried_out(system, IngestOrder("anna", Listed(9)), tmp_path)
    assert (result["documents"], result["known"], result["waiting"]) == (2, 7, 0)


def test_an_interrupt_while_memorizing_needs_no_sources_again(
    system: Embedded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            mplus_ray.services.cli.documents.ingest_session.IngestSession, "_memorize", interrupt
        )
        with pytest.raises(KeyboardInterrupt):
            carry_out(system, IngestOrder("anna", Listed(3)), 0.0, None)
    assert "`mplus ingest --tenant anna` goes on" in " ".join(capsys.readouterr().err.split())
    carry_out(system, IngestOrder("anna", None), 0.0, None)
    assert system.ledger.tenant("anna").waiting() == 0


def test_without_a_terminal_there_is_one_summary(
    system: Embedded, capsys: pytest.CaptureFixture[str]
) -> None:
    carry_out(system, IngestOrder("[b]anna", Listed(3)), 0.0, None)
    out, err = capsys.readouterr()
    assert out.startswith("[b]anna: 3 documents, ")
    assert len(out.splitlines()) == 1
    assert err == ""


def test_failures_are_in_the_summary_and_end_it_with_an_error(
    system: Embedded, capsys: pytest.CaptureFixture[str]
) -> None:
    class Mixed(Listed):
        def __iter__(self) -> Iterator[Item]:
            yield from super().__iter__()
            yield Incoming("bad", self._fail)

        def _fail(self) -> ParsedDocument:
            raise DocumentError("bad is no document")

    with pytest.raises(DocumentError, match="1 of 2 documents were left out"):
        carry_out(system, IngestOrder("anna", Mixed(1)), 0.0, None)
    assert "anna: 1 documents, 1 failed, " in capsys.readouterr().out


class TestProgress:
    def test_figures_say_what_is_known(self) -> None:
        assert str(Figures()) == "0 documents · 0 tokens · 0 chunks wait"
        figures = Figures(1234, 56_789, 2, 300, left=6_000, memorized=1_000, seconds=2.0)
        assert str(figures) == (
            "1,234 documents · 56,789 tokens · 2 failed · 300 chunks wait · 500 tokens/s · "
            "0:12 left"
        )
        figures.left = 500 * 7325
        assert str(figures).endswith("2:02:05 left")

    def test_one_line_shows_both_sides(self) -> None:
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=200)
        clock = Clock()
        intake = IngestReport(new=3, tokens=90, failures=1)
        tenant = Tenant("t", "anna", 1, "w")
        with Ingesting(console, "anna", clock) as progress:
            progress.taken(intake, "notes\x1b[31m.txt", 12)
            with progress.memorizing(12, 90) as on_step:
                clock.now += 2
                on_step(tenant, 30)
            progress.held(40)
        assert progress.figures == Figures(3, 90, 1, 40, 60, 30, 2.0)
        shown = screen.getvalue()
        assert "waiting for the writers" in shown
        assert "3 documents · 90 tokens · 1 failed · 40 chunks wait · 15 tokens/s" in shown
        assert "\x1b[31m.txt" not in shown

    def test_nothing_is_shown_where_nobody_looks(self) -> None:
        screen = io.StringIO()
        with Ingesting(Console(file=screen), "anna") as progress:
            progress.taken(IngestReport(new=1, tokens=9), "a.txt", 1)
        assert screen.getvalue() == ""
        assert progress.figures.documents == 1

    def test_where_no_terminal_is_a_line_comes_now_and_then(self) -> None:
        screen = io.StringIO()
        clock = Clock()
        tenant = Tenant("t", "anna", 1, "w")
        console = Console(file=screen, width=40)
        with (
            Ingesting(console, "anna", clock) as progress,
            progress.memorizing(100, 1000) as on_step,
        ):
            for _ in range(100):
                clock.now += 1
                on_step(tenant, 10)
        lines = screen.getvalue().splitlines()
        assert len(lines) == 100 // LINE_SECONDS
        assert lines[0] == (
            "anna: 0 documents · 0 tokens · 85 chunks wait · 10 tokens/s · 1:25 left"
        )

    def test_waiting_for_others_is_said_once(self) -> None:
        screen = io.StringIO()
        with Ingesting(Console(file=screen), "anna") as progress:
            progress.held(101)
            progress.held(100)
        assert screen.getvalue().startswith("101 chunks wait to be memorized")
        assert len(screen.getvalue().splitlines()) == 1


def _watch(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Chunks that waited at each time that it was memorized."""
    seen: list[int] = []
    memorize = IngestSession._memorize

    def watched(self: IngestSession) -> None:
        seen.append(self.waiting())
        memorize(self)

    monkeypatch.setattr(IngestSession, "_memorize", watched)
    return seen
