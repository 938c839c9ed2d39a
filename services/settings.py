"""Where things are: options, then the environment, then the configuration file, then defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.config_file import with_config
from mplus_ray.services.cross_origin import CrossOrigin, read_cross_origin
from mplus_ray.services.webhooks.hosts import WebhookHosts, read_hosts

DEFAULT_CHECKPOINT = "mplus-small"  # `mplus get small` makes it complete


@dataclass(frozen=True)
class Settings:
    """One embedded installation.

    Attributes:
        data: the data directory.
        checkpoint: as `find_checkpoint` takes it.
        ledger_url: `sqlite:///…` or `postgresql+psycopg://…`.
        store_url: a path, `s3://…` or `gs://…`.
        cache_bytes: of a remote store, kept in the data directory.
        cross_origin: which web pages may call the API.
        webhook_hosts: that webhooks may have beside those of the internet.
    """

    data: Path
    checkpoint: str
    ledger_url: str
    store_url: str
    cache_bytes: int = 4 << 30
    cross_origin: CrossOrigin = field(default_factory=CrossOrigin)
    webhook_hosts: WebhookHosts = field(default_factory=WebhookHosts)

    @property
    def ledger_path(self) -> Path | None:
        """The ledger's file, where it is one."""
        _, found, path = self.ledger_url.partition("sqlite:///")
        return Path(path) if found else None

    @property
    def exists(self) -> bool:
        """Whether there is a ledger to look into; looking makes none."""
        return self.ledger_path is None or self.ledger_path.exists()

    @classmethod
    def read(
        cls,
        data: Path | None = None,
        checkpoint: str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Settings:
        """Arguments first, then MPLUS_DATA, MPLUS_CHECKPOINT, MPLUS_LEDGER_URL,
        MPLUS_STORE_URL, MPLUS_CACHE_BYTES, MPLUS_CORS_ORIGINS, MPLUS_CORS_CREDENTIALS and
        MPLUS_WEBHOOK_HOSTS, then the configuration file, then the defaults.

        The data directory defaults to `mplus` in the user's own (XDG_DATA_HOME, or
        ~/.local/share), so that a memory is found again from any working directory.

        Raises:
            InvalidInputError: the file or a variable says what cannot be.
        """
        environment = with_config(environment)
        home = environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        folder = (data or Path(environment.get("MPLUS_DATA") or Path(home) / "mplus")).absolute()
        return cls(
            data=folder,
            checkpoint=checkpoint or environment.get("MPLUS_CHECKPOINT") or DEFAULT_CHECKPOINT,
            ledger_url=environment.get("MPLUS_LEDGER_URL") or f"sqlite:///{folder / 'ledger.db'}",
            store_url=environment.get("MPLUS_STORE_URL") or str(folder / "rows"),
            cache_bytes=_bytes(environment.get("MPLUS_CACHE_BYTES"), cls.cache_bytes),
            cross_origin=read_cross_origin(
                environment.get("MPLUS_CORS_ORIGINS"), environment.get("MPLUS_CORS_CREDENTIALS")
            ),
            webhook_hosts=read_hosts(environment.get("MPLUS_WEBHOOK_HOSTS")),
        )


def _bytes(text: str | None, default: int) -> int:
    if not text:
        return default
    if not text.isdigit():
        raise InvalidInputError(f"MPLUS_CACHE_BYTES is {text!r}; give a number of bytes")
    return int(text)
