"""An archive to a new tenant: everything is checked first, and then it is there at once."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Connection

from mplus_ray.model.errors import DamagedFileError, FingerprintMismatchError, InvalidInputError
from mplus_ray.model.store.file_refs import Shard, State
from mplus_ray.pipeline.archive.format import (
    MAX_FILE,
    Archive,
    DocumentRecord,
    ShardRecord,
    StateRecord,
    row_member,
    state_member,
)
from mplus_ray.pipeline.chunking.headers import Headings, with_header
from mplus_ray.pipeline.chunking.tokenizer import Tokenizer
from mplus_ray.pipeline.ledger.documents.near_duplicates import Sketch, remember
from mplus_ray.pipeline.ledger.filters.attributes import own_metadata
from mplus_ray.pipeline.ledger.filters.index import details_of, index_document
from mplus_ray.pipeline.ledger.heads.head import add_files
from mplus_ray.pipeline.ledger.heads.snapshots import check_name
from mplus_ray.pipeline.ledger.schema import chunks, documents, heads, snapshots
from mplus_ray.pipeline.ledger.tenant import Tenant, new_tenant
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.ledger.tenant_scope import TenantScope
from mplus_ray.pipeline.maintenance.tenant_lifecycle import remove
from mplus_ray.pipeline.parsing.document_id import storable
from mplus_ray.pipeline.parsing.limits import check_details, check_key, check_metadata
from mplus_ray.pipeline.writing.engine import Stores

if TYPE_CHECKING:
    from mplus_ray.model import MPlus


def import_tenant(
    stores: Stores,
    archive: Archive,
    name: str | None = None,
    model: MPlus | None = None,
) -> TenantLog:
    """Make the tenant of an archive.

    Args:
        name: by default the one that it had.
        model: takes the memory along; without one only the log is imported, and the memory is
            made again from it when it is wanted.

    Raises:
        InvalidInputError: the archive is damaged, or a tenant has that name.
        FingerprintMismatchError: the model is not the one that made the memory.
        StorageError: the ledger or the storage refused; nothing of the tenant stays.
    """
    _finish_earlier(stores, name or archive.manifest.tenant.name)
    archive.check_members()
    _check_log(archive, model.tokenizer if model else None)
    if model is not None:
        _check_memory(archive, model)
    log = stores.ledger.marked.reserve(_tenant(archive, name))
    try:
        rows, states = _copy_files(stores, archive, log, model) if model is not None else ([], [])
        stores.ledger.marked.admit(log, lambda at, scope: _fill(at, scope, archive, rows, states))
    except BaseException:
        # What a kill leaves instead counts as a tenant that is being deleted: `sweep` ends it.
        remove(stores, log.tenant.id)
        raise
    return stores.ledger.tenant(log.tenant.name)


def _finish_earlier(stores: Stores, name: str) -> None:
    """Take away what a killed import, or an unfinished deletion, left of this name."""
    for tenant in stores.ledger.marked.list():
        if tenant.name == name:
            remove(stores, tenant.id)


def _tenant(archive: Archive, name: str | None) -> Tenant:
    settings = archive.manifest.tenant.model_dump()
    settings["name"] = name or settings["name"]
    return new_tenant(now=time.time(), fingerprint=archive.manifest.fingerprint, **settings)


def _check_log(archive: Archive, tokenizer: Tokenizer | None) -> None:
    """Documents, chunks and snapshots fit together; with a tokenizer, also with the memory."""
    manifest = archive.manifest
    keys: set[str] = set()
    histories = [""]  # the hash chain after each step
    for record in archive.documents():
        wrong = "its id is there twice" if record.key in keys else _wrong(record)
        if wrong:
            raise archive.broken(f"document {record.key[:80]!r}: {wrong}")
        keys.add(record.key)
        histories += _chain(histories[-1], record, tokenizer)
    steps = len(histories) - 1
    if (len(keys), steps) != (manifest.documents, manifest.chunks) or manifest.step > steps:
        raise archive.broken(f"it has {len(keys)} documents with {steps} chunks")
    if tokenizer is not None and manifest.memory is not None:
        named = [(state.step, state.history) for state in manifest.memory.states]
        for step, expected in (*named, (manifest.step, manifest.history)):
            if step > manifest.step or histories[step] != expected:
                raise archive.broken(f"the memory at step {step} is not of these documents")
    taken = archive.snapshots()
    if len({snapshot.name for snapshot in taken}) != len(taken):
        raise archive.broken("a snapshot is there twice")
    for snapshot in taken:
        check_name(snapshot.name)
        if snapshot.step > manifest.step:
            raise archive.broken(f"the snapshot {snapshot.name!r} is of a step that is not there")


def _chain(history: str, record: DocumentRecord, tokenizer: Tokenizer | None) -> Iterator[str]:
    """The hash chain after each chunk of a document; "" where there is no tokenizer."""
    from mplus_ray.model.memory.memory import link

    headings = Headings(record.title, record.metadata.get("sections", []))
    for start, end, _ in record.chunks:
        if tokenizer is not None:
            heading = headings.at(record.text, start)
            ids = with_header(tokenizer, heading, record.text[start:end])
            history = link(bytes.fromhex(history), ids).hex()
        yield history


def _wrong(record: DocumentRecord) -> str | None:
    """Why a document cannot be one of a log."""
    names = (record.key, record.source, record.title, record.text)
    if any(storable(name) != name for name in names):
        return "a name or text holds what no ledger takes"
    try:
        check_key(record.key)
        check_metadata(own_metadata(record.metadata))
        check_details(details_of(record))
    except InvalidInputError as error:
        return str(error)
    if hashlib.sha256(record.text.encode()).hexdigest() != record.sha256:
        return "its text is not the one that was taken in"
    end = 0
    for span in record.chunks:
        if len(span) != 3 or not end <= span[0] < span[1] <= len(record.text) or not span[2]:
            return f"the chunk {span} does not lie in its text"
        end = span[1]
    sections = record.metadata.get("sections", [])
    for section in sections if isinstance(sections, list) else [None]:
        if not isinstance(section, dict) or not _is_section(section):
            return "its sections are none"
    return None


def _is_section(section: dict[str, Any]) -> bool:
    return isinstance(section.get("title"), str) and isinstance(section.get("start"), int)


def _shards(archive: Archive) -> Iterator[tuple[str, ShardRecord]]:
    memory = archive.manifest.memory
    for index, record in enumerate(memory.shards if memory else ()):
        yield row_member(index), record


def _states(archive: Archive) -> Iterator[tuple[str, StateRecord]]:
    memory = archive.manifest.memory
    for index, record in enumerate(memory.states if memory else ()):
        yield state_member(index), record


def _check_memory(archive: Archive, model: MPlus) -> None:
    """The files of the memory are of this model and hold the steps that the manifest says."""
    fingerprint = archive.manifest.fingerprint
    if fingerprint != model.fingerprint:
        raise FingerprintMismatchError(
            f"{archive.shown} holds a memory of the checkpoint {fingerprint[:16]}…, the one loaded "
            f"is {model.fingerprint[:16]}…; give the first one with --checkpoint, or import with "
            "--documents-only and `mplus rebuild` it"
        )
    end = 0
    for _, record in _shards(archive):
        if record.first_step != end:
            raise archive.broken(f"its rows go on at step {record.first_step}, not at {end}")
        end += record.steps
    if end != archive.manifest.step:
        raise archive.broken(f"its rows end at step {end}, not at {archive.manifest.step}")
    try:
        for name, shard in _shards(archive):
            _shard(archive, name, shard, model)
        for name, state in _states(archive):
            _state(archive, name, state, model)
    except DamagedFileError as error:
        raise archive.broken(f"{error.file}: {error.reason}") from error


def _shard(archive: Archive, name: str, record: ShardRecord, model: MPlus) -> tuple[Shard, bytes]:
    """A shard's file, checked, named as in the archive."""
    from mplus_ray.model.store.row_format import RowFormat
    from mplus_ray.model.store.shards import ShardHeader
    from mplus_ray.model.store.validation import check_rows

    data = archive.read(name, MAX_FILE)
    rows = RowFormat.of(model.config, archive.manifest.tenant.precision)
    header = ShardHeader(model.fingerprint, rows, record.first_step, record.steps)
    layout = check_rows(name, pa.py_buffer(data), model.config, header)
    checksum = archive.manifest.members[name].checksum
    return Shard(name, checksum, record.first_step, record.steps, len(data), layout), data


def _state(archive: Archive, name: str, record: StateRecord, model: MPlus) -> tuple[State, bytes]:
    """A state's file, checked, named as in the archive."""
    from mplus_ray.model.store.validation import check_tip

    data = archive.read(name, MAX_FILE)
    checksum = archive.manifest.members[name].checksum
    state = State(name, checksum, record.step, len(data), record.history)
    check_tip(pa.py_buffer(data), state, model.config, model.fingerprint)
    return state, data


def _copy_files(
    stores: Stores, archive: Archive, log: TenantLog, model: MPlus
) -> tuple[list[Shard], list[State]]:
    """The files under names of their own, durable, and named by nobody yet."""
    folder = f"{log.tenant.id}/{log.heads.serving().head.id}/00000000"
    rows, states = [], []
    for name, record in _shards(archive):
        shard, data = _shard(archive, name, record, model)
        rows.append(replace(shard, file=f"{folder}-rows-{uuid.uuid4().hex}.arrow"))
        stores.files.put(rows[-1].file, data)
    for name, at in _states(archive):
        state, data = _state(archive, name, at, model)
        states.append(replace(state, file=f"{folder}-state-{uuid.uuid4().hex}.state"))
        stores.files.put(states[-1].file, data)
    return rows, states


def _fill(
    connection: Connection,
    scope: TenantScope,
    archive: Archive,
    rows: list[Shard],
    states: list[State],
) -> None:
    """Insert the log and, if there are rows, what the head has memorized of it."""
    step = 0
    for record in archive.documents():
        number = uuid.uuid4().hex
        fields = record.model_dump(exclude={"chunks"})
        counted = {
            "id": number,
            "first_step": step,
            "chunk_count": len(record.chunks),
            "tokens": sum(tokens for _, _, tokens in record.chunks),
            "metadata_bytes": check_metadata(own_metadata(record.metadata)),
        }
        scope.insert(connection, documents, [{**fields, **counted}])
        remember(connection, scope, number, Sketch.of(record.text))
        index_document(connection, scope, number, record.metadata, details_of(record))
        spans = [
            {"step": at, "document": number, "start": start, "end": end, "tokens": tokens}
            for at, (start, end, tokens) in enumerate(record.chunks, step)
        ]
        scope.insert(connection, chunks, spans)
        step += len(spans)
    scope.insert(connection, snapshots, [s.model_dump() for s in archive.snapshots()])
    if rows:
        manifest = archive.manifest
        head = connection.execute(scope.select(heads, heads.c.id)).scalar_one()
        add_files(connection, scope, head, rows, states)
        moved = {"step": manifest.step, "history": manifest.history}
        connection.execute(scope.update(heads).values(**moved))
