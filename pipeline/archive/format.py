"""A tenant as one tar file: a manifest, the log, and on request the files of its memory.

    manifest.json       settings, weights, head, and name, bytes and checksum of the others
    manifest.checksum   of the manifest
    documents.ndjson    one document a line in the log's order, with its text and its chunks
    snapshots.json      the named moments
    rows/000000.arrow   row shards in order, numbered from 0
    states/000000.state where a writer can go on, in order

The tar is not compressed: rows do not shrink, and no small file can pretend to be a large one.
Nothing is ever unpacked to a path that an archive names.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Literal, Self, TypeVar

import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.object_store.failures import refused

MANIFEST, CHECKSUM = "manifest.json", "manifest.checksum"
DOCUMENTS, SNAPSHOTS = "documents.ndjson", "snapshots.json"
MAX_MANIFEST = 64 << 20  # bytes
MAX_LINE = 1 << 30
MAX_FILE = 8 << 30
_PART = 8 << 20

Count = Annotated[int, Field(ge=0, lt=2**63)]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]*$", max_length=64)]
Small = Annotated[int, Field(ge=0, lt=2**31)]
# Of no time after the year 9999, which has no name.
Seconds = Annotated[float, Field(ge=0, le=253_402_300_799, allow_inf_nan=False)]
# Of what a document tells of; the first year has a name as well.
Instant = Annotated[float, Field(ge=-62_135_596_800, le=253_402_300_799, allow_inf_nan=False)]

_Kind = TypeVar("_Kind", bound=BaseModel)


class _Record(BaseModel):
    """Nothing is converted and nothing unknown is passed over."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ArchiveMember(_Record):
    """A file of the archive."""

    nbytes: Count
    checksum: Hex


class TenantRecord(_Record):
    """A tenant's settings; see `pipeline.ledger.tenant.Tenant`."""

    name: str
    seed: Count
    precision: str
    retention: str
    max_documents: Count | None
    max_bytes: Count | None
    cold_after: Seconds | None
    documents_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent_questions: Count | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    ttl: Annotated[float, Field(gt=0, lt=1e11)] | None = None
    max_webhooks: Count | None = None
    attribute_quotas: dict[str, dict[str, Count | None]] | None = None
    bytes_per_step: Count
    geometry: dict[str, Any]


class ShardRecord(_Record):
    """A row shard: its file is `rows/` and its place in the list."""

    first_step: Count
    steps: Annotated[int, Field(ge=1, lt=2**63)]


class StateRecord(_Record):
    """A state: its file is `states/` and its place in the list."""

    step: Annotated[int, Field(ge=1, lt=2**63)]
    history: Hex


class MemoryRecord(_Record):
    """The files of the serving head."""

    shards: list[ShardRecord]
    states: list[StateRecord]


class Manifest(_Record):
    """What an archive holds.

    Attributes:
        step, history: of the serving head, whether or not its files are in the archive.
        documents, chunks: of the log.
    """

    format: Literal[1]
    kind: Literal["mplus tenant"]
    tenant: TenantRecord
    fingerprint: Annotated[str, Field(min_length=1, max_length=128)]
    step: Count
    history: Hex
    documents: Count
    chunks: Count
    memory: MemoryRecord | None
    members: dict[str, ArchiveMember]


class DocumentRecord(_Record):
    """A line of the log: a document and its chunks as (start, end, tokens)."""

    key: str
    source: str
    title: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    metadata: dict[str, Any]
    created: Seconds
    memorized: Seconds | None
    session: str | None = None
    tags: list[str] = []
    occurred_at: Instant | None = None
    expires_at: Instant | None = None
    chunks: Annotated[list[list[Small]], Field(min_length=1)]
    text: str


class SnapshotRecord(_Record):
    """A named moment."""

    name: str
    step: Count
    created: Seconds


class SnapshotList(_Record):
    """All of them."""

    snapshots: list[SnapshotRecord]


def row_member(index: int) -> str:
    return f"rows/{index:06d}.arrow"


def state_member(index: int) -> str:
    return f"states/{index:06d}.state"


def measure(file: IO[bytes]) -> ArchiveMember:
    """Bytes and checksum from a file's position to its end."""
    found, nbytes = xxhash.xxh3_128(), 0
    while part := file.read(_PART):
        found.update(part)
        nbytes += len(part)
    return ArchiveMember(nbytes=nbytes, checksum=found.hexdigest())


def measured(data: bytes) -> ArchiveMember:
    return ArchiveMember(nbytes=len(data), checksum=xxhash.xxh3_128_hexdigest(data))


class Archive:
    """An archive that is read. Opening it looks at the list of its members only."""

    def __init__(self, path: Path, shown: str = "") -> None:
        """
        Args:
            shown: what messages call it; by default its path.

        Raises:
            InvalidInputError: there is no such file, or it is no archive of a tenant.
            StorageError: it cannot be read.
        """
        self.shown = shown or str(path)
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115
        except FileNotFoundError:
            raise InvalidInputError(f"{self.shown} does not exist") from None
        except IsADirectoryError:
            raise InvalidInputError(f"{self.shown} is a folder; name an archive") from None
        except tarfile.TarError as error:
            raise self.broken(f"it is no tar file ({error})") from error
        except OSError as error:
            raise refused(error, f"{self.shown} cannot be read") from error
        try:
            self._members = self._listed()
            self.manifest = self._manifest()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._tar.close()

    def broken(self, reason: str) -> InvalidInputError:
        """The error that says what is wrong with this archive."""
        return InvalidInputError(
            f"{self.shown} is not a whole archive of `mplus export`: {reason}; nothing was "
            "imported: copy or export it again"
        )

    def open(self, name: str) -> IO[bytes]:
        """A member, to be read from its beginning."""
        if name not in self._members:
            raise self.broken(f"{name} is missing")
        file = self._tar.extractfile(self._members[name])
        assert file is not None, "only regular files are listed"
        return file

    def read(self, name: str, limit: int) -> bytes:
        """A whole member of at most `limit` bytes."""
        with self.open(name) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise self.broken(f"{name} is larger than {limit} bytes")
        return data

    def documents(self) -> Iterator[DocumentRecord]:
        """The log, one document at a time."""
        number = 0
        with self.open(DOCUMENTS) as file:
            while line := file.readline(MAX_LINE):
                number += 1
                yield self.parse(DocumentRecord, line, f"{DOCUMENTS}, line {number}")

    def snapshots(self) -> list[SnapshotRecord]:
        return self.parse(SnapshotList, self.read(SNAPSHOTS, MAX_MANIFEST), SNAPSHOTS).snapshots

    def check_members(self) -> None:
        """Compare every member with the manifest.

        Raises:
            InvalidInputError: one is missing, unknown, or not what was written.
        """
        memory = self.manifest.memory
        expected = {DOCUMENTS, SNAPSHOTS}
        if memory is not None:
            expected |= {row_member(index) for index in range(len(memory.shards))}
            expected |= {state_member(index) for index in range(len(memory.states))}
        for names in (set(self.manifest.members), set(self._members) - {MANIFEST, CHECKSUM}):
            if odd := sorted(names ^ expected):
                raise self.broken(f"{odd[0]!r} is missing or does not belong there")
        for name, member in self.manifest.members.items():
            with self.open(name) as file:
                if measure(file) != member:
                    raise self.broken(f"the checksum of {name} differs")

    def parse(self, kind: type[_Kind], data: bytes, where: str) -> _Kind:
        """JSON as the record it should be."""
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise self.broken(f"{where}: {place}: {first['msg']}") from error

    def _listed(self) -> dict[str, tarfile.TarInfo]:
        listed: dict[str, tarfile.TarInfo] = {}
        try:
            for member in self._tar:
                if not _is_plain(member) or member.name in listed or member.size > MAX_FILE:
                    raise self.broken(f"{member.name!r} is no plain file, or is there twice")
                listed[member.name] = member
        except tarfile.TarError as error:
            raise self.broken(str(error)) from error
        return listed

    def _manifest(self) -> Manifest:
        data = self.read(MANIFEST, MAX_MANIFEST)
        if self.read(CHECKSUM, 100) != measured(data).checksum.encode():
            raise self.broken(f"the checksum of {MANIFEST} differs")
        return self.parse(Manifest, data, MANIFEST)


def _is_plain(member: tarfile.TarInfo) -> bool:
    """A sparse file may say that it is of any size."""
    return member.isreg() and not member.issparse()


def add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    add_file(tar, name, len(data), io.BytesIO(data))


def add_file(tar: tarfile.TarFile, name: str, nbytes: int, file: IO[bytes]) -> None:
    """Append a plain file that says nothing of who made it, or when."""
    info = tarfile.TarInfo(name)
    info.size = nbytes
    info.mode = 0o600
    tar.addfile(info, file)
