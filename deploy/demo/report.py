"""What the demo shows a person."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from mplus_ray.actors.ray_actors import ModelCard
from mplus_ray.deploy.demo.run import Reply
from mplus_ray.pipeline.ray_cluster import Resources
from mplus_ray.services.cli.output import printable

_PASSAGES = 3
_WIDTH = 150
_LARGE = 1_000_000_000  # parameters


class Report:
    """Prints as things happen, and counts at the end."""

    def __init__(self, console: Console, checkpoint: str) -> None:
        self.console = console
        self._checkpoint = checkpoint
        self._tenant = ""

    def begin(self) -> None:
        self.console.rule("[bold]M+ on Ray: two tenants, their documents, their memories")

    def ray_started(self, resources: Resources, seconds: float) -> None:
        gpus = f", {resources.gpus} GPU" if resources.gpus else ""
        self.console.print(f"Local Ray is up after {seconds:.1f} s ({resources.cpus} CPU{gpus})")

    def model_loaded(self, card: ModelCard) -> None:
        self.console.print(
            f"Checkpoint: {self._checkpoint}, {card.parameters / 1e6:.1f} M parameters, chunks of "
            f"{card.chunk_tokens} tokens",
            markup=False,
        )
        if card.parameters < _LARGE:
            self.console.print(
                "So small a model answers what a sentence states, and of real text hardly "
                "anything. What there is to see is the whole path: documents, memory, retrieval, "
                "passages, and two tenants who cannot see each other.\n",
                style="dim",
            )

    def reply(self, reply: Reply) -> None:
        if reply.tenant.name != self._tenant:
            self._tenant = reply.tenant.name
            self.console.rule(f"[bold]{self._tenant} asks", align="left")
        self.console.print(printable(reply.question.text), style="bold", markup=False)
        self.console.print(
            f"  → {printable(reply.answer) or '(nothing)'}   [{reply.seconds * 1000:.0f} ms]",
            style="green" if reply.right else "yellow",
            markup=False,
        )
        expected = reply.question.expected
        if expected is None:
            self.console.print("    only the other tenant was told", style="dim")
        else:
            self.console.print(f"    expected: {expected}", style="dim")
        for citation in reply.citations[:_PASSAGES]:
            text = printable(" ".join(citation.passage.text.split()))
            self.console.print(f"    {citation.passage.where}: {text}"[:_WIDTH], markup=False)

    def end(self, replies: list[Reply], seconds: float) -> dict[str, Any]:
        """The summary, printed and as JSON."""
        told = [reply for reply in replies if reply.question.expected is not None]
        result = {
            "questions": len(told),
            "right": sum(reply.right for reply in told),
            "passage_found": sum(reply.found for reply in told),
            "leaked": sum(reply.leaked for reply in replies),
            "seconds": round(seconds, 1),
            "replies": [_as_json(reply) for reply in replies],
        }
        self.console.rule("[bold]In the end")
        self.console.print(
            f"{result['right']} of {len(told)} answers right; the passage was among those shown "
            f"for {result['passage_found']}; passages of another tenant: {result['leaked']}; "
            f"{seconds:.0f} s in all. Nothing is left running."
        )
        return result


def _as_json(reply: Reply) -> dict[str, Any]:
    return {
        "tenant": reply.tenant.name,
        "question": reply.question.text,
        "expected": reply.question.expected,
        "answer": reply.answer,
        "seconds": round(reply.seconds, 4),
        "citations": [
            {
                "document": citation.passage.document,
                "title": citation.passage.title,
                "text": citation.passage.text,
                "score": citation.score,
            }
            for citation in reply.citations
        ],
    }
