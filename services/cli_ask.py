"""`mplus ask`: an answer from a tenant's memory, and the passages it comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.options import CheckpointOption, DataOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.citations import Citation

_SHOWN = 240  # characters of a passage on a terminal; JSON has all of it


def ask(
    question: Annotated[str, typer.Argument(help="In plain words.", show_default=False)],
    tenant: TenantOption,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 64,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest words.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Makes a drawn answer repeatable.")] = 0,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Answer a question from the memory of a tenant that exists."""
    from pipeline.citations import cite
    from services.embedded import Embedded
    from services.output import human, printable, stderr, write_json
    from services.settings import Settings

    settings = Settings.read(data, checkpoint)
    console = human(json)
    with Embedded(settings) as system:
        log = system.existing_tenant(tenant)
        with stderr().status(f"loading {settings.checkpoint}"):
            log.tenant.check_fingerprint(system.model.fingerprint)
            step = system.reader.open(log.tenant.id)
        waiting = log.length() - step
        if waiting:
            stderr().print(
                f"{waiting} chunks are not memorized yet; `mplus ingest --tenant {tenant}` goes on"
            )
        answer = system.reader.ask(
            log.tenant.id,
            question,
            on_text=lambda piece: console.print(printable(piece), end="", markup=False),
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )
        console.print()
        citations = cite(answer.sources, log)
    _show(console, citations)
    result = {
        "answer": answer.text,
        "citations": [_as_json(citation) for citation in citations],
        "finish_reason": answer.finish_reason,
        "usage": asdict(answer.usage),
        "waiting": waiting,
    }
    write_json(json, result)


def _show(console: Console, citations: list[Citation]) -> None:
    from services.output import printable

    for number, citation in enumerate(citations, 1):
        passage = citation.passage
        text = printable(" ".join(passage.text.split()))
        head = printable(f"\n[{number}] {passage.where} ({citation.score:.3g})")
        console.print(head, style="bold", markup=False)
        console.print(text[:_SHOWN] + ("…" if len(text) > _SHOWN else ""), markup=False)


def _as_json(citation: Citation) -> dict[str, Any]:
    return {**asdict(citation.passage), "score": citation.score}
