"""Whether a title before a chunk's text helps to remember what the text says of it.

The document is about a person whom only its title names, or whom its text names as well; the same
facts with and without the header that `pipeline.chunking.headers` makes, whatever the checkpoint's
own setting is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from mplus_ray.bench.ingest.short import Layout, measure_arm, run
from mplus_ray.model import MPlus
from mplus_ray.model.corpus import values
from mplus_ray.model.corpus.facts import Fact, Relation, relations
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.training.data.text import Corpus

_FACTS = 12  # of a tenant
_KIND, _PRONOUN = "person", "She"


@dataclass(frozen=True)
class Titled(Fact):
    """A fact about somebody, and the same sentence without the name.

    Attributes:
        title: the name, of the person and of the document.
        unnamed: the statement without it.
    """

    title: str
    unnamed: str


Words = Callable[[Titled], tuple[str, str]]  # header and sentence

ARMS: dict[str, Words] = {
    "named": lambda fact: ("", fact.statement),
    "named_and_titled": lambda fact: (f"{fact.title}\n", fact.statement),
    "titled_only": lambda fact: (f"{fact.title}\n", fact.unnamed),
    "neither": lambda fact: ("", fact.unnamed),
}


def measure_titles(
    mplus: MPlus, corpus: Corpus, tenants: int, distances: Sequence[int], seed: int = 0
) -> dict[str, Any]:
    """Exact match of every arm at every distance, see `measure_short`; each twice: the sentence
    is a document of its own, or stands somewhere in a full chunk of prose after the header."""
    rng = Random(seed)
    told = [[draw_titled(rng) for _ in range(_FACTS)] for _ in range(tenants)]
    return {
        name + suffix: measure_arm(mplus, corpus, _telling(words, prose), told, distances, seed)
        for name, words in ARMS.items()
        for suffix, prose in (("", False), ("_in_prose", True))
    }


def draw_titled(rng: Random) -> Titled:
    """About an invented person, in phrasings that were never trained on."""
    usable = [
        (relation, say, ask)
        for relation in relations()
        if relation.of == _KIND
        for say, ask in [_phrasings(relation)]
        if say
    ]
    relation, say, ask = rng.choice(usable)
    name, value = values.draw(_KIND, rng), values.draw(relation.value, rng)
    sentence = rng.choice(say).replace("{v}", value)
    return Titled(
        sentence.replace("{n}", name),
        rng.choice(ask).replace("{n}", name),
        value,
        name,
        sentence.replace("{n}", _PRONOUN),
    )


def _phrasings(relation: Relation) -> tuple[list[str], Sequence[str]]:
    """Statements that begin with the name and do not say it again; questions."""
    say, ask = relation.phrasings(held_out=True)
    return [one for one in say if one.startswith("{n} ") and one.count("{n}") == 1], ask


def _telling(words: Words, prose: bool) -> Callable[..., Layout]:
    def tell(mplus: MPlus, corpus: Corpus, rng: Random, facts: Sequence[Titled]) -> Layout:
        chunks = []
        for fact in facts:
            header, ids = (mplus.tokenizer.encode(part) for part in words(fact))
            room = mplus.config.chunk_tokens - len(header) - len(ids)
            if room < 0:
                raise InvalidInputError("a titled sentence does not fit into a chunk")
            before = rng.randrange(room + 1) if prose else 0
            after = room - before if prose else 0
            around = corpus.span(rng, before), corpus.span(rng, after)
            chunks.append([*header, *around[0], *ids, *around[1]])
        return chunks, list(range(len(facts)))

    return tell


def main(quick: bool = False, checkpoint: str | None = None) -> dict[str, Any]:
    """Measure, print and return; some minutes."""
    return run(measure_titles, quick, checkpoint)
