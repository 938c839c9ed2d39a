"""Running text to tell between a document and the question about it.

It should be of authors that the checkpoint was never trained on; `model.training.data.text` holds
one author in twenty back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from mplus_ray.model.corpus.held_out import is_held_out
from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.model.evaluation.data.telling import Chunk, ToldDocument
from mplus_ray.model.generation.tokenizer import TextTokenizer


@dataclass(frozen=True)
class RunningText:
    """Token ids of one long text, and where it came from.

    Attributes:
        ids: [n] token ids.
        source: for reports.
        tokenizer: that made them.
    """

    ids: NDArray[np.int64]
    source: str
    tokenizer: TextTokenizer

    @classmethod
    def of(cls, text: str, source: str, tokenizer: TextTokenizer) -> RunningText:
        return cls(np.array(tokenizer.encode(text), dtype=np.int64), source, tokenizer)

    @classmethod
    def read(cls, paths: Sequence[Path], tokenizer: TextTokenizer) -> RunningText:
        """Files one after the other.

        Text files count as they are; of Parquet files (columns text, title and perhaps author)
        only the rows that training holds out; .npy files are token ids of this very tokenizer.

        Raises:
            DocumentError: a file cannot be read, or there is nothing in it.
        """
        parts = [_read(path, tokenizer) for path in paths]
        for path, part in zip(paths, parts, strict=True):
            if not len(part):
                raise DocumentError(f"{path} has no text in it that may be used")
        return cls(np.concatenate(parts), ", ".join(path.name for path in paths), tokenizer)

    def __len__(self) -> int:
        return len(self.ids)

    def reader(self, rng: Random) -> TextReader:
        """Somebody who reads from a random place on."""
        return TextReader(self, rng.randrange(len(self)))


class TextReader:
    """Reads a text from some place on, and from its start again where it ends."""

    def __init__(self, text: RunningText, at: int) -> None:
        self._text = text
        self._at = at

    def take(self, count: int) -> list[int]:
        """The next `count` tokens."""
        taken: list[int] = []
        while len(taken) < count:
            piece = self._text.ids[self._at : self._at + count - len(taken)]
            taken += piece.tolist()
            self._at = (self._at + len(piece)) % len(self._text)
        return taken

    def chunk(self, count: int) -> Chunk:
        """The next tokens as a chunk."""
        ids = self.take(count)
        return Chunk(self._text.tokenizer.decode(ids), ids)

    def documents(self, size: int) -> Iterator[ToldDocument]:
        """Documents of one chunk of `size` tokens, for ever."""
        while True:
            yield ToldDocument([self.chunk(size)])


def _read(path: Path, tokenizer: TextTokenizer) -> NDArray[np.int64]:
    try:
        if path.suffix == ".npy":
            return _read_ids(path, tokenizer)
        text = _read_parquet(path) if path.suffix == ".parquet" else path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror or error}") from error
    return np.array(tokenizer.encode(text), dtype=np.int64)


def _read_ids(path: Path, tokenizer: TextTokenizer) -> NDArray[np.int64]:
    try:
        ids = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DocumentError(f"{path} is not a NumPy file of token ids: {error}") from error
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise DocumentError(f"{path} holds {ids.ndim}-dimensional {ids.dtype}, not token ids")
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < tokenizer.size:
        raise InvalidInputError(
            f"{path} has token ids outside 0 … {tokenizer.size - 1}; it was made with the "
            "tokenizer of another checkpoint"
        )
    return np.asarray(ids, dtype=np.int64)


def _read_parquet(path: Path) -> str:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        rows = table.select([n for n in ("author", "title", "text") if n in table.column_names])
        return "\n\n".join(
            row["text"]
            for row in rows.to_pylist()
            if is_held_out(row.get("author"), row.get("title") or "")
        )
    except (KeyError, TypeError, pyarrow.ArrowException) as error:
        raise DocumentError(
            f"{path} cannot be read as texts: {error}; give columns text, title and author"
        ) from error
