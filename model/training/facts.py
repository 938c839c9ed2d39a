"""Facts about invented people, places, firms, products, events and ships, in many phrasings.

The last `HELD_OUT` phrasings of every relation are for evaluation only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import yaml

from model.training import values

HELD_OUT = 2
UNKNOWN = "unknown"
# Around a sentence, now and then, so that no relation depends on how a text begins.
_AROUND_STATEMENT = (
    "I was told that {s}",
    "As far as I know, {s}",
    "It is said that {s}",
    "{s} That is all there is to say.",
    "Note: {s}",
    "Do not forget: {s}",
    "My friend wrote: {s}",
    "We learned later that {s}",
)
_AROUND_QUESTION = (
    "Please tell me: {s}",
    "{s} Do you remember?",
    "I have forgotten. {s}",
    "Quick question: {s}",
    "Do you know the answer? {s}",
    "One more thing: {s}",
)
_VARIED = 0.15
_MARKERS = ("Now", "Since then things have changed:", "Correction:", "Later", "News:")


@dataclass(frozen=True)
class Relation:
    """One kind of fact; `say` and `ask` are templates over {n} (entity) and {v} (value)."""

    name: str
    of: str
    value: str
    say: tuple[str, ...]
    ask: tuple[str, ...]

    def phrasings(self, held_out: bool) -> tuple[Sequence[str], Sequence[str]]:
        """(statements, questions) of the training or of the evaluation side."""
        side = slice(-HELD_OUT, None) if held_out else slice(None, -HELD_OUT)
        return self.say[side], self.ask[side]


@dataclass(frozen=True)
class Fact:
    """One statement, a question about it and the answer."""

    statement: str
    question: str
    answer: str


@cache
def relations() -> tuple[Relation, ...]:
    """Every relation of relations.yaml."""
    raw = yaml.safe_load(Path(__file__).with_name("relations.yaml").read_text())
    return tuple(
        Relation(name, r["of"], r["value"], tuple(r["say"]), tuple(r["ask"]))
        for name, r in raw.items()
    )


def _fill(template: str, name: str, value: str = "") -> str:
    text = template.replace("{n}", name).replace("{v}", value)
    return text[0].upper() + text[1:]


def draw_fact(rng: Random, held_out: bool = False) -> Fact:
    """A fact about an entity never seen before."""
    return draw_facts(rng, 1, held_out)[0]


def draw_facts(rng: Random, count: int, held_out: bool = False) -> list[Fact]:
    """`count` different facts about one new entity (fewer if its kind has fewer relations)."""
    kind = rng.choice(relations()).of
    name = values.draw(kind, rng)
    about = [r for r in relations() if r.of == kind]
    facts = []
    for relation in rng.sample(about, min(count, len(about))):
        say, ask = relation.phrasings(held_out)
        value = values.draw(relation.value, rng)
        statement = _fill(rng.choice(say), name, value)
        question = _fill(rng.choice(ask), name)
        if not held_out:
            statement = _vary(rng, _AROUND_STATEMENT, statement)
            question = _vary(rng, _AROUND_QUESTION, question)
        facts.append(Fact(statement, question, value))
    return facts


def _vary(rng: Random, around: Sequence[str], sentence: str) -> str:
    return rng.choice(around).replace("{s}", sentence) if rng.random() < _VARIED else sentence


def draw_update(rng: Random, held_out: bool = False) -> tuple[str, Fact]:
    """(an older statement, the fact that overrides it): the latest value is the answer."""
    relation = rng.choice(relations())
    say, ask = relation.phrasings(held_out)
    name = values.draw(relation.of, rng)
    old, new = values.draw(relation.value, rng), values.draw(relation.value, rng)
    newer = f"{rng.choice(_MARKERS)} {rng.choice(say).replace('{n}', name).replace('{v}', new)}"
    return _fill(rng.choice(say), name, old), Fact(newer, _fill(rng.choice(ask), name), new)


def draw_unanswerable(rng: Random, held_out: bool = False) -> Fact:
    """A question about an entity no text mentions; its statement is empty."""
    fact = draw_fact(rng, held_out)
    return Fact("", fact.question, UNKNOWN)
