"""What the demo shows a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from mplus_ray.deploy.demo.questions import DemoTenant
from mplus_ray.deploy.demo.replies import DemoReply
from mplus_ray.model.config import ModelConfig
from mplus_ray.services.cli.output import printable

_PASSAGES = 3
_WIDTH = 150
_READS = 576  # hidden size from which on a model reads real text


class Report:
    """Prints as things happen, and counts at the end."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._tenant = ""

    def begin(self, checkpoint: str, config: ModelConfig) -> None:
        """Say what is going to be seen."""
        self.console.rule("[bold]M+ on Ray: two tenants, their documents, their memories")
        self.console.print(
            f"Checkpoint: {checkpoint}, {config.num_hidden_layers} layers, chunks of "
            f"{config.chunk_tokens} tokens",
            markup=False,
        )
        if config.hidden_size < _READS:
            self.console.print(
                "So small a model answers what a sentence states, and of real text hardly "
                "anything. What there is to see is the whole path: documents, memory, retrieval, "
                "passages, and two tenants who cannot see each other.\n",
                style="dim",
            )

    def note(self, text: str) -> None:
        """What the service says while it starts and ends."""
        self.console.print(printable(text), style="dim", markup=False)

    def ready(self, url: str) -> None:
        self.console.print(f"The service answers at {url}, as `mplus serve` does", markup=False)

    def memorizing(self, tenant: DemoTenant, memory: Mapping[str, Any], seconds: float) -> None:
        """How far a tenant's documents are, so many seconds after they were handed in."""
        self.console.print(
            f"{tenant.name}: {memory['step']} of {memory['step'] + memory['waiting']} chunks "
            f"memorized after {seconds:.0f} s",
            style="dim",
            markup=False,
        )

    def memorized(self, tenant: DemoTenant, memory: Mapping[str, Any], seconds: float) -> None:
        """Everything of a tenant can be asked about, so many seconds after it was handed in."""
        self.console.print(
            f"{tenant.name}: {memory['documents']} documents, {memory['step']} chunks, "
            f"{memory['tokens']:,} tokens memorized after {seconds:.1f} s",
            markup=False,
        )

    def reply(self, reply: DemoReply) -> None:
        if reply.tenant.name != self._tenant:
            self._tenant = reply.tenant.name
            self.console.rule(f"[bold]{self._tenant} asks", align="left")
        self.console.print(printable(reply.question.text), style="bold", markup=False)
        self.console.print(
            f"  → {_said(reply)}   [{reply.seconds * 1000:.0f} ms]",
            style="green" if reply.right else "yellow",
            markup=False,
        )
        expected = reply.question.expected
        if expected is None:
            self.console.print("    only the other tenant was told", style="dim")
        else:
            self.console.print(f"    expected: {expected}", style="dim")
        for citation in reply.citations[:_PASSAGES]:
            text = printable(" ".join(citation["text"].split()))
            self.console.print(f"    {_where(citation)}: {text}"[:_WIDTH], markup=False)

    def end(
        self, replies: list[DemoReply], seconds: float, phases: Mapping[str, float]
    ) -> dict[str, Any]:
        """The summary, printed and as JSON.

        Args:
            seconds: in all.
            phases: seconds of each thing that was done.
        """
        told = [reply for reply in replies if reply.question.expected is not None]
        result = {
            "questions": len(told),
            "right": sum(reply.right for reply in told),
            "passage_found": sum(reply.found for reply in told),
            "leaked": sum(reply.leaked for reply in replies),
            "seconds": round(seconds, 1),
            "phases": dict(phases),
            "replies": [_as_json(reply) for reply in replies],
        }
        self.console.rule("[bold]In the end")
        self.console.print(
            f"{result['right']} of {len(told)} answers right; the passage was among those shown "
            f"for {result['passage_found']}; passages of another tenant: {result['leaked']}; "
            f"{seconds:.0f} s in all. Nothing is left running."
        )
        return result


def _said(reply: DemoReply) -> str:
    if reply.abstained:
        return f"{printable(reply.answer)} (it does not seem to remember)"
    return printable(reply.answer) or "(nothing)"


def _where(citation: Mapping[str, Any]) -> str:
    names = (citation["title"], citation["section"])
    return printable(" · ".join(name for name in dict.fromkeys(names) if name))


def _as_json(reply: DemoReply) -> dict[str, Any]:
    return {
        "tenant": reply.tenant.name,
        "question": reply.question.text,
        "expected": reply.question.expected,
        "answer": reply.answer,
        "abstained": reply.abstained,
        "seconds": round(reply.seconds, 4),
        "citations": [
            {
                "document": citation["document_id"],
                "title": citation["title"],
                "text": citation["text"],
                "score": citation["score"],
            }
            for citation in reply.citations
        ],
    }
