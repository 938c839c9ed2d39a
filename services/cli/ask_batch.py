"""`mplus ask --batch`: the questions of a file, answered together, a line of JSON for each."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mplus_ray.model.errors import InvalidInputError, MPlusError
from mplus_ray.model.object_store.failures import refused

if TYPE_CHECKING:
    from mplus_ray.actors.reading.waiting_reader import WaitingReader
    from mplus_ray.pipeline.ledger.tenant_log import TenantLog
    from mplus_ray.pipeline.reading.ask import Reply
    from mplus_ray.services.api.schemas.query_batch import BatchQuestion
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.settings import Settings

_TOGETHER = 32  # questions that are decoded at a time


def ask_batch(settings: Settings, tenant: str, file: Path) -> int:
    """Answer each line as soon as it is ready, on standard output; returns how many failed.

    Args:
        file: a line of JSON for each question, with the fields of `POST /v1/query`.

    Raises:
        InvalidInputError: the file cannot be read, or a line is no question; nothing was asked.
    """
    from mplus_ray.services.cli.asking import open_tenant

    questions = _read(file)
    failed = 0
    with (
        open_tenant(settings, tenant, None, None) as (system, log, _),
        ThreadPoolExecutor(_TOGETHER) as threads,
        _answering(system) as reader,  # ends first, so that nobody waits after an interrupt
    ):
        asked: dict[Future[Reply], int] = {
            threads.submit(_ask, log, reader, question): index
            for index, question in enumerate(questions)
        }
        for done in as_completed(asked):
            index = asked[done]
            said: dict[str, Any] = {"id": questions[index].id, "index": index}
            try:
                reply = done.result()
                said["response"] = reply_as_json(reply, questions[index].wanted_citations)
            except MPlusError as error:
                failed += 1
                said["error"] = str(error)
            sys.stdout.write(json.dumps(said, ensure_ascii=False) + "\n")
            sys.stdout.flush()
    return failed


def reply_as_json(reply: Reply, citations: int | None = None) -> dict[str, Any]:
    """An answer as `POST /v1/query` has it.

    Args:
        citations: so many at most; None for all that were found.
    """
    from dataclasses import asdict

    from mplus_ray.services.passages import passage_fields

    told = reply.outcome.told
    return {
        "answer": reply.outcome.text,
        "citations": [
            {**passage_fields(each.passage), "score": each.score, "relevance": each.relevance}
            for each in reply.citations[:citations]
        ],
        "confidence": told.confidence,
        "abstained": reply.outcome.abstained,
        "finish_reason": told.answer.finish_reason,
        "usage": asdict(told.answer.usage),
        "step": reply.step,
        "waiting": reply.waiting,
        "value": reply.filled.value if reply.filled else None,
        "fields": [
            {
                "path": ".".join(map(str, each.path)),
                "confidence": each.confidence,
                "withheld": each.withheld,
            }
            for each in (reply.filled.fields if reply.filled else ())
        ],
    }


def _read(file: Path) -> list[BatchQuestion]:
    from pydantic import ValidationError

    from mplus_ray.services.api.problems.reasons import reason_of
    from mplus_ray.services.api.schemas.query_batch import BatchQuestion

    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError as error:
        raise refused(error, f"{file} cannot be read") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file} is not UTF-8: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(BatchQuestion.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "it"
            raise InvalidInputError(
                f"{file}, line {number}: {where}: {reason_of(first)}; a line is a JSON object with "
                '"question" and what else `POST /v1/query` takes'
            ) from error
    if not found:
        raise InvalidInputError(f"{file} has no questions; write one JSON object a line")
    return found


def _ask(log: TenantLog, reader: WaitingReader, question: BatchQuestion) -> Reply:
    from mplus_ray.pipeline.reading.ask import ask
    from mplus_ray.services.cli.asking import check_words
    from mplus_ray.services.moments import step_of

    check_words(question.question)
    if question.min_step is not None and question.min_step > log.heads.serving().head.step:
        raise InvalidInputError(
            f"min_step {question.min_step} is not memorized; `mplus ingest` goes on"
        )
    return ask(
        log,
        reader,
        question.question,
        as_of=step_of(log, question.as_of, question.snapshot),
        threshold=question.threshold,
        wanted=question.wanted,
        max_tokens=question.max_tokens,
        temperature=question.temperature,
        top_p=question.top_p,
        top_k=question.top_k,
        seed=question.seed,
        stop=question.stops,
    )


@contextmanager
def _answering(system: Embedded) -> Iterator[WaitingReader]:
    from mplus_ray.actors.reading.budget import default_device_bytes, default_host_bytes
    from mplus_ray.actors.reading.engine import Answering
    from mplus_ray.actors.reading.waiting_reader import WaitingReader

    answering = Answering(
        system.model,
        system.files,
        device_bytes=default_device_bytes(system.model),
        host_bytes=default_host_bytes(),
        slots=_TOGETHER,
    )
    try:
        yield WaitingReader(answering)
    finally:
        answering.stop()
