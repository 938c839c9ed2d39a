"""What fails is told to its question, and the others go on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.actors.messages import (
    AskRequest,
    AskResult,
    Turn,
)
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.actors.reading.request import ReadRequest
from mplus_ray.model import MPlus
from mplus_ray.model.errors import (
    DamagedFileError,
    FingerprintMismatchError,
    InvalidInputError,
    MPlusError,
    OverloadedError,
)
from tests.readers import (
    PATIENCE,
    FarFiles,
    GatedFiles,
    Tenants,
    answering,
    ask,
    asked,
    at,
    load,
    texts,
)
from tests.unit.actors.reading.busy import LONG, idle


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"sampling": {"temperature": -1}}, "temperature"),
            ({"sampling": {"temprature": 1}}, "no option temprature"),
            ({"turns": (Turn("user", "  "),)}, "empty"),
            ({"turns": ()}, "must end in a message of the user"),
            ({"turns": (Turn("assistant", "Hello."),)}, "must end in a message of the user"),
            ({"citations": 21}, "0 to 20"),
            ({"sampling": {"max_tokens": 131_072}}, "can read 0"),
        ],
    )
    def test_what_is_wrong_with_a_question_is_told_to_it(
        self, tenants: Tenants, plans: dict[str, ReadPlan], change: dict[str, Any], said: str
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            good, _ = ask(engine, asked(plans["anna"], "What?"))
            whole = {"turns": (Turn("user", "What?"),), "plan": plans["anna"], **change}
            bad, _ = ask(engine, AskRequest(**whole))
            with pytest.raises(InvalidInputError, match=said):
                bad.wait()
            good.wait()
            assert (engine.stats().failed, engine.stats().answered) == (1, 1)

    def test_a_memory_of_other_weights(
        self, tenants: Tenants, plans: dict[str, ReadPlan], tmp_path: Path
    ) -> None:
        other = load(tmp_path / "model", seed=5)
        own = Tenants(other, tenants.files).grow("otto", texts("otto", 3))
        with answering(other, tenants.files) as engine:
            bad, _ = ask(engine, asked(plans["anna"], "What?"))
            good, _ = ask(engine, asked(own, "What?"))
            with pytest.raises(FingerprintMismatchError, match="mplus rebuild"):
                bad.wait()
            good.wait()
            idle(engine)
            assert engine.stats().memories == 1

    def test_a_file_that_comes_back(self, tenants: Tenants, plans: dict[str, ReadPlan]) -> None:
        plan = tenants.grow("fred", texts("fred", 6))
        path = tenants.files.path(plan.shards[1].file)
        assert path is not None
        with answering(tenants.model, tenants.files) as engine:
            ask(engine, asked(at(plan, 3), "What?"))[0].wait()
            path.rename(path.with_suffix(".away"))
            bad = [ask(engine, asked(plan, "What?"))[0] for _ in range(2)]
            good, _ = ask(engine, asked(plans["anna"], "What?"))
            for listener in bad:
                with pytest.raises(DamagedFileError, match="missing"):
                    listener.wait()
            good.wait()
            path.with_suffix(".away").rename(path)
            told = ask(engine, asked(plan, "What?", max_tokens=7))[0].wait()
            tenants.check(told, plan, "What?", max_tokens=7)

    def test_a_file_that_goes_while_it_is_read(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        """Of a far file only ranges are read, when a question retrieves them."""
        plan = tenants.grow("greta", texts("greta", 9))
        with answering(tenants.model, FarFiles(tenants.files)) as engine:
            ask(engine, asked(plan, "What?"))[0].wait()
            for shard in plan.shards:
                path = tenants.files.path(shard.file)
                assert path is not None
                path.unlink()
            bad, _ = ask(engine, asked(plan, "What?"))
            good, _ = ask(engine, asked(plans["anna"], "What?"))
            with pytest.raises(DamagedFileError):
                bad.wait()
            good.wait()

    def test_a_pass_that_fails_is_told_and_the_next_one_is_well(
        self,
        tenants: Tenants,
        plans: dict[str, ReadPlan],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        from mplus_ray.actors.reading import decoding as batch

        def out_of_memory(*_: Any) -> None:
            raise RuntimeError("out of memory")

        with answering(tenants.model, tenants.files) as engine:
            ask(engine, asked(plans["anna"], "What?"))[0].wait()
            for name in ("start", "advance"):
                with monkeypatch.context() as patch:
                    patch.setattr(batch, name, out_of_memory)
                    heard = [ask(engine, asked(plans["anna"], "What?"))[0] for _ in range(3)]
                    for listener in heard:
                        with pytest.raises(MPlusError, match="out of memory"):
                            listener.wait()
                ask(engine, asked(plans["anna"], "What?"))[0].wait()
        assert "answering failed" in caplog.text

    def test_an_answer_that_cannot_be_summed_up_fails_alone(
        self, tenants: Tenants, plans: dict[str, ReadPlan], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told = ReadRequest.told

        def fail_once(question: ReadRequest, model: MPlus) -> AskResult:
            if question.asked.citations == 1:
                raise TypeError("no such number")
            return told(question, model)

        monkeypatch.setattr(ReadRequest, "told", fail_once)
        with answering(tenants.model, tenants.files) as engine:
            heard = [ask(engine, asked(plans["anna"], "What?", count))[0] for count in (0, 1, 2)]
            with pytest.raises(MPlusError, match="no such number"):
                heard[1].wait()
            heard[0].wait()
            heard[2].wait()
            assert not engine.broken
            idle(engine)
            assert (engine.stats().answered, engine.stats().failed) == (2, 1)

    def test_a_reader_that_is_broken_says_so(
        self,
        tenants: Tenants,
        plans: dict[str, ReadPlan],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with answering(tenants.model, tenants.files) as engine:
            monkeypatch.setattr(engine, "_take", lambda: 1 / 0)
            with pytest.raises(OverloadedError):
                ask(engine, asked(plans["anna"], "What?"))[0].wait()
            assert engine.broken
            with pytest.raises(OverloadedError):
                ask(engine, asked(plans["anna"], "What?"))
        assert "decoding has ended" in caplog.text


class TestStopping:
    def test_everything_gets_an_error_and_the_threads_end(
        self, tenants: Tenants, plans: dict[str, ReadPlan]
    ) -> None:
        before = threading.active_count()
        gated = GatedFiles(tenants.files)
        with answering(tenants.model, gated, slots=1) as engine:
            running, _ = ask(engine, asked(plans["emil"], "What?", max_tokens=LONG))
            assert running.first.wait(PATIENCE)
            ready, _ = ask(engine, asked(plans["emil"], "What?"))
            opening, _ = ask(engine, asked(plans["anna"], "What?"))
            assert gated.waiting.wait(PATIENCE)
            stopper = threading.Thread(target=engine.stop)
            stopper.start()
            for listener in (running, ready, opening):
                with pytest.raises(OverloadedError, match="stopping"):
                    listener.wait()
            gated.gate.set()
            stopper.join(PATIENCE)
            with pytest.raises(OverloadedError, match="stopping"):
                ask(engine, asked(plans["anna"], "What?"))
            engine.stop()
        assert threading.active_count() == before
