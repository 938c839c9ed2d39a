"""A tenant to an archive, as it is at one moment."""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from sqlalchemy import Connection

from mplus_ray.model.errors import DamagedFileError, InvalidInputError
from mplus_ray.model.object_store.failures import refused
from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.pipeline.archive.format import (
    CHECKSUM,
    DOCUMENTS,
    MANIFEST,
    SNAPSHOTS,
    ArchiveMember,
    Manifest,
    MemoryRecord,
    ShardRecord,
    SnapshotList,
    SnapshotRecord,
    StateRecord,
    TenantRecord,
    add_bytes,
    add_file,
    measure,
    measured,
    row_member,
    state_member,
)
from mplus_ray.pipeline.ledger.heads.head import Serving, forgotten, read_head
from mplus_ray.pipeline.ledger.heads.leases import Lease
from mplus_ray.pipeline.ledger.schema import chunks, documents, snapshots
from mplus_ray.pipeline.ledger.tenant import Tenant
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.maintenance.head_files import purge
from mplus_ray.pipeline.writing.engine import Stores

_DETAILS = ("session", "tags", "occurred_at", "expires_at")  # where a document has them


@dataclass(frozen=True)
class Exported:
    """What an archive came to hold.

    Attributes:
        documents, chunks: of the log.
        files: of the memory.
        nbytes: of the archive.
    """

    documents: int
    chunks: int
    files: int
    nbytes: int


def export_tenant(
    stores: Stores, log: TenantLog, target: Path, with_memory: bool = False
) -> Exported:
    """Write a tenant to a new archive, which appears whole or not at all.

    Args:
        with_memory: also the files of its rows, so that nothing has to be memorized again. A
            writer of the tenant is waited for, and waits.

    Raises:
        InvalidInputError: the file exists, or a document is being forgotten.
        DamagedFileError: a file of the memory is not what was written.
        StorageError: the disk or the storage refused; no archive was left behind.
    """
    with ExitStack() as stack:
        lease = stack.enter_context(stores.lease(log)) if with_memory else None
        if lease is not None:
            _own_cut_shards(stores, log, lease)
        spool = stack.enter_context(_new_file(target))
        lines = stack.enter_context(tempfile.TemporaryFile(dir=target.parent))
        serving, moments, count = _read_log(log, lines)
        lines.seek(0)
        members = {DOCUMENTS: measure(lines)}
        named = SnapshotList(snapshots=moments).model_dump_json().encode()
        members[SNAPSHOTS] = measured(named)
        manifest = _manifest(log.tenant, serving, count, with_memory)
        files = _files(serving) if with_memory else {}
        members |= {name: _checked(stores, file) for name, file in files.items()}
        manifest = manifest.model_copy(update={"members": members})
        with tarfile.open(fileobj=spool, mode="w:") as tar:
            said = manifest.model_dump_json(indent=1).encode()
            add_bytes(tar, MANIFEST, said)
            add_bytes(tar, CHECKSUM, measured(said).checksum.encode())
            lines.seek(0)
            add_file(tar, DOCUMENTS, members[DOCUMENTS].nbytes, lines)
            add_bytes(tar, SNAPSHOTS, named)
            for name, file in files.items():
                assert lease is not None
                log.heads.renew(lease)
                data = stores.files.read(file.file)
                add_file(tar, name, data.size, pa.BufferReader(data))
        nbytes = spool.tell()
    return Exported(manifest.documents, manifest.chunks, len(files), nbytes)


@contextmanager
def _new_file(target: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when all of it is written and durable."""
    if target.exists():
        raise InvalidInputError(f"{target} exists; remove it or name another file")
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".mplus-", delete=False) as new:
            try:
                yield new
                new.flush()
                os.fsync(new.fileno())
                Path(new.name).rename(target)
            finally:
                Path(new.name).unlink(missing_ok=True)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise refused(error, f"{target} cannot be written") from error


def _read_log(
    log: TenantLog, lines: IO[bytes]
) -> tuple[Serving, list[SnapshotRecord], tuple[int, int]]:
    """Head, snapshots and documents as of one moment; the documents go to `lines`."""
    log.forgets.expire()
    with log.scope.reading() as connection:
        serving = read_head(connection, log.scope, serving=True)
        assert serving is not None, "a tenant has a serving head from its creation on"
        if forgotten(connection, log.scope).ranges:
            raise InvalidInputError(
                "a document is being forgotten, and an archive would keep it; finish with "
                f"`mplus ingest --tenant {log.tenant.name}`, then export"
            )
        moments = connection.execute(log.scope.select(snapshots).order_by(snapshots.c.step))
        named = [SnapshotRecord(name=r.name, step=r.step, created=r.created) for r in moments]
        count = steps = 0
        for record in _documents(connection, log.scope):
            text = json.dumps(record, ensure_ascii=False) + "\n"
            lines.write(text.encode("utf-8", "replace"))
            count, steps = count + 1, steps + len(record["chunks"])
    return serving, named, (count, steps)


def _documents(connection: Connection, scope: TenantScope) -> Iterator[dict[str, Any]]:
    """One by one: texts may be large."""
    query = scope.select(documents, documents.c.id).order_by(documents.c.first_step)
    for number in connection.execute(query).scalars().all():
        row = connection.execute(scope.select(documents).where(documents.c.id == number)).one()
        spans = connection.execute(
            scope.select_found(chunks, chunks.c.document == number).order_by(chunks.c.step)
        )
        yield {
            "key": row.key,
            "source": row.source,
            "title": row.title,
            "sha256": row.sha256,
            "metadata": row.metadata,
            "created": row.created,
            "memorized": row.memorized,
            **{
                name: getattr(row, name)
                for name in _DETAILS
                if getattr(row, name) not in (None, [])
            },
            "chunks": [[span.start, span.end, span.tokens] for span in spans],
            "text": row.text,
        }


def _manifest(
    tenant: Tenant, serving: Serving, count: tuple[int, int], with_memory: bool
) -> Manifest:
    memory = MemoryRecord(
        shards=[ShardRecord(first_step=s.first_step, steps=s.steps) for s in serving.shards],
        states=[StateRecord(step=s.step, history=s.history) for s in serving.states],
    )
    settings = {name: getattr(tenant, name) for name in TenantRecord.model_fields}
    return Manifest(
        format=1,
        kind="mplus tenant",
        tenant=TenantRecord(**settings),
        fingerprint=serving.head.fingerprint,
        step=serving.head.step,
        history=serving.head.history,
        documents=count[0],
        chunks=count[1],
        memory=memory if with_memory else None,
        members={},
    )


def _files(serving: Serving) -> dict[str, Shard | State]:
    """The head's files by their names in the archive."""
    rows = {row_member(index): shard for index, shard in enumerate(serving.shards)}
    return rows | {state_member(index): state for index, state in enumerate(serving.states)}


def _checked(stores: Stores, file: Shard | State) -> ArchiveMember:
    """A file's size and checksum, if it is what was written."""
    found = ArchiveMember(
        nbytes=stores.files.size(file.file), checksum=stores.files.checksum_of(file.file)
    )
    if found.checksum != file.checksum:
        raise DamagedFileError(file.file, "its checksum differs")
    return found


def _own_cut_shards(stores: Stores, log: TenantLog, lease: Lease) -> None:
    """A fork's last shared file goes on with what its parent added; the archive must not."""
    from mplus_ray.model.store.shards import copy_steps, read_checked, read_header

    head = log.heads.serving()
    for shard in head.shards:
        whole = read_header(read_checked(stores.files, shard.file, shard.checksum))
        if whole.steps == shard.steps:
            continue
        name = f"{log.tenant.id}/{head.head.id}/{lease.epoch:08d}-rows-{uuid.uuid4().hex}.arrow"
        own = copy_steps(stores.files, [shard], shard.first_step, shard.end, name)
        log.heads.replace_shards(lease, head.head.id, [shard], [own])
        purge(stores, log, lease)
