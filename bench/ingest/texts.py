"""Text to memorize, as much as is wanted: the repository's documents, reworded, and chat turns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.pipeline.chunking.chunker import chunk_document
from mplus_ray.pipeline.chunking.headers import Headings
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.ledger.tenant_log import Accepted, TenantLog
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.parse import parse_file
from mplus_ray.pipeline.sources import find_files

_DOCUMENTS = Path(__file__).parents[2] / "deploy" / "demo" / "documents"
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_SPACES = re.compile(r"(\s+)")
_REWORDED = 0.2  # of the words: enough that no two documents are alike
_TURN = range(20, 400)  # characters


class Texts:
    """Documents of any number and size, each another one; the same seed gives the same."""

    def __init__(self, folder: Path = _DOCUMENTS) -> None:
        documents = [parse_file(path).text for path in find_files([folder])]
        self._text = "\n\n".join(documents)
        self._words = self._text.split()

    def document(self, seed: str, characters: int) -> ParsedDocument:
        """A stretch of the text, with one word in five replaced by another one of it."""
        rng = Random(seed)
        parts = []
        missing = characters
        while missing > 0:
            start = rng.randrange(max(1, len(self._text) - missing))
            parts.append(self._text[start : start + missing].strip())
            missing -= len(parts[-1]) + 1
        return ParsedDocument(f"document {seed}", self._reword(rng, " ".join(parts)))

    def turns(self, count: int, dialogues: Path | None = None) -> list[str]:
        """Messages of a chat.

        Args:
            dialogues: Parquet file whose column `text` has a dialogue a row, a message a line; by
                default sentences of the documents are used, reworded from the second round on.

        Raises:
            InvalidInputError: the file has no such column, or no message in it.
        """
        lines = list(_lines(dialogues) if dialogues else _SENTENCE.split(self._text))
        usable = [" ".join(line.split()) for line in lines if len(line) in _TURN]
        if not usable:
            raise InvalidInputError(f"{dialogues} has no messages; give one with dialogues")
        rng = Random(0)
        again = (self._reword(rng, usable[n % len(usable)]) for n in range(len(usable), count))
        return [*usable[:count], *again]

    def _reword(self, rng: Random, text: str) -> str:
        parts = _SPACES.split(text)
        return "".join(
            rng.choice(self._words) if at % 2 == 0 and rng.random() < _REWORDED else part
            for at, part in enumerate(parts)
        )


def accept(log: TenantLog, document: ParsedDocument, tokenizer: Tokenizer) -> Accepted:
    """Cut a document and append it, as the intake does with one that is parsed."""
    spans = chunk_document(document.text, Headings.of(document), tokenizer)
    return log.append(document, document.title, spans)


def _lines(dialogues: Path) -> Iterator[str]:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        column = pq.read_table(dialogues, columns=["text"])["text"]
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        raise InvalidInputError(
            f"{dialogues} cannot be read as dialogues: {error}; give a Parquet file with a "
            "column `text`"
        ) from error
    for dialogue in column.to_pylist():
        for line in dialogue.splitlines():
            yield line.partition(": ")[2]
