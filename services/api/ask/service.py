"""A question to a tenant: a plan from the ledger, an answer from a reader, its passages."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Any

from mplus_ray.actors.messages import AskRequest, AskResult, TextDelta, Turn
from mplus_ray.actors.plans import ReadPlan
from mplus_ray.model.errors import DamagedFileError, InvalidInputError
from mplus_ray.model.generation.answer import Answer, Usage
from mplus_ray.model.generation.turn_kind import TurnKind
from mplus_ray.model.structured.field import FieldQuestion
from mplus_ray.pipeline.ledger.filters.filter import Filter
from mplus_ray.pipeline.ledger.heads.replaced import attempts, check_damage
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.reading.abstention import AskOutcome, judge, withholds
from mplus_ray.pipeline.reading.ask import Citation, cite
from mplus_ray.pipeline.reading.forms import FilledForm, NamedForm
from mplus_ray.pipeline.reading.moment import moment_of
from mplus_ray.pipeline.reading.read_plans import Plans
from mplus_ray.services.api.ask.forms import fill
from mplus_ray.services.api.deps import Deps
from mplus_ray.services.api.limits.rate_limits import Meter
from mplus_ray.services.api.metrics import ApiMetrics
from mplus_ray.services.api.streaming import within
from mplus_ray.services.moments import step_of

_UNASKED = Answer("", [], "stop", Usage(0, 0, 0))

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AskQuery:
    """What is asked, of which moment of the memory.

    Attributes:
        turns: the last one is the question.
        sampling: as `model.generation.sampling.Sampling` takes it.
        min_step: wait for a memory of at least so many steps.
        as_of: a step or a time; None: now.
        citations: how many passages are wanted.
        whole: the reply is all that is wanted.
        threshold: below this confidence the answer is withheld; None: the tenant's setting, else
            the checkpoint's. 0 withholds nothing.
        irrevocable: pieces cannot be taken back where they go, so an empty memory sends none.
        snapshot: the name of one; None for none.
        wanted: the documents that the answer may draw on; None for all.
        forms: what the answer has to be, one of these; empty for words.
    """

    turns: tuple[Turn, ...]
    sampling: dict[str, Any] = field(default_factory=dict)
    min_step: int | None = None
    as_of: int | str | None = None
    snapshot: str | None = None
    citations: int = 5
    whole: bool = False
    threshold: float | None = None
    irrevocable: bool = False
    wanted: Filter | None = None
    forms: tuple[NamedForm, ...] = ()


@dataclass(frozen=True)
class Reply:
    """A complete answer.

    Attributes:
        text: a refusal, if `abstained`.
        waiting: steps of the log that are not memorized yet.
        told: what the reader said.
        citations: the passages, the best first; if `abstained`, the nearest ones.
        abstained: whether the answer was withheld.
        step: the memory after so many steps gave it.
        kind: what the turn wanted; of any but `MEMORY` the text is the service's own.
        filled: the form that was filled, whose JSON the text is; None if the answer is words.
    """

    told: AskResult
    text: str
    citations: list[Citation]
    abstained: bool
    step: int
    waiting: int
    kind: TurnKind = TurnKind.MEMORY
    filled: FilledForm | None = None


class Answers:
    """Asks readers what tenants want to know."""

    def __init__(self, deps: Deps, meter: Meter, figures: ApiMetrics) -> None:
        self._deps = deps
        self._meter = meter
        self._figures = figures
        self._plans = Plans(deps.ledger)
        self._repairs: dict[str, asyncio.Task[None]] = {}

    def check(self, turns: tuple[Turn, ...], max_tokens: int) -> None:
        """Refuse what is too long.

        Raises:
            InvalidInputError: what it is, and how much may be.
        """
        limits = self._deps.limits
        characters = sum(len(turn.content) for turn in turns)
        if not turns[-1].content.strip():
            raise InvalidInputError("the question is empty; ask something")
        if len(turns) > limits.turns:
            raise InvalidInputError(f"{len(turns)} turns; send {limits.turns} at most")
        if max_tokens > limits.max_tokens:
            raise InvalidInputError(f"max_tokens may be {limits.max_tokens:,} here at most")
        if characters > limits.question_characters:
            raise InvalidInputError(
                f"the question has {characters:,} characters; {limits.question_characters:,} are "
                "allowed: hand long texts in as documents, and ask about them"
            )
        tokens = sum(len(self._deps.tokenizer.encode(turn.content)) for turn in turns)
        if tokens > limits.question_tokens:
            raise InvalidInputError(
                f"the question has {tokens:,} tokens; {limits.question_tokens:,} are allowed"
            )

    async def stream(
        self, log: TenantLog, question: AskQuery
    ) -> AsyncGenerator[TextDelta | Reply, None]:
        """Pieces as they come, then the reply. Closing this cancels the answer at once.

        What was said by a first try cannot be taken back, so a second one is silent: the reply's
        text is what counts.

        Raises:
            MPlusError: also RateLimitedError, NotYetError, OverloadedError and DeadlineError.
        """
        limits = self._deps.limits
        began, first, done = time.perf_counter(), True, False
        with self._meter.question(log.tenant):
            answer = within(limits.answer_seconds, self._answer(log, question))
            try:
                async with aclosing(answer):
                    async for each in answer:
                        if first and not question.whole:
                            self._figures.first_piece(time.perf_counter() - began)
                            first = False
                        done = isinstance(each, Reply)
                        yield each
            except DamagedFileError as error:
                await self.repair(log, error)
                raise
            except (GeneratorExit, asyncio.CancelledError):
                if not done:
                    self._figures.cancelled()
                raise

    async def reply(self, log: TenantLog, question: AskQuery) -> Reply:
        """The whole answer, which is cheaper than its pieces."""
        async with aclosing(self.stream(log, replace(question, whole=True))) as answer:
            async for each in answer:
                if isinstance(each, Reply):
                    return each
        raise AssertionError("an answer ends with a reply or an error")

    async def unasked(self, log: TenantLog, question: AskQuery) -> Reply:
        """A reply without a text to a turn that no reader needs to be asked about.

        Raises:
            MPlusError: as `stream`.
        """
        with self._meter.question(log.tenant):
            as_of = await self._as_of(log, question)
            serving = await asyncio.to_thread(log.heads.serving)
            waiting = await asyncio.to_thread(log.waiting)
        step = serving.head.step if as_of is None else as_of
        return Reply(AskResult(_UNASKED), "", [], False, step, waiting)

    async def forget(self, tenant: Tenant) -> None:
        """Let go of a tenant that is gone, here and in the readers."""
        self._plans.forget(tenant.id)
        await self._deps.readers.close(tenant.id)

    async def stop(self) -> None:
        """Leave nothing running."""
        for task in self._repairs.values():
            task.cancel()
        await asyncio.gather(*self._repairs.values(), return_exceptions=True)

    async def _answer(
        self, log: TenantLog, question: AskQuery
    ) -> AsyncGenerator[TextDelta | Reply, None]:
        as_of = await self._as_of(log, question)
        moment = await asyncio.to_thread(moment_of, question.turns[-1].content)
        heard: int | None = None  # the attempt whose pieces the client gets
        for attempt in attempts():
            with attempt:
                plan = await self.plan(log, question.min_step, as_of, question.wanted, moment)
                if question.forms:
                    yield await self._filled(log, plan, question)
                    return
                told: AskResult | None = None
                silent = question.irrevocable and plan.holds_nothing
                silent = silent and withholds(log.tenant, question.threshold)
                asked = AskRequest(
                    plan, question.turns, question.sampling, question.citations, question.whole
                )
                asking = self._deps.readers.ask(asked)
                try:
                    async for each in asking:
                        if isinstance(each, AskResult):
                            told = each
                        elif heard in (None, attempt.number) and not silent:
                            heard = attempt.number
                            yield each
                except DamagedFileError as error:
                    check_damage(error, await self.plan(log, question.min_step, as_of))
                    raise
                finally:
                    if isinstance(asking, AsyncGenerator):
                        await asking.aclose()
                assert told is not None, "a reader's last word is what the answer came to"
                reply = await asyncio.to_thread(_to_reply, log, plan, told, question.threshold)
                usage = told.answer.usage
                self._figures.told(usage.prompt_tokens, usage.completion_tokens, reply.abstained)
                yield reply
                return

    async def _filled(self, log: TenantLog, plan: ReadPlan, question: AskQuery) -> Reply:
        """An object of one of the forms that are wanted."""

        async def read(asked: FieldQuestion) -> AskOutcome:
            sampling = {**question.sampling, "stop": (), "constraint": asked.constraint}
            turns = (Turn("user", asked.question),)
            self.check(turns, question.sampling["max_tokens"])  # descriptions can be long, too
            told = await self._told(AskRequest(plan, turns, sampling, question.citations, True))
            return judge(log.tenant, plan, told, question.threshold)

        try:
            filled, told = await fill(question.forms, read)
        except DamagedFileError as error:
            check_damage(error, await self.plan(log, question.min_step, None))
            raise
        most, stops = question.sampling["max_tokens"], question.sampling["stop"]
        filled = filled.within(self._deps.tokenizer, most, stops)
        sources = told.answer.sources[: question.citations]
        citations = await asyncio.to_thread(cite, sources, log, plan.head)
        usage = told.answer.usage
        self._figures.told(usage.prompt_tokens, usage.completion_tokens, filled.abstained)
        waiting = await asyncio.to_thread(log.waiting)
        return Reply(
            told, filled.text, citations, filled.abstained, plan.step, waiting, filled=filled
        )

    async def _told(self, asked: AskRequest) -> AskResult:
        """What a reader says in the end."""
        asking, told = self._deps.readers.ask(asked), None
        try:
            async for each in asking:
                told = each if isinstance(each, AskResult) else told
        finally:
            if isinstance(asking, AsyncGenerator):
                await asking.aclose()
        assert told is not None, "a reader's last word is what the answer came to"
        return told

    async def _as_of(self, log: TenantLog, question: AskQuery) -> int | None:
        if question.as_of is None and question.snapshot is None:
            return None
        return await asyncio.to_thread(step_of, log, question.as_of, question.snapshot, UTC)

    async def plan(
        self,
        log: TenantLog,
        min_step: int | None,
        as_of: int | None,
        wanted: Filter | None = None,
        moment: float | None = None,
    ) -> ReadPlan:
        """What a reader is to see, see `pipeline.reading.read_plans.Plans.wait`."""
        seconds = self._deps.limits.catch_up_seconds
        return await self._plans.wait(log, min_step, as_of, seconds, wanted, moment)

    async def repair(self, log: TenantLog, error: DamagedFileError) -> None:
        """Have a damaged file made again, once at a time, and read anew afterwards."""
        tenant = log.tenant.id
        _log.warning("a file is damaged", extra={"tenant": tenant, "reason": error.reason})
        await self._deps.readers.close(tenant)
        if self._deps.repair is None or tenant in self._repairs:
            return
        task = asyncio.create_task(self._mended(log))
        self._repairs[tenant] = task
        task.add_done_callback(lambda _: self._repairs.pop(tenant, None))

    async def _mended(self, log: TenantLog) -> None:
        assert self._deps.repair is not None
        try:
            await self._deps.repair(log)
            await self._deps.readers.close(log.tenant.id)
        except Exception as error:  # noqa: BLE001 - nobody waits for it; the next question says so
            _log.error("a memory was not mended", exc_info=error, extra={"tenant": log.tenant.id})


def _to_reply(log: TenantLog, plan: ReadPlan, told: AskResult, threshold: float | None) -> Reply:
    """With its passages; for a thread, because it reads the ledger."""
    citations = cite(told.answer.sources, log, plan.head)
    outcome = judge(log.tenant, plan, told, threshold)
    return Reply(outcome.told, outcome.text, citations, outcome.abstained, plan.step, log.waiting())
