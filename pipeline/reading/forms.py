"""Objects that memory fills: the readings of their fields, and what they come to together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mplus_ray.model.generation.answer import Answer, Source, Usage
from mplus_ray.model.structured.field import (
    FieldAnswer,
    FieldQuestion,
    Filling,
    Path,
    step,
    together,
)
from mplus_ray.model.structured.form import Filled, Form
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.reading.abstention import REFUSAL, AskOutcome, says_nothing

if TYPE_CHECKING:
    from mplus_ray.actors.messages import AskResult
    from mplus_ray.model.generation.generate import FinishReason


@dataclass(frozen=True)
class NamedForm:
    """A form that an answer may have.

    Attributes:
        name: of the tool whose arguments it is; "" if it is the answer itself.
        form: what has to be filled.
    """

    name: str
    form: Form


@dataclass(frozen=True)
class FieldReading:
    """What memory was asked for a field, and said.

    Attributes:
        asked: its path begins with the place of its form.
        outcome: whether what was said stands.
    """

    asked: FieldQuestion
    outcome: AskOutcome

    @property
    def withheld(self) -> bool:
        """Whether memory does not hold it, by its confidence or in the model's own words."""
        return self.outcome.abstained or says_nothing(self.outcome.told)

    def answer(self) -> FieldAnswer:
        return FieldAnswer("" if self.withheld else self.outcome.text)


@dataclass(frozen=True)
class FieldReport:
    """How sure a field is.

    Attributes:
        path: names and places from the outermost object to it.
        confidence: as of any answer; None where there is none.
        withheld: whether memory does not hold it.
    """

    path: Path
    confidence: float | None
    withheld: bool


@dataclass(frozen=True)
class FilledForm:
    """An object, or why there is none.

    Attributes:
        name: of the form that was filled.
        text: its JSON; a refusal, if `refused`.
        refused: memory lacks what the schema demands, so there is no object.
        abstained: refused, or memory was asked and held nothing of it.
        missing: fields that it lacks.
        fields: what was asked, in its order.
        finish: why it ended.
        cut: lists that go on, of which no more could be asked.
        value: the object; None if there is none.
    """

    name: str
    text: str
    refused: bool
    abstained: bool
    missing: tuple[Path, ...]
    fields: tuple[FieldReport, ...]
    finish: FinishReason
    cut: tuple[Path, ...]
    value: dict[str, Any] | None

    def within(self, tokenizer: Tokenizer, most: int, stops: Sequence[str]) -> FilledForm:
        """Ended as other text is: before the first of these strings, and after so many tokens."""
        if self.refused:
            return self
        ends = [at for stop in stops if (at := self.text.find(stop)) >= 0]
        text = self.text[: min(ends, default=len(self.text))]
        _, offsets = tokenizer.encode_with_offsets(text)
        if len(offsets) <= most:
            return replace(self, text=text)
        return replace(self, text=text[: offsets[most - 1][1]], finish="length")


def filling_of(forms: Sequence[NamedForm]) -> Filling[list[Filled]]:
    """What is asked for all of these forms, round by round, and what each has come to.

    Paths of questions begin with the place of their form.
    """
    return together([_placed(place, each.form.filling()) for place, each in enumerate(forms)])


def filled_form(
    forms: Sequence[NamedForm], results: Sequence[Filled], readings: Sequence[FieldReading]
) -> tuple[FilledForm, AskResult]:
    """The form of which memory has most, the first of those, with what the reader said of it.

    Args:
        results: of each form.
        readings: of all of them, in the order in which they were asked.
    """
    whole = [place for place, each in enumerate(results) if each.value is not None]
    place = max(whole or range(len(results)), key=lambda at: (results[at].known, -at))
    result = results[place]
    own = [reading for reading in readings if reading.asked.path[0] == place]
    refused = result.value is None
    kept = [reading for reading in own if not reading.withheld]
    short = any(reading.outcome.told.answer.finish_reason == "length" for reading in kept)
    if refused and short:  # it was ended, and is not refused
        refused, text = False, "{"
    else:
        text = _refusal(result.missing) if refused else _json(result.value)
    made = FilledForm(
        name=forms[place].name,
        text=text,
        refused=refused,
        abstained=refused or bool(own and not result.known and not short),
        missing=result.missing,
        fields=tuple(_report(reading) for reading in own),
        finish="length" if short else "stop",
        cut=result.cut,
        value=result.value,
    )
    return made, _told(made, own, readings)


def fill(form: Form, read: Callable[[FieldQuestion], AskOutcome]) -> tuple[FilledForm, AskResult]:
    """Fill a form, one field after another.

    Args:
        read: asks memory for a field.
    """
    forms = [NamedForm("", form)]
    filling, readings = filling_of(forms), list[FieldReading]()
    questions, results = step(filling, None)
    while results is None:
        told = [FieldReading(each, read(each)) for each in questions]
        readings += told
        questions, results = step(filling, [each.answer() for each in told])
    return filled_form(forms, results, readings)


def _report(reading: FieldReading) -> FieldReport:
    return FieldReport(reading.asked.path[1:], reading.outcome.told.confidence, reading.withheld)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _refusal(missing: Sequence[Path]) -> str:
    names = [".".join(map(str, path)) for path in missing if path]
    return f"{REFUSAL} Missing: {', '.join(names)}." if names else REFUSAL


def _told(
    made: FilledForm, own: Sequence[FieldReading], all_of_them: Sequence[FieldReading]
) -> AskResult:
    """One answer out of the fields': as sure as the least sure field that stands, or, if none
    does, as the surest."""
    from mplus_ray.actors.messages import AskResult

    kept = [reading for reading in own if not reading.withheld]
    sure = [
        reading.outcome.told.confidence
        for reading in kept or own
        if reading.outcome.told.confidence is not None
    ]
    usages = [reading.outcome.told.answer.usage for reading in all_of_them]
    answer = Answer(
        text=made.text,
        sources=_sources(kept or own),
        finish_reason=made.finish,
        usage=Usage(
            sum(usage.prompt_tokens for usage in usages),
            sum(usage.completion_tokens for usage in usages),
            max((usage.memory_rows for usage in usages), default=0),
        ),
    )
    threshold = own[0].outcome.told.threshold if own else None
    confidence = (min(sure) if kept else max(sure)) if sure else None
    return AskResult(answer, confidence, threshold)


def _sources(readings: Sequence[FieldReading]) -> list[Source]:
    """The best of each field, then the second ones, and so on; each step once."""
    found: dict[int, Source] = {}
    lists = [reading.outcome.told.answer.sources for reading in readings]
    for rank in range(max(map(len, lists), default=0)):
        for sources in lists:
            if rank < len(sources):
                found.setdefault(sources[rank].step, sources[rank])
    return list(found.values())


def _placed(place: int, filling: Filling[Filled]) -> Filling[Filled]:
    try:
        questions = next(filling)
        while True:
            sent = [replace(each, path=(place, *each.path)) for each in questions]
            questions = filling.send((yield sent))
    except StopIteration as end:
        filled: Filled = end.value
        return filled
