"""`mplus ask`: an answer from a tenant's memory, and the passages it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mplus_ray.services.cli.options import (
    AsOfOption,
    CheckpointOption,
    DataOption,
    JsonOption,
    SnapshotOption,
    TenantOption,
)

if TYPE_CHECKING:
    from rich.console import Console

    from mplus_ray.pipeline.ledger.tenant_log import TenantLog
    from mplus_ray.pipeline.reading.ask import Citation, Reply
    from mplus_ray.services.embedded import Embedded

_SHOWN_CHARACTERS = 240  # characters of a passage on a terminal; JSON has all of it


def ask(
    question: Annotated[str, typer.Argument(help="In plain words.", show_default=False)],
    tenant: TenantOption,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest words.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Makes a drawn answer repeatable.")] = 0,
    as_of: AsOfOption = None,
    snapshot: SnapshotOption = None,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Answer a question from the memory of a tenant that exists."""
    from mplus_ray.pipeline.reading.ask import ask as answer_question
    from mplus_ray.services.cli.output import human, printable, stderr, write_json
    from mplus_ray.services.embedded import Embedded
    from mplus_ray.services.moments import step_of
    from mplus_ray.services.settings import Settings

    settings = Settings.read(data, checkpoint)
    console = human(json)
    with Embedded(settings) as system:
        log = system.existing_tenant(tenant)
        with stderr().status(f"loading {settings.checkpoint}"):
            log.tenant.check_fingerprint(system.model.fingerprint)
        _prepare(system, log)
        step = step_of(log, as_of, snapshot)
        reply = _mending(
            system,
            log,
            lambda: answer_question(
                log,
                system.reader,
                question,
                on_text=lambda piece: console.print(printable(piece), end="", markup=False),
                as_of=step,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
            ),
        )
        console.print()
    if reply.waiting:
        stderr().print(
            f"{reply.waiting} chunks are not memorized yet; `mplus ingest --tenant {tenant}` goes "
            "on"
        )
    answer, citations = reply.answer, reply.citations
    _show(console, citations)
    result = {
        "answer": answer.text,
        "citations": [_as_json(citation) for citation in citations],
        "finish_reason": answer.finish_reason,
        "usage": asdict(answer.usage),
        "step": reply.step,
        "waiting": reply.waiting,
    }
    write_json(json, result)


def _prepare(system: Embedded, log: TenantLog) -> None:
    """Make a memory again that was dropped; refuse one that never was."""
    from mplus_ray.model.errors import StorageError
    from mplus_ray.services.cli.refresh import warm

    warm(system, log)
    if not log.heads.serving().head.step:
        raise StorageError(
            "this tenant's documents are in the log, but none is memorized yet; "
            f"`mplus ingest --tenant {log.tenant.name}` memorizes them"
        )


def _mending(system: Embedded, log: TenantLog, answer: Callable[[], Reply]) -> Reply:
    """An answer, also where a damaged file has to be made again for it."""
    from mplus_ray.model.errors import DamagedFileError
    from mplus_ray.pipeline.maintenance.repair import verify
    from mplus_ray.services.cli.output import stderr

    try:
        return answer()
    except DamagedFileError as error:
        # No text was shown yet: rows are read with the question.
        said = f"{error.file}: {error.reason}; making it again from the documents"
        stderr().print(said, soft_wrap=True)
    system.reader.close(log.tenant.id)
    verify(system.engine, log)
    return answer()


def _show(console: Console, citations: list[Citation]) -> None:
    from mplus_ray.services.cli.output import printable

    for number, citation in enumerate(citations, 1):
        passage = citation.passage
        text = printable(" ".join(passage.text.split()))
        head = printable(f"\n[{number}] {passage.where} ({citation.score:.3g})")
        console.print(head, style="bold", markup=False)
        rest = "…" if len(text) > _SHOWN_CHARACTERS else ""
        console.print(text[:_SHOWN_CHARACTERS] + rest, markup=False)


def _as_json(citation: Citation) -> dict[str, Any]:
    return {**asdict(citation.passage), "score": citation.score}
