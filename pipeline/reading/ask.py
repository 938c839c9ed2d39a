"""A question to a tenant: from the head that serves, with the passages the answer draws on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.errors import DamagedFileError
from mplus_ray.model.structured.field import FieldQuestion
from mplus_ray.model.structured.form import Form
from mplus_ray.pipeline.ledger.documents.documents import ChunkPassage
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.heads.replaced import attempts, check_damage
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.reading.abstention import AskOutcome, check_threshold, judge
from mplus_ray.pipeline.reading.forms import FilledForm, fill
from mplus_ray.pipeline.reading.moment import moment_of
from mplus_ray.pipeline.reading.read_plans import read_plan

if TYPE_CHECKING:
    from mplus_ray.actors.messages import AskResult
    from mplus_ray.model import Answer


_CITED = 5  # passages of a form, of which each field has as many


class ReaderLike(Protocol):
    """The reader here or in an actor."""

    def judge(
        self,
        plan: ReadPlan,
        question: str,
        on_text: Callable[[str], None] = ...,
        **sampling: Any,
    ) -> AskResult: ...


@dataclass(frozen=True)
class Reply:
    """An answer with its passages.

    Attributes:
        step: the memory after so many steps gave it.
        waiting: steps of the log that are not memorized yet.
        outcome: the answer, how sure the model was of it, and whether it is withheld.
        citations: the passages, the best first.
        filled: the form that was filled, whose JSON the answer is; None if it is words.
    """

    outcome: AskOutcome
    citations: list[Citation]
    step: int
    waiting: int
    filled: FilledForm | None = None

    @property
    def answer(self) -> Answer:
        """The model's own words and figures, whether they are withheld or not."""
        return self.outcome.told.answer


def ask(
    log: TenantLog,
    reader: ReaderLike,
    question: str,
    on_text: Callable[[str], None] = lambda piece: None,
    as_of: int | None = None,
    threshold: float | None = None,
    wanted: Filter | None = None,
    form: Form | None = None,
    **sampling: Any,
) -> Reply:
    """Answer from a tenant's memory.

    Args:
        on_text: called with pieces of the model's answer, which may turn out to be withheld.
        threshold: below this confidence the answer is withheld; None: the tenant's setting, else
            the checkpoint's. 0 withholds nothing.
        as_of: answer from the memory as it was after so many steps.
        wanted: the documents that the answer may draw on; None: all.
        form: what the answer has to fill; None: it is words.
        sampling: as `model.generation.sampling.Sampling` takes it.

    Raises:
        DamagedFileError: a file of the memory is lost; `pipeline.maintenance.repair.verify` makes
            it again.
        SwappedError: the memory was replaced each time.
    """
    check_threshold(threshold)
    moment = moment_of(question)
    if log.tenant.cold_after is not None:
        log.touch()
    said = False

    def show(piece: str) -> None:
        nonlocal said
        said = True
        on_text(piece)

    for attempt in attempts():
        with attempt:
            log.forgets.expire()
            serving = log.heads.serving()
            plan = read_plan(log, serving, as_of, wanted, moment=moment)
            # What was said cannot be taken back, so whatever is tried after that is silent.
            shown = _unheard if said else show
            try:
                if form is not None:
                    return _fill(log, reader, plan, form, threshold, **sampling)
                told = reader.judge(plan, question, shown, **sampling)
            except DamagedFileError as error:
                check_damage(error, read_plan(log, log.heads.serving(), as_of))
                raise
            citations = cite(told.answer.sources, log, plan.head)
            outcome = judge(log.tenant, plan, told, threshold)
            waiting = log.length() - serving.head.step
            return Reply(outcome, citations, plan.step, waiting)
    raise AssertionError("the last attempt returns or raises")


def _fill(
    log: TenantLog,
    reader: ReaderLike,
    plan: ReadPlan,
    form: Form,
    threshold: float | None,
    **sampling: Any,
) -> Reply:
    def read(asked: FieldQuestion) -> AskOutcome:
        told = reader.judge(plan, asked.question, constraint=asked.constraint, **sampling)
        return judge(log.tenant, plan, told, threshold)

    filled, told = fill(form, read)
    outcome = AskOutcome(told, filled.text, filled.abstained)
    citations = cite(told.answer.sources[:_CITED], log, plan.head)
    return Reply(outcome, citations, plan.step, log.length() - plan.step, filled)


def _unheard(piece: str) -> None: ...


class RankedStep(Protocol):
    """A step that an answer drew on, as the model ranks it."""

    @property
    def step(self) -> int: ...

    @property
    def score(self) -> float: ...

    @property
    def relevance(self) -> float | None: ...


@dataclass(frozen=True)
class Citation:
    """A passage and the retriever's score of its rows.

    Attributes:
        passage: the text and where it stands.
        score: comparable within one answer only.
        relevance: from 0 to 1, the probability that it holds what was asked; None where the
            checkpoint has no fitted relevance.
    """

    passage: ChunkPassage
    score: float
    relevance: float | None = None


def cite(sources: Iterable[RankedStep], log: TenantLog, head: str | None = None) -> list[Citation]:
    """Sources as passages, in their order.

    Args:
        head: id of the head that the steps are counted in.

    Raises:
        SwappedError: another head serves now.
    """
    named = list(sources)
    passages = log.passages_at([source.step for source in named], head)
    return [
        Citation(passage, each.score, each.relevance)
        for passage, each in zip(passages, named, strict=True)
    ]
