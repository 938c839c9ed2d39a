"""Facts about invented people, places, firms, products, events and ships, in many phrasings.

The last `HELD_OUT` phrasings of every relation are for evaluation only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

import yaml

from mplus_ray.model.corpus import invented, values

HELD_OUT = 2
Unseen = Literal["nothing", "questions", "everything"]  # which phrasings are held-out ones
_MORE = "paraphrases.yaml"
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
_BLURRED = 0.35  # of the questions about entities that one thing is said of
_INVENTED, _LABELLED = 0.4, 0.15  # shares of the facts of training
_MARKERS = ("Now", "Since then things have changed:", "Correction:", "Later", "News:")


@dataclass(frozen=True)
class Relation:
    """One kind of fact; `say` and `ask` are templates over {n} (entity) and {v} (value).

    Attributes:
        name: by which recipes and reports know it.
        of: the kind of entity it is about.
        value: the kind of value it has.
        say: phrasings that tell it.
        ask: phrasings that ask for it.
    """

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
    """One statement, a question about it and the answer.

    Attributes:
        statement: tells it.
        question: asks for it.
        answer: the value.
    """

    statement: str
    question: str
    answer: str


@cache
def relations() -> tuple[Relation, ...]:
    """Every relation of relations.yaml, with the paraphrases before the phrasings held out."""
    folder = Path(__file__).parent
    raw, more = (yaml.safe_load((folder / name).read_text()) for name in ("relations.yaml", _MORE))
    return tuple(
        Relation(
            name,
            r["of"],
            r["value"],
            *(_joined(more[name][side], r[side]) for side in ("say", "ask")),
        )
        for name, r in raw.items()
    )


def _joined(more: Sequence[str], phrasings: Sequence[str]) -> tuple[str, ...]:
    return (*(one for one in more if one not in phrasings), *phrasings)


def _fill(template: str, name: str, value: str = "") -> str:
    text = template.replace("{n}", name).replace("{v}", value)
    return text[0].upper() + text[1:]


def draw_fact(rng: Random, unseen: Unseen = "nothing") -> Fact:
    """A fact about an entity never seen before."""
    return draw_facts(rng, 1, unseen)[0]


def draw_facts(rng: Random, count: int, unseen: Unseen = "nothing") -> list[Fact]:
    """`count` different facts about one new entity (fewer if its kind has fewer relations)."""
    kind = rng.choice(relations()).of
    name = values.draw(kind, rng)
    about = [r for r in relations() if r.of == kind]
    facts = []
    chosen = rng.sample(about, min(count, len(about)))
    for relation in chosen:
        (say, *_), ask, value_kind = _phrase(rng, relation, unseen)
        if unseen == "nothing" and len(chosen) == 1 and rng.random() < _BLURRED:
            ask = invented.blurred(rng, ask)
        value = values.draw(value_kind, rng)
        facts.append(Fact(_fill(say, name, value), _fill(ask, name), value))
    return facts


def _phrase(
    rng: Random, relation: Relation, unseen: Unseen, statements: int = 1
) -> tuple[list[str], str, str]:
    """So many statement templates, a question template, and the kind of value.

    In training many relations are invented ones, and phrasings vary beyond those written down.
    """
    say, _ = relation.phrasings(unseen == "everything")
    _, ask = relation.phrasings(unseen != "nothing")
    chosen = [rng.choice(say) for _ in range(statements)]
    if unseen != "nothing":
        return chosen, rng.choice(ask), relation.value
    dice = rng.random()
    if dice < _INVENTED:
        kind = values.any_kind(rng)
        said, asked = invented.phrases(rng, kind)
        return [said] * statements, _vary(rng, _AROUND_QUESTION, asked), kind
    question = rng.choice(ask)
    if dice < _INVENTED + _LABELLED:  # the relation by its name, on one side or on both
        said, asked = invented.labelled(rng, relation.name, relation.value)
        chosen = [said] * statements if rng.random() < 0.6 else chosen
        question = asked if rng.random() < 0.6 else question
    varied = [_vary(rng, _AROUND_STATEMENT, one) for one in chosen]
    return varied, _vary(rng, _AROUND_QUESTION, question), relation.value


def _vary(rng: Random, around: Sequence[str], sentence: str) -> str:
    return rng.choice(around).replace("{s}", sentence) if rng.random() < _VARIED else sentence


def draw_update(rng: Random, unseen: Unseen = "nothing") -> tuple[str, Fact]:
    """(an older statement, the fact that overrides it): the latest value is the answer."""
    relation = rng.choice(relations())
    (first, second), ask, kind = _phrase(rng, relation, unseen, statements=2)
    name = values.draw(relation.of, rng)
    old, new = values.draw(kind, rng), values.draw(kind, rng)
    newer = f"{rng.choice(_MARKERS)} {second.replace('{n}', name).replace('{v}', new)}"
    return _fill(first, name, old), Fact(newer, _fill(ask, name), new)


def draw_claim(rng: Random, unseen: Unseen = "nothing") -> tuple[str, str, bool]:
    """(a statement, a claim about the same entity, whether the statement bears it out).

    A claim that it does not bear out says another value of the same kind.
    """
    relation = rng.choice(relations())
    (said, claimed), _, kind = _phrase(rng, relation, unseen, statements=2)
    name, value = values.draw(relation.of, rng), values.draw(kind, rng)
    true = rng.random() < 0.5
    other = value
    while not true and other == value:
        other = values.draw(kind, rng)
    return _fill(said, name, value), _fill(claimed, name, other), true


def draw_unanswerable(rng: Random, unseen: Unseen = "nothing") -> Fact:
    """A question about an entity no text mentions; its statement is empty."""
    fact = draw_fact(rng, unseen)
    return Fact("", fact.question, UNKNOWN)
