"""A memory from its files: row shards attached where they lie, membership from the seed."""

from __future__ import annotations

from collections.abc import Sequence

from mplus_ray.model.object_store.object_store import Files
from mplus_ray.model.store.file_refs import Shard
from mplus_ray.model.store.row_store import RowStore
from mplus_ray.model.store.shards import check_shard


def attach(store: RowStore, files: Files, shards: Sequence[Shard], fingerprint: str) -> None:
    """Add shards to a store, from the step where it ends; nothing of their rows is copied.

    Raises:
        DamagedFileError: a file is missing or not what was written.
        FingerprintMismatchError: other weights made it.
    """
    # Of a remote file only what is needed is read, so its whole is checked by `mplus verify`.
    if files.local is not None:
        for shard in shards:
            check_shard(files, shard, fingerprint)
    store.attach(files, shards)
