"""Which source a person means. A new one has its file here and its line below."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.pipeline.ledger.documents.failures import FailedDocument
from mplus_ray.pipeline.parsing.formats.pdf.ocr import Ocr
from mplus_ray.pipeline.parsing.multi_document import holds_many
from mplus_ray.pipeline.parsing.refusals import Refusal, Refusals
from mplus_ray.pipeline.sources.bucket import SCHEMES, Bucket
from mplus_ray.pipeline.sources.files import FileSource, find_documents, local_file
from mplus_ray.pipeline.sources.follow import Folder
from mplus_ray.pipeline.sources.kafka import SCHEME, Topic
from mplus_ray.pipeline.sources.records import OneFile, broken
from mplus_ray.pipeline.sources.source import DocumentSource, Item, Until
from mplus_ray.pipeline.sources.stdin import JsonLines


@dataclass(frozen=True)
class InTurn:
    """Several sources, one after the other; only the last may be endless.

    Attributes:
        sources: in order.
    """

    sources: Sequence[DocumentSource]

    @property
    def endless(self) -> bool:
        return any(source.endless for source in self.sources)

    def __iter__(self) -> Iterator[Item]:
        for source in self.sources:
            yield from source


def open_sources(
    names: Sequence[str],
    *,
    follow: bool = False,
    until: Until | None = None,
    key: str | None = None,
    sync: bool = False,
    ocr: Ocr | None = None,
) -> DocumentSource:
    """Paths, globs, `-`, and URLs of buckets and topics; nothing of them is read yet.

    Args:
        follow: watch the folders.
        until: when an endless source ends.
        key: the id of the document, if there is one.
        sync: of a watched folder, say what is gone from it too.
        ocr: reads pages that are pictures; None: they are refused.

    Raises:
        InvalidInputError: a source does not exist, or they cannot go together.
    """
    until = until or Until()
    if follow:
        return _followed(names, until, sync, ocr)
    if sync:
        raise InvalidInputError("--sync is for a folder that is watched: add --follow")
    found = find_documents(name for name in names if _is_path(name))
    files = found.files
    sources: list[DocumentSource] = [FileSource(files, key, ocr, found.left_out)] if files else []
    sources += [_stream(name, until, key) for name in dict.fromkeys(names) if not _is_path(name)]
    if key is not None:
        _require_one_document(names, files)
    sources.sort(key=lambda source: source.endless)
    if sum(source.endless for source in sources) > 1:
        raise InvalidInputError("two topics cannot be read by one command; start one for each")
    return sources[0] if len(sources) == 1 else InTurn(sources)


def divided(source: DocumentSource) -> Iterator[OneFile] | None:
    """A source's files, each to be read by itself; None of a stream."""
    if isinstance(source, InTurn):
        parts = [divided(part) for part in source.sources]
        known = [part for part in parts if part is not None]
        return chain.from_iterable(known) if len(known) == len(parts) else None
    return source.files() if isinstance(source, FileSource | Bucket) else None


def left_out(source: DocumentSource) -> Refusals:
    """What lay beside the files that were read and is not read, such as other formats; of a
    bucket and a watched folder it is known when they are read.
    """
    found = Refusals()
    for part in source.sources if isinstance(source, InTurn) else [source]:
        if isinstance(part, FileSource | Bucket | Folder):
            found.include(part.left_out.listed())
    return found


def read_again(failures: Iterable[FailedDocument]) -> DocumentSource:
    """What could not be read; a stream's failures stay as they are.

    Rows of one file are read in one pass.
    """
    wanted: dict[str, set[int] | None] = {}
    gone: list[FailedDocument] = []
    for failure in failures:
        name, place = _without_place(failure.source)
        if not Path(name).is_absolute() and not _is_bucket(name):
            gone.append(failure)
        elif place is None:
            wanted[name] = None
        elif (places := wanted.setdefault(name, set())) is not None:
            places.add(place)
    return _Again(wanted, gone)


@dataclass(frozen=True)
class _Again:
    wanted: dict[str, set[int] | None]
    gone: Sequence[FailedDocument]
    endless = False

    def __iter__(self) -> Iterator[Item]:
        for name, places in self.wanted.items():
            yield from _one(name, places)
        for failure in self.gone:
            yield broken(failure.source, DocumentError(failure.reason, Refusal.GONE))


def _one(name: str, only: Collection[int] | None) -> Iterator[Item]:
    if _is_bucket(name):
        return iter(Bucket(name, only=only))
    return local_file(Path(name), only=only).items()


def _without_place(source: str) -> tuple[str, int | None]:
    """`faq.csv#17` as its parts; a file may have such a name itself."""
    name, mark, place = source.rpartition("#")
    if mark and place.isdigit() and holds_many(_without_options(name)):
        return name, int(place)
    return source, None


def _followed(names: Sequence[str], until: Until, sync: bool, ocr: Ocr | None) -> DocumentSource:
    if len(names) != 1 or not Path(names[0]).expanduser().is_dir():
        raise InvalidInputError("--follow watches one folder; name one that exists")
    return Folder(Path(names[0]).expanduser(), until, sync=sync, ocr=ocr)


def _stream(name: str, until: Until, key: str | None) -> DocumentSource:
    """What is no path."""
    if name == "-":
        return JsonLines(sys.stdin.buffer)
    if _is_bucket(name):
        return Bucket(name, key)
    if _scheme(name) == SCHEME:
        return Topic(name, until)
    raise InvalidInputError(
        f"{_scheme(name)}:// is no source; there are paths, - for standard input, "
        f"{', '.join(f'{scheme}://' for scheme in (*SCHEMES, SCHEME))}"
    )


def _require_one_document(names: Sequence[str], files: Sequence[Path]) -> None:
    if len(names) != 1 or (_is_path(names[0]) and len(files) != 1):
        raise InvalidInputError(
            f"--id names one document, and there are {max(len(files), len(names))} files"
        )
    if not (_is_path(names[0]) or _is_bucket(names[0])) or holds_many(_without_options(names[0])):
        raise InvalidInputError(f"--id names one document, and {names[0]} holds many")


def _scheme(name: str) -> str:
    return name.partition("://")[0].lower() if "://" in name else ""


def _is_path(name: str) -> bool:
    return name != "-" and not _scheme(name)


def _is_bucket(name: str) -> bool:
    return _scheme(name) in SCHEMES


def _without_options(name: str) -> str:
    return name.partition("?")[0] if _is_bucket(name) else name
