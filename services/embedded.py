"""The whole system in one process: the ledger, the model and both roles, opened when needed."""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mplus_ray.model.errors import TenantNotFoundError
from mplus_ray.pipeline.ledger.ledger import Ledger
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.services.private_files import private_folder
from mplus_ray.services.settings import Settings

if TYPE_CHECKING:
    from mplus_ray.actors.reading.reader import Reader
    from mplus_ray.model import MPlus
    from mplus_ray.model.object_store.object_store import ObjectStore
    from mplus_ray.pipeline.installation import Installation, StoreUrl
    from mplus_ray.pipeline.writing.engine import Engine, Stores


class Embedded:
    """What one command works with; leaving it closes what it opened."""

    def __init__(self, settings: Settings, write_only: bool = False) -> None:
        """
        Args:
            write_only: leave out weights that only answering needs.
        """
        self.settings = settings
        self._write_only = write_only

    @cached_property
    def ledger(self) -> Ledger:
        private_folder(self.settings.data)
        return Ledger(self.settings.ledger_url)

    def existing_tenant(self, name: str) -> TenantLog:
        """A tenant's log, without making a data directory in order to look."""
        if not self.settings.exists:
            raise TenantNotFoundError(
                f"there is no tenant {name!r}: {self.settings.data} holds no memory; "
                "`mplus ingest --tenant NAME PATH` makes one"
            )
        return self.ledger.tenant(name)

    @cached_property
    def model(self) -> MPlus:
        from mplus_ray.model import MPlus

        return MPlus.load(self.settings.checkpoint, write_only=self._write_only)

    @cached_property
    def files(self) -> ObjectStore:
        return self._store.open()

    @property
    def installation(self) -> Installation:
        """What other processes open."""
        from mplus_ray.pipeline.installation import Installation

        return Installation(self.settings.checkpoint, self.settings.ledger_url, self._store)

    def create_tenant(self, name: str, **settings: Any) -> TenantLog:
        """The log of a tenant for the loaded model; see `Ledger.create_tenant`."""
        from mplus_ray.pipeline.ledger.tenant import default_precision

        geometry = self.model.config.to_dict()
        return self.ledger.create_tenant(
            name,
            self.model.fingerprint,
            bytes_per_step=self.step_bytes(
                settings.get("precision") or default_precision(geometry)
            ),
            geometry=geometry,
            **settings,
        )

    def step_bytes(self, precision: str) -> int:
        """Bytes that the rows of one step of the loaded model take."""
        from mplus_ray.model.store.row_format import RowFormat

        config = self.model.config
        rows = config.num_hidden_layers * config.num_tokens
        return rows * RowFormat.of(config, precision).row_bytes

    @cached_property
    def stores(self) -> Stores:
        from mplus_ray.pipeline.writing.engine import Stores

        return Stores(self.ledger, self.files)

    @cached_property
    def reader(self) -> Reader:
        from mplus_ray.actors.reading.reader import Reader

        return Reader(self.model, self.files)

    @cached_property
    def engine(self) -> Engine:
        from mplus_ray.pipeline.writing.engine import Engine

        return Engine.of(self.model, self.ledger, self.files)

    @property
    def _store(self) -> StoreUrl:
        from mplus_ray.pipeline.installation import StoreUrl

        settings = self.settings
        return StoreUrl(settings.store_url, settings.data / "cache", settings.cache_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if "ledger" in vars(self):
            self.ledger.close()
