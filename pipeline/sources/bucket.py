"""Objects of a bucket: `s3://bucket/prefix` and `gs://bucket/prefix`."""

from __future__ import annotations

import io
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.model.object_store.failures import refusals
from mplus_ray.model.object_store.remote import impatient
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.document_id import id_of_name
from mplus_ray.pipeline.parsing.isolated import parse_path, read_path
from mplus_ray.pipeline.parsing.kinds import KINDS, SUFFIXES
from mplus_ray.pipeline.parsing.multi_document import read_many
from mplus_ray.pipeline.parsing.parse import MAX_BYTES
from mplus_ray.pipeline.parsing.records.record import Record
from mplus_ray.pipeline.parsing.refusals import Refusal, Refusals, kind_of_name
from mplus_ray.pipeline.sources.records import OneFile
from mplus_ray.pipeline.sources.source import Item

SCHEMES = ("s3", "gs", "gcs")
_STREAMED = frozenset(["jsonl", "csv", "parquet"])
_BUFFER = 2**20  # bytes of one request of a file that is read as a stream


class Bucket:
    """The object of that name, or every object of a supported format below it.

    The id of a document is its URL without options; options (`?region=…&endpoint_override=…`)
    stay in its source, so that it can be read again. Credentials come from the environment only.

    Attributes:
        left_out: what was listed so far and is not read.
    """

    endless = False

    def __init__(
        self, url: str, key: str | None = None, only: Collection[int] | None = None
    ) -> None:
        """
        Args:
            key: the id of the document, where it is one.
            only: places of the wanted records of a file of many; None: all.

        Raises:
            InvalidInputError: the URL names no bucket.
        """
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self._options = f"?{parts.query}" if parts.query else ""
        self._key = key
        self._only = only
        self.left_out = Refusals()
        if "@" in parts.netloc:
            raise InvalidInputError(
                f"a {parts.scheme} URL with a password would be kept in the ledger; put the "
                "credentials into the environment"
            )
        if not parts.netloc:
            raise InvalidInputError(f"{url} names no bucket; write {parts.scheme}://bucket/prefix")
        self._url = parts._replace(fragment="").geturl()

    def __iter__(self) -> Iterator[Item]:
        for file in self.files():
            yield from file.items()

    def files(self) -> Iterator[OneFile]:
        """Each by itself, to be read wherever the storage can be reached."""
        _, root = self._opened
        with refusals(self._url, ""):
            kind = self._files.get_file_info(root).type
        if kind == pafs.FileType.File:
            yield self._file(root)
            return
        if self._key is not None:
            raise InvalidInputError(f"--id names one document, and {self._url} is not one object")
        empty = True
        for path in self._below(root):
            empty = False
            yield self._file(path)
        if empty:
            raise InvalidInputError(
                f"{self._url} has no document in it; supported are {', '.join(sorted(SUFFIXES))}"
            )

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The client, and the path in it: the bucket, then the name."""
        try:
            with refusals(self._url, ""):
                files, root = pafs.FileSystem.from_uri(self._url)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise InvalidInputError(f"{self._url} is no storage URL: {error}") from error
        return impatient(files), root.rstrip("/")

    def _below(self, folder: str) -> Iterator[str]:
        """Names in a stable order; one folder's list in memory at a time."""
        with refusals(self._url, ""):
            found = self._files.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        for info in sorted(found, key=lambda info: info.path):
            if info.base_name.startswith("."):
                is_folder = info.type == pafs.FileType.Directory
                self.left_out.add("folder" if is_folder else "file", Refusal.HIDDEN)
                continue
            if info.type == pafs.FileType.Directory:
                yield from self._below(info.path)
            elif f".{info.extension.lower()}" in SUFFIXES:
                yield info.path
            else:
                self.left_out.add(kind_of_name(info.base_name), Refusal.UNSUPPORTED)

    def _file(self, path: str) -> OneFile:
        name = f"{self._scheme}://{path}"
        source = f"{self._scheme}://{quote(path)}{self._options}"
        return OneFile(
            name,
            source,
            lambda: self._parsed(path, name),
            lambda: self._records(path, name),
            self._key or id_of_name(name),
            self._only,
        )

    def _parsed(self, path: str, name: str) -> ParsedDocument:
        with self._spooled(path, name) as copy:
            return parse_path(copy, name)

    def _records(self, path: str, name: str) -> Iterator[Record]:
        """Tables and lines are read as they lie there; what a library unpacks is copied first."""
        if KINDS.get(Path(name).suffix.lower()) in _STREAMED:
            with self._stream(path, name) as stream:
                yield from read_many(stream, name)
            return
        with self._spooled(path, name) as copy:
            yield from read_path(copy, name)

    @contextmanager
    def _spooled(self, path: str, name: str) -> Iterator[Path]:
        """A copy on this machine that is gone afterwards."""
        with self._stream(path, name) as stream, NamedTemporaryFile(prefix="mplus-") as copy:
            shutil.copyfileobj(stream, copy, _BUFFER)
            copy.flush()
            if copy.tell() > MAX_BYTES:
                raise DocumentError(
                    f"{name} is larger than {MAX_BYTES // 2**20} MiB; split it", Refusal.TOO_LARGE
                )
            yield Path(copy.name)

    @contextmanager
    def _stream(self, path: str, name: str) -> Iterator[BinaryIO]:
        """An object's bytes. Its refusal is its own failure, unless nothing can be reached.

        Raises:
            DocumentError: this object cannot be read.
            StorageError: the storage does not answer at all.
        """
        try:
            with self._files.open_input_file(path) as file:
                yield cast(BinaryIO, io.BufferedReader(file, _BUFFER))
        except OSError as error:
            with refusals(self._url, ""):
                self._files.get_file_info(path)
            raise DocumentError(f"{name} cannot be read: {error}", Refusal.UNREADABLE) from error
