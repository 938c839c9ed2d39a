"""Tokens a second from a document's arrival to the last commit, beside the forward pass alone."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mplus_ray.bench.fixture import installation, tenant
from mplus_ray.bench.ingest.figures import Spread
from mplus_ray.bench.ingest.texts import Texts, accept
from mplus_ray.model import MPlus
from mplus_ray.pipeline.chunking.chunker import chunk_document
from mplus_ray.pipeline.chunking.headers import Headings, with_header
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.workers.worker import Worker

BATCH = 8  # chunks in a forward pass, here and in the worker
_CHARACTERS = 12_000  # of a document, about 4,000 tokens
_WARM_UP_STEPS = 8

Chunks = list[list[int]]  # of one tenant, as token ids


@dataclass(frozen=True)
class Ingest:
    """Documents of some tenants from their arrival to the last commit.

    Attributes:
        accept_seconds: cutting them and appending them to the log.
        memorize_seconds: from there to the last commit.
        tokens, steps, documents: of all tenants together.
    """

    tokens: int
    steps: int
    documents: int
    accept_seconds: float
    memorize_seconds: float

    @property
    def end_to_end(self) -> float:
        """Tokens a second, all included."""
        return self.tokens / (self.accept_seconds + self.memorize_seconds)

    @property
    def from_log(self) -> float:
        """Tokens a second once the documents are in the log."""
        return self.tokens / self.memorize_seconds


def workload(texts: Texts, tenants: int, characters: int, seed: int) -> list[list[ParsedDocument]]:
    """So many characters of documents for all tenants together, each tenant its own."""
    each = characters // tenants
    sizes = [_CHARACTERS] * (each // _CHARACTERS) + [each % _CHARACTERS] * bool(each % _CHARACTERS)
    return [
        [texts.document(f"{seed}/{owner}/{n}", size) for n, size in enumerate(sizes)]
        for owner in range(tenants)
    ]


def measure_ingest(folder: Path, model: MPlus, documents: list[list[ParsedDocument]]) -> Ingest:
    """All tenants' documents into a new installation, and memorized by one worker."""
    with installation(folder, model) as system:
        logs = [tenant(system, f"tenant-{n}") for n in range(len(documents))]
        began = time.perf_counter()
        for log, own in zip(logs, documents, strict=True):
            for document in own:
                accept(log, document, model.tokenizer)
        accepted = time.perf_counter()
        steps = Worker(system.engine, slots=BATCH).drain()
        done = time.perf_counter()
        tokens = sum(log.tokens() for log in logs)
        wanted = sum(log.length() for log in logs)
        reached = sum(log.heads.serving().head.step for log in logs)
    if not steps == reached == wanted:
        raise RuntimeError(f"{steps} steps were made and {reached} committed of {wanted}")
    return Ingest(tokens, steps, sum(map(len, documents)), accepted - began, done - accepted)


def tokenized(model: MPlus, documents: Sequence[ParsedDocument]) -> Chunks:
    """A tenant's chunks as the writer gets them."""
    found = []
    for document in documents:
        text, headings = document.text, Headings.of(document)
        for span in chunk_document(text, headings, model.tokenizer):
            heading = headings.at(text, span.start)
            found.append(with_header(model.tokenizer, heading, text[span.start : span.end]))
    return found


def measure_forward(model: MPlus, tenants: Sequence[Chunks]) -> float:
    """Tokens a second of the forward pass alone, all tenants' next chunks in one batch."""
    writer_states = [model.empty_memory().writer_state] * len(tenants)
    tokens = 0
    began = time.perf_counter()
    for chunks in zip(*tenants, strict=False):
        writer_states = [
            writer_state for writer_state, _ in model.write_steps(writer_states, chunks)
        ]
        tokens += sum(map(len, chunks))
    return tokens / (time.perf_counter() - began)


def measure_throughput(
    folder: Path,
    model: MPlus,
    texts: Texts,
    tenants: Sequence[int],
    characters: int,
    rounds: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Every arm once a round, one after the other, so that the machine's moods reach all alike.

    Args:
        tenants: how many there are in each arm.
        characters: of all documents of an arm.
    """
    warm = [tokenized(model, own)[:_WARM_UP_STEPS] for own in workload(texts, BATCH, 24_000, -1)]
    measure_forward(model, warm)
    forward: dict[int, list[float]] = {min(count, BATCH): [] for count in tenants}
    ingests: dict[int, list[Ingest]] = {count: [] for count in tenants}
    for number in range(rounds):
        for batch, rates in forward.items():
            say(f"round {number + 1} of {rounds}: forward pass of {batch}")
            part = workload(texts, batch, characters, number)
            rates.append(measure_forward(model, [tokenized(model, own) for own in part]))
        for count, found in ingests.items():
            say(f"round {number + 1} of {rounds}: {count} tenants")
            place = Path(tempfile.mkdtemp(dir=folder))
            documents = workload(texts, count, characters, number)
            found.append(measure_ingest(place, model, documents))
            shutil.rmtree(place)
    return {
        "forward": {f"batch_{batch}": asdict(Spread.of(r)) for batch, r in forward.items()},
        **{f"tenants_{n}": _arm(found, forward[min(n, BATCH)]) for n, found in ingests.items()},
    }


def _arm(found: list[Ingest], forward: list[float]) -> dict[str, Any]:
    """One arm's figures; shares are of the same round's forward pass."""
    shares = [part.end_to_end / rate for part, rate in zip(found, forward, strict=True)]
    from_log = [part.from_log / rate for part, rate in zip(found, forward, strict=True)]
    first = found[0]
    return {
        "tokens": first.tokens,
        "steps": first.steps,
        "documents": first.documents,
        "end_to_end": asdict(Spread.of([part.end_to_end for part in found])),
        "from_log": asdict(Spread.of([part.from_log for part in found])),
        "share_of_forward": asdict(Spread.of(shares)),
        "from_log_share_of_forward": asdict(Spread.of(from_log)),
        "accept_seconds": asdict(Spread.of([part.accept_seconds for part in found])),
        "documents_accepted_per_second": asdict(
            Spread.of([part.documents / part.accept_seconds for part in found])
        ),
    }
