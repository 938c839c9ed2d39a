"""The whole API in this process: a real ledger, real files, a tiny model, a writer and a reader."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from mplus_ray.actors.reading.engine import Answering
from mplus_ray.model import MPlus
from mplus_ray.model.store.row_format import RowFormat
from mplus_ray.pipeline.ledger.api_keys import TENANT_SCOPES
from mplus_ray.pipeline.ledger.tenant import PRECISIONS
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.maintenance.repair import verify
from mplus_ray.pipeline.workers.worker import Worker
from mplus_ray.services.api.app import build
from mplus_ray.services.api.ask.local_readers import LocalReaders
from mplus_ray.services.api.deps import Deps, Limits, ReaderClient
from tests.checkpoints import write_checkpoint
from tests.worlds import World, without_flushing

SECONDS = 30.0  # that anything here may take


@dataclass
class ApiWorld:
    """A running API.

    Attributes:
        client: sends requests to it.
        operator: the operator's key.
    """

    world: World
    deps: Deps
    app: FastAPI
    client: httpx2.Client
    answering: Answering
    operator: str

    @property
    def url(self) -> str:
        """Of the real server."""
        return str(self.client.base_url).rstrip("/")

    def fresh(self, *scopes: str, **settings: Any) -> dict[str, str]:
        """The headers of a key to a tenant that nobody else uses."""
        return self.tenant(uuid.uuid4().hex, *scopes, **settings)[1]

    def tenant(self, name: str, *scopes: str, **settings: Any) -> tuple[TenantLog, dict[str, str]]:
        """A tenant, and the headers of a key to it with these scopes (all, if none is given)."""
        log = self.world.tenant(name, **settings)
        return log, self.headers(log, *scopes)

    def headers(self, log: TenantLog | None, *scopes: str) -> dict[str, str]:
        _, secret = self.world.ledger.credentials.create(log, scopes or TENANT_SCOPES)
        return bearer(secret)

    def log(self, headers: Mapping[str, str]) -> TenantLog:
        """The tenant of a key."""
        secret = headers["authorization"].removeprefix("Bearer ")
        _, log = self.world.ledger.caller(secret)
        assert log is not None
        return log

    def memorize(self, headers: Mapping[str, str], text: str, **fields: Any) -> dict[str, Any]:
        """Hand a document in and wait until it can be asked about."""
        sent = {"text": text, **fields}
        answer = self.client.post("/v1/documents?wait=true", json=sent, headers=dict(headers))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ask(self, headers: Mapping[str, str], question: str, **fields: Any) -> httpx2.Response:
        sent = {"question": question, "max_tokens": 4, **fields}
        return self.client.post("/v1/query", json=sent, headers=dict(headers))


def endless_model(folder: Path) -> MPlus:
    """No token ends an answer, so each has as many as it may."""
    changes: dict[str, Any] = {"retrieval": "blocks", "eos_token_ids": ()}
    write_checkpoint(folder, num_hidden_layers=2, **changes)
    return MPlus.load(folder, device="cpu")


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@contextmanager
def serving(
    model: MPlus,
    folder: Path,
    *,
    limits: Limits | None = None,
    writer: bool = True,
    loopback: bool = False,
    **changes: Any,
) -> Iterator[ApiWorld]:
    """A running API over an installation in `folder`.

    Args:
        writer: whether documents are memorized.
        loopback: whether it is behind a real server.
        changes: of `Deps`.
    """
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        without_flushing(patch.setattr)
        world = World(model, f"sqlite:///{folder / 'ledger.db'}", folder / "rows")
        stack.callback(world.close)
        answering = Answering(model, world.files, device_bytes=1 << 30, host_bytes=1 << 30)
        stack.callback(answering.stop)
        deps = replace(
            _deps(world, LocalReaders(answering)),
            limits=limits or Limits(parse_seconds=20.0),
            **changes,
        )
        app = build(deps)
        _, operator = world.ledger.credentials.create(None, ["operator"])
        if writer:
            stack.enter_context(_writing(world))
        client = stack.enter_context(
            _on_loopback(app) if loopback else TestClient(app, raise_server_exceptions=False)
        )
        yield ApiWorld(world, deps, app, client, answering, operator)


@contextmanager
def _writing(world: World) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=lambda: Worker(world.engine).run(stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(SECONDS)


@contextmanager
def _on_loopback(app: FastAPI) -> Iterator[httpx2.Client]:
    """The app behind a real server, and a client of it."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(SECONDS)


def until(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What a condition gives as soon as it is something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)
    return found


def _deps(world: World, readers: ReaderClient) -> Deps:
    model = world.model
    config = model.config
    rows = config.num_hidden_layers * config.num_tokens

    async def repair(log: TenantLog) -> None:
        await asyncio.to_thread(verify, world.engine, log)

    return Deps(
        ledger=world.ledger,
        files=world.files,
        tokenizer=model.tokenizer,
        fingerprint=model.fingerprint,
        model_name="mplus-test",
        readers=readers,
        genesis=model.empty_memory().membership,
        step_bytes={name: rows * RowFormat.of(config, name).row_bytes for name in PRECISIONS},
        repair=repair,
        spool=world.folder.parent,
    )
