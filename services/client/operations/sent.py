"""What became of documents that were sent in several requests."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_KEPT = 1000  # failures that are kept with their reasons
_LINE = re.compile(r"line (\d+)(?=\W|$)")


@dataclass
class Sent:
    """What became of all that was sent. Handed in again after an error, sending goes on from here.

    Attributes:
        read, taken_in, known, replaced, refused: documents, as `POST /v1/documents` counts them.
        failed: (source, reason) of the first that were refused; lines count from the first.
        refusals: how many were left out, by (kind, reason).
        requests: that were answered.
        min_step: ask with this `min_step`, and the answer has seen all of it.
        jobs: their ids, of each request that took something in.
        done: names of the files that are sent to their end.
        lines: of each stream or file of lines, by its name, how many lines were read.
        unanswered: lines, or files, of a request whose answer never came: the service has taken in
            what of them arrived. Sent again, that counts as known.
    """

    read: int = 0
    taken_in: int = 0
    known: int = 0
    replaced: int = 0
    refused: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    requests: int = 0
    min_step: int = 0
    jobs: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    lines: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0

    def add(self, answer: dict[str, Any], before: int = 0) -> None:
        """Count an answer, or the problem of a request of which nothing was taken in.

        Args:
            before: lines that came before its first one.
        """
        self.requests += 1
        self.unanswered = 0
        failed = answer.get("failed") or []
        counted = sum(one["count"] for one in answer.get("refusals") or [])
        refused = answer.get("refused", counted)
        self.read += answer.get("read", refused)
        self.taken_in += answer.get("taken_in", 0)
        self.known += answer.get("known", 0)
        self.replaced += answer.get("replaced", 0)
        self.refused += refused
        self.min_step = max(self.min_step, answer.get("min_step", 0))
        if answer.get("taken_in") or answer.get("known"):
            self.jobs.append(answer["job_id"])
        for one in answer.get("refusals") or []:
            self.refusals[one["kind"], one["reason"]] += one["count"]
        # The last one may only say that the request ended early.
        for one in failed[: max(min(refused, _KEPT - len(self.failed)), 0)]:
            self.failed.append((_moved(one["source"], before), _moved(one["reason"], before)))


def _moved(text: str, before: int) -> str:
    """`line 3` as the line that it is of the whole stream."""
    return _LINE.sub(lambda found: f"line {int(found[1]) + before}", text, count=1)
