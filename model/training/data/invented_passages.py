"""Facts about invented entities, strewn into real text, so that they stay answered."""

from __future__ import annotations

import re
from random import Random

from mplus_ray.model.corpus.facts import draw_claim, draw_facts, draw_update
from mplus_ray.model.training.data.passages import PassageQuestion, TitledPassage

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_MOST_GROUPS = 3  # entities that a passage is told about
_MOST_SENTENCES = 6  # of the text around, so that most fits into one block
_UPDATED = 0.15  # share of the facts that a later statement overrides


def strew(rng: Random, around: TitledPassage, yes_no: float) -> TitledPassage:
    """Invented facts in order between sentences of a passage, and the questions about them.

    Args:
        yes_no: share of the questions that want a yes or a no.
    """
    said: list[str] = []
    questions: list[PassageQuestion] = []
    for _ in range(rng.randint(1, _MOST_GROUPS)):
        statements, asked = _group(rng, yes_no)
        said += statements
        questions += asked
    sentences = _SENTENCE_END.split(around.text)
    first = rng.randrange(max(1, len(sentences) - _MOST_SENTENCES))
    sentences = sentences[first : first + rng.randint(0, _MOST_SENTENCES)]
    places = sorted(rng.randint(0, len(sentences)) for _ in said)
    for shift, (place, statement) in enumerate(zip(places, said, strict=True)):
        sentences.insert(place + shift, statement)
    return TitledPassage(around.title, " ".join(sentences), questions)


def _group(rng: Random, yes_no: float) -> tuple[list[str], list[PassageQuestion]]:
    """What is said of one entity, and asked."""
    if rng.random() < yes_no:
        statement, claim, true = draw_claim(rng)
        question = f"Yes or no: {claim.rstrip('.')}?"
        return [statement], [_asked(question, "yes" if true else "no", statement)]
    if rng.random() < _UPDATED:
        older, newer = draw_update(rng)
        return [older, newer.statement], [_asked(newer.question, newer.answer, newer.statement)]
    facts = draw_facts(rng, rng.choice((1, 1, 2)))
    return [f.statement for f in facts], [_asked(f.question, f.answer, f.statement) for f in facts]


def _asked(question: str, answer: str, evidence: str) -> PassageQuestion:
    return PassageQuestion(question, (answer,), evidence, invented=True)
