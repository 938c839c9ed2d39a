"""What the measurements of durable memory share: an installation, its documents, and random rows.

Legend: L layers, K rows a block, d hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import torch

from mplus_ray.bench.names import TENANT
from mplus_ray.model import MPlus
from mplus_ray.model.memory.memory import link
from mplus_ray.model.store.row_format import RowBlock
from mplus_ray.model.store.writer_state import WriterState
from mplus_ray.pipeline.chunking.chunker import Span, chunk_document
from mplus_ray.pipeline.chunking.headers import Headings
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.parse import parse_file
from mplus_ray.pipeline.sources import find_files
from mplus_ray.services.embedded import Embedded
from mplus_ray.services.settings import Settings

_DOCUMENTS = Path(__file__).parents[1] / "deploy" / "demo" / "documents"
_PIECE = 64  # chunks of a document; long books are cut, so that one can be forgotten in the middle
_BANK = 16


class RandomRows(MPlus):
    """A model without its forward pass: a step's rows are random numbers.

    For figures in which the arithmetic of memorizing has no part; everything behind it is real.
    """

    @classmethod
    def like(cls, model: MPlus) -> RandomRows:
        return cls(
            model.config, model.networks, model.tokenizer, model.fingerprint, model.precision
        )

    def write_steps(
        self, writer_states: Sequence[WriterState], chunks: Sequence[Sequence[int]]
    ) -> list[tuple[WriterState, RowBlock]]:
        """The next writer state and random rows of each tenant."""
        return [
            (
                WriterState(writer_state.step + 1, link(writer_state.history, ids), self._hidden),
                self._rows(writer_state.step),
            )
            for writer_state, ids in zip(writer_states, chunks, strict=True)
        ]

    def _rows(self, step: int) -> RowBlock:
        rows = self._bank[step % _BANK]
        stretch = 1 + step / 10_000  # no two steps alike
        return RowBlock(rows.kv * stretch, rows.keys * stretch)

    @property
    def _bank(self) -> list[RowBlock]:
        if "bank" not in vars(self):
            c = self.config
            shape = (c.num_hidden_layers, c.num_tokens)
            self.hidden = torch.randn(*shape, c.hidden_size)
            self.bank = [
                RowBlock(
                    torch.randn(*shape, 2, c.num_key_value_heads, c.head_dim),
                    torch.randn(*shape, c.selector_hidden_dim),
                )
                for _ in range(_BANK)
            ]
        return self.bank

    @property
    def _hidden(self) -> torch.Tensor:
        assert self._bank
        return self.hidden


def installation(
    folder: Path, model: MPlus, ledger_url: str | None = None, store_url: str | None = None
) -> Embedded:
    """One data directory with a model that is loaded already."""
    environment = {"MPLUS_DATA": str(folder)}
    if ledger_url:
        environment["MPLUS_LEDGER_URL"] = ledger_url
    if store_url:
        environment["MPLUS_STORE_URL"] = store_url
    system = Embedded(Settings.read(environment=environment))
    system.model = model
    return system


def tenant(system: Embedded, name: str = TENANT) -> TenantLog:
    """The tenant that is measured, made if it is not there."""
    return system.ledger.create_tenant(name, system.model.fingerprint)


@dataclass
class Library:
    """Real documents, cut once, handed out in pieces for as long as somebody asks.

    Attributes:
        model: whose tokenizer cuts.
        folder: of the documents.
        pieces: a part of a document and its chunks, in order.
    """

    model: MPlus
    folder: Path = _DOCUMENTS
    pieces: list[tuple[ParsedDocument, list[Span]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path in find_files([self.folder]):
            document = parse_file(path)
            spans = chunk_document(document.text, Headings.of(document), self.model.tokenizer)
            for at in range(0, len(spans), _PIECE):
                self.pieces.append(_piece(document, spans[at : at + _PIECE]))

    @property
    def _limit(self) -> int:
        return self.model.config.chunk_tokens

    def fill(self, log: TenantLog, tokens: int) -> None:
        """Append documents until the log has so many tokens; the same ones come round again."""
        missing = tokens - log.tokens()
        for number, (document, spans) in self._endless(len(log.documents())):
            if missing <= 0:
                return
            taken = _first(spans, missing)
            log.append(document, f"document-{number}.txt", taken)
            missing -= sum(span.tokens for span in taken)

    def _endless(self, first: int) -> Iterator[tuple[int, tuple[ParsedDocument, list[Span]]]]:
        for number in count(first):
            yield number, self.pieces[number % len(self.pieces)]


def _piece(document: ParsedDocument, spans: Sequence[Span]) -> tuple[ParsedDocument, list[Span]]:
    start = spans[0].start
    text = document.text[start : spans[-1].end]
    moved = [Span(span.start - start, span.end - start, span.tokens) for span in spans]
    return ParsedDocument(document.title, text), moved


def _first(spans: Sequence[Span], tokens: int) -> list[Span]:
    """As many spans as are needed to have so many tokens."""
    taken: list[Span] = []
    while len(taken) < len(spans) and sum(span.tokens for span in taken) < tokens:
        taken.append(spans[len(taken)])
    return taken
