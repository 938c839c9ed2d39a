"""What goes on in an installation: who writes, what waits, and where the bytes are.

It is read from the ledger and from the names of cached files; no weights are loaded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import xxhash
from sqlalchemy import Row

from mplus_ray.model.errors import TenantNotFoundError
from mplus_ray.pipeline.ledger.backlog import Backlog, Waiting
from mplus_ray.pipeline.ledger.heads.lease_owner import is_gone
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant import TenantSummary
from mplus_ray.pipeline.ledger.tenant_scope import now


@dataclass(frozen=True)
class Held:
    """A tenant that a writer holds; `expires_in` seconds, negative when it is overdue.

    Attributes:
        tenant: its name.
        epoch: of the lease.
        expires_in: seconds from now.
    """

    tenant: str
    epoch: int
    expires_in: float


@dataclass(frozen=True)
class Holder:
    """A writer that holds leases.

    Attributes:
        gone: its process is known to have ended, so that others may take over at once.
        owner: its name.
        tenants: that it holds.
    """

    owner: str
    gone: bool
    tenants: tuple[Held, ...]


@dataclass(frozen=True)
class TenantStatus:
    """One tenant.

    Attributes:
        documents: without those that are being forgotten.
        chunks, tokens: of the log.
        step: how many of the chunks are memorized.
        waiting: what its memory lacks, for how long, and requests to forget that are not
            carried out.
        failures: sources that could not be read.
        cold: its rows were dropped; they are made again from text when they are wanted.
        store_bytes: of the files that its heads name; a fork counts shared files too.
        cache_bytes: of those, what is in the local cache.
        tenant: its settings.
    """

    tenant: str
    documents: int
    chunks: int
    tokens: int
    step: int
    waiting: Backlog
    failures: int
    cold: bool
    store_bytes: int
    cache_bytes: int


@dataclass(frozen=True)
class Tier:
    """Files and bytes in one place, those of several tenants counted once.

    Attributes:
        files: how many.
        nbytes: of all of them.
    """

    files: int
    nbytes: int


@dataclass(frozen=True)
class Status:
    """An installation as it is about now: what is read first may be older by milliseconds.

    Attributes:
        writers: that hold tenants.
        tenants: by name.
        backlog: what waits in all.
        store: the rows' files, as the ledger names them.
        cache: of a remote store, on this machine.
    """

    writers: tuple[Holder, ...]
    tenants: tuple[TenantStatus, ...]
    backlog: Backlog
    store: Tier
    cache: Tier


def read_status(
    ledger: Ledger,
    cache: Path | None = None,
    tenant: str | None = None,
    moment: float | None = None,
) -> Status:
    """Look at all tenants, or at one of them and nobody else's.

    Args:
        cache: folder of the local cache of a remote store.
        moment: seconds since the epoch; by default now.

    Raises:
        TenantNotFoundError: there is no tenant of that name.
        StorageError: the ledger cannot be read.
    """
    moment = now() if moment is None else moment
    summaries = [s for s in ledger.tenants() if tenant in (None, s.tenant.name)]
    if tenant is not None and not summaries:
        raise TenantNotFoundError(f"there is no tenant {tenant!r}; `mplus status` shows all")
    files = _files_of(ledger, {summary.tenant.id for summary in summaries})
    cached = {name: size for names in files.values() for name, size in _cached(cache, names)}
    every = {name: nbytes for names in files.values() for name, nbytes in names.items()}
    tenants = tuple(_tenants(ledger, summaries, files, cached, moment))
    return Status(
        writers=holders(ledger, moment, tenant),
        tenants=tenants,
        backlog=_sum([each.waiting for each in tenants]),
        store=Tier(len(every), sum(every.values())),
        cache=Tier(len(cached), sum(cached.values())),
    )


def holders(ledger: Ledger, moment: float, tenant: str | None = None) -> tuple[Holder, ...]:
    """Who holds leases, by name of the holder."""
    rows = [row for row in ledger.holders() if tenant in (None, row.name)]
    return tuple(
        Holder(owner, is_gone(owner), tuple(_held(row, moment) for row in held))
        for owner, held in groupby(rows, key=lambda row: str(row.owner))
    )


def shown_store(url: str) -> str:
    """A store's URL without credentials and options; a path as it is."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}" if separator else url


def _held(row: Row[Any], moment: float) -> Held:
    return Held(row.name, row.epoch, round(row.expires - moment, 3))


def _tenants(
    ledger: Ledger,
    summaries: Sequence[TenantSummary],
    files: dict[str, dict[str, int]],
    cached: dict[str, int],
    moment: float,
) -> Iterator[TenantStatus]:
    waiting = {each.log.tenant.id: each for each in ledger.waiting()}
    tallies = ledger.tallies()
    for summary in summaries:
        tally = tallies.get(summary.tenant.id)
        if tally is None:  # deleted meanwhile
            continue
        names = files[summary.tenant.id]
        yield TenantStatus(
            tenant=summary.tenant.name,
            documents=summary.documents,
            chunks=summary.chunks,
            tokens=summary.tokens,
            step=summary.step,
            waiting=_lacks(waiting.get(summary.tenant.id), tally, moment),
            failures=tally.failed,
            cold=bool(tally.cold),
            store_bytes=sum(names.values()),
            cache_bytes=sum(cached.get(name, 0) for name in names),
        )


def _lacks(waiting: Waiting | None, tally: Row[Any], moment: float) -> Backlog:
    if waiting is None:
        return Backlog()
    if not waiting.chunks:
        return Backlog(forgets=waiting.forgets)
    return Backlog(
        tenants=1,
        documents=tally.documents_left,
        chunks=waiting.chunks,
        tokens=int(tally.tokens_left),
        forgets=waiting.forgets,
        oldest=max(0.0, moment - waiting.since),
    )


def _sum(parts: Collection[Backlog]) -> Backlog:
    """As `Ledger.backlog`, over these."""
    return Backlog(
        tenants=sum(part.tenants for part in parts),
        documents=sum(part.documents for part in parts),
        chunks=sum(part.chunks for part in parts),
        tokens=sum(part.tokens for part in parts),
        forgets=sum(part.forgets for part in parts),
        oldest=max((part.oldest for part in parts), default=0.0),
    )


def _files_of(ledger: Ledger, tenants: Collection[str]) -> dict[str, dict[str, int]]:
    """By tenant id: the files that its heads name, with their bytes."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row in ledger.named_files():
        if row.tenant in tenants:
            found[row.tenant][row.file] = row.nbytes
    return found


def _cached(cache: Path | None, names: Iterable[str]) -> Iterable[tuple[str, int]]:
    """(name, bytes) of the files that have pages in the range cache."""
    if cache is None or not cache.is_dir():
        return
    folders = {path.name: path for path in cache.iterdir()}
    for name in names:
        folder = folders.get(xxhash.xxh3_128_hexdigest(name.encode()))
        if folder is not None and (nbytes := _bytes_in(folder)):
            yield name, nbytes


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # pushed out meanwhile
            continue
    return total
