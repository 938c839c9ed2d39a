"""An endless source ends politely by Ctrl-C, and only an endless one does."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.cli import app as cli
from mplus_ray.services.cli.interrupts import stopped_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    signal.signal(number, signal.default_int_handler)
    stop = threading.Event()
    try:
        with stopped_by_signals(stop, True):
            signal.raise_signal(number)
            assert stop.is_set()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_otherwise_signals_stay_what_they_are() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stopped_by_signals(threading.Event(), False):
        assert signal.getsignal(signal.SIGINT) is before


def test_an_end_is_for_sources_without_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    line = ["ingest", "-t", "anna", str(tmp_path / "a.txt"), "--until-idle", "1"]
    done = CliRunner().invoke(cli.app, line)
    assert isinstance(done.exception, InvalidInputError)
    assert "--follow and kafka" in str(done.exception)
