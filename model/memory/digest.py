"""One hash over everything that a memory can answer from; equal memories have equal digests."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
import xxhash

from mplus_ray.model.ids import Ids
from mplus_ray.model.memory.memory import Memory
from mplus_ray.model.store.row_store import RowStore
from mplus_ray.model.store.segments import Lengths

_WINDOW = 64  # steps whose rows are read at a time


def digest(memory: Memory) -> str:
    """Hash of step, weights, precision, pool, long-term rows, their order and their bytes.

    How the rows are spread over files does not matter, nor which tenant they belong to.
    """
    membership, store = memory.membership, memory.store
    found = hashlib.blake2b(digest_size=16)
    found.update(f"{memory.fingerprint} {store.format} {memory.step}".encode())
    own: list[Ids] = []
    for layer, pool in enumerate(membership.pool):
        long_term = membership.retrievable(layer)
        for part in (pool, long_term, membership.remaining[layer]):
            found.update(len(part).to_bytes(8, "little") + np.ascontiguousarray(part).tobytes())
        ids = np.sort(np.concatenate([pool, long_term]))
        own.append(
            store.present(ids[ids >= 0])
        )  # the checkpoint's hash stands for the bytes of its rows
    for part_of_all in _row_hashes(store, own):
        found.update(part_of_all)
    return found.hexdigest()


def _row_hashes(store: RowStore, own: list[Ids]) -> list[bytes]:
    """A hash for every layer's keys and values and for its retriever keys, in the rows' order."""
    hashes = [(xxhash.xxh3_128(), xxhash.xxh3_128()) for _ in own]
    size = store.config.num_tokens
    for first, rows in store.parts(_WINDOW):
        lengths = None if rows.lengths is None else Lengths(rows.lengths, size)
        end = first + (rows.rows if lengths is None else len(lengths.counts) * size)
        for layer, (ids, pair) in enumerate(zip(own, hashes, strict=True)):
            low, high = np.searchsorted(ids, [first, end])
            local = ids[low:high] - first
            at = torch.from_numpy(local if lengths is None else lengths.places(local))
            for column, part in zip((rows.kv, rows.keys), pair, strict=True):
                chosen = column[layer].cpu().index_select(0, at).contiguous()
                part.update(chosen.view(torch.uint8).numpy().data)
    return [part.digest() for pair in hashes for part in pair]
