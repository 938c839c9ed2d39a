"""What a process opens to work on an installation's tenants, wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mplus_ray.model.object_store.object_store import ObjectStore
    from mplus_ray.pipeline.writing.engine import Engine


@dataclass(frozen=True)
class StoreUrl:
    """Where an actor finds the row store.

    Attributes:
        url: a path, s3://… or gs://….
        cache, cache_bytes: folder and size of the local cache of a remote store.
    """

    url: str
    cache: Path
    cache_bytes: int = 4 << 30

    def open(self) -> ObjectStore:
        from mplus_ray.model.object_store.object_store import ObjectStore
        from mplus_ray.model.object_store.range_cache import RangeCache

        return ObjectStore.open(self.url, RangeCache(self.cache, self.cache_bytes))


@dataclass(frozen=True)
class Installation:
    """What a writer in another process opens.

    Attributes:
        checkpoint: a folder or hub id that it finds where it runs.
        ledger_url: of a database that it reaches.
        store: where the rows are.
    """

    checkpoint: str
    ledger_url: str
    store: StoreUrl

    def engine(self) -> Engine:
        """The weights of the write role, over this ledger and store.

        Raises:
            MPlusError: one of the three cannot be opened.
        """
        from mplus_ray.model import MPlus
        from mplus_ray.pipeline.ledger.ledger import Ledger
        from mplus_ray.pipeline.writing.engine import Engine

        model = MPlus.load(self.checkpoint, write_only=True)
        return Engine.of(model, Ledger(self.ledger_url), self.store.open())
