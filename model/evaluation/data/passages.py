"""Tenants that are told the passages of a file: those they are asked about, then the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.evaluation.data.questions import QuestionedPassage, answerable, draw
from mplus_ray.model.evaluation.data.telling import Chunk, ToldDocument
from mplus_ray.model.evaluation.data.text import RunningText
from mplus_ray.model.generation.tokenizer import TextTokenizer

Cut = Callable[[str], list[Chunk]]


def plain_cut(tokenizer: TextTokenizer, size: int) -> Cut:
    """Chunks of `size` tokens, wherever that cuts the text, as `MPlus.memorize` does."""

    def cut(text: str) -> list[Chunk]:
        ids = tokenizer.encode(text)
        parts = [ids[at : at + size] for at in range(0, len(ids), size)]
        return [Chunk(tokenizer.decode(part), part) for part in parts]

    return cut


@dataclass(frozen=True)
class PassagePlan:
    """What is measured.

    Attributes:
        distances: tokens of other passages between a passage and the questions about it.
        limit: of questions, drawn at random; None for all.
        tenants: that share the passages asked about evenly.
        seed: of what is drawn.
    """

    distances: Sequence[int]
    limit: int | None = 300
    tenants: int = 4
    seed: int = 0


@dataclass(frozen=True)
class Logs:
    """What the tenants are told.

    Attributes:
        told: of each tenant, the passages with questions.
        others: of each tenant, passages to follow, for ever.
        contexts: of every document that is asked about, by the identity of it.
        unanswered: questions of the file that name no answer, and so are left out.
        tokens: roughly how many will be memorized.
    """

    told: list[list[ToldDocument]]
    others: list[Iterator[ToldDocument]]
    contexts: dict[int, str]
    unanswered: int
    tokens: int

    def context(self, document: ToldDocument) -> str:
        """The passage as the file has it."""
        return self.contexts[id(document)]


def lay_out(
    passages: Sequence[QuestionedPassage],
    cut: Cut,
    plan: PassagePlan,
    text: RunningText | None = None,
) -> Logs:
    """Share the passages among tenants. Every context is cut, and told to a tenant, once; the
    others come again only when a tenant has been told all of them.

    Args:
        text: to follow instead of the other passages.

    Raises:
        InvalidInputError: nothing can be asked.
    """
    if not plan.distances or min(plan.distances) < 0:
        raise InvalidInputError("--tokens needs whole numbers of at least 0, such as 0,20000")
    if plan.tenants < 1 or (plan.limit is not None and plan.limit < 1):
        raise InvalidInputError("at least one question and one tenant are needed")
    rng = Random(plan.seed)
    usable, unanswered = answerable(passages)
    asked = draw(usable, plan.limit, rng)
    count = min(plan.tenants, len(asked))
    shares = [asked[number::count] for number in range(count)]
    chunks = {passage.context: cut(passage.context) for passage in usable}
    documents = [[ToldDocument(chunks[p.context], p.questions) for p in share] for share in shares]
    pairs = zip(shares, documents, strict=True)
    contexts = {id(d): p.context for share, told in pairs for p, d in zip(share, told, strict=True)}
    others = [_others(share, usable, chunks, rng, text) for share in shares]
    told = sum(len(c.ids) for p in asked for c in chunks[p.context])
    return Logs(documents, others, contexts, unanswered, told + count * max(plan.distances))


def _others(
    own: Sequence[QuestionedPassage],
    passages: Sequence[QuestionedPassage],
    chunks: Mapping[str, Sequence[Chunk]],
    rng: Random,
    text: RunningText | None,
) -> Iterator[ToldDocument]:
    """What a tenant is told that is not asked about its own passages."""
    if text is not None:
        size = max(len(chunk.ids) for parts in chunks.values() for chunk in parts)
        return text.reader(rng).documents(size)
    contexts = {passage.context for passage in own}
    rest = [ToldDocument(chunks[p.context]) for p in passages if p.context not in contexts]
    rng.shuffle(rest)
    return cycle(rest)
