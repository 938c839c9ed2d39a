"""One document is cut alike, and makes one memory, by whatever door it comes in."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow.fs as pafs
import pytest

import tests.s3
from mplus_ray.model import MPlus
from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, take_in
from mplus_ray.pipeline.ingest.parallel_parsing import _item, _parse
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.sources import Item, divided, open_sources
from mplus_ray.pipeline.sources.stdin import JsonLines
from tests.api_world import ApiWorld, serving, until
from tests.checkpoints import write_checkpoint
from tests.unit.pipeline.sources.test_kafka import Cluster
from tests.unit.services.api.mcp_server.test_tools import call

s3 = tests.s3.s3

FACT = "He opened it in 1871 and closed it soon after. Ships wait outside for days. "
SECTIONS = ("Tides", "Pilots", "Lights", "Winds", "Ice", "Fog")
FILE = "# Harbour of Dorvas\n\n" + "\n\n".join(f"## {name}\n\n{FACT * 2}" for name in SECTIONS)
RECORD = {"id": "harbour", "title": "Harbour of Dorvas", "text": (FACT * 6).strip()}
QUESTION = "Ships wait outside for days. " * 4


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    folder = tmp_path_factory.mktemp("doors")
    write_checkpoint(folder / "checkpoint", num_hidden_layers=2, chunk_tokens=64, header_tokens=16)
    model = MPlus.load(folder / "checkpoint", device="cpu")
    with serving(model, folder, loopback=True) as world:
        yield world


class Doors:
    """Hands a document in by each door; every time for a tenant of its own."""

    def __init__(self, api: ApiWorld, s3: tests.s3.S3, folder: Path) -> None:
        self.api, self.s3, self.folder = api, s3, folder

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def command_line(self, source: Iterable[Item]) -> TenantLog:
        """What `mplus ingest` does with a source."""
        log = self.api.log(self.api.fresh())
        taken = take_in(
            source, lambda: DocumentChunker(log, self.api.world.model.tokenizer), log=log
        )
        assert (taken.new, taken.failures) == (1, 0)
        return log

    def http(self, **request: object) -> TenantLog:
        headers = self.api.fresh()
        request["headers"] = {**headers, **dict(request.get("headers") or {})}  # type: ignore[call-overload]
        answer = self.api.client.post("/v1/documents", **request)  # type: ignore[arg-type]
        assert answer.status_code == 202, answer.text
        return self.api.log(headers)

    def s3_object(self, path: Path) -> TenantLog:
        files, key = pafs.FileSystem.from_uri(self.s3.url(quote(path.name)))
        with files.open_output_stream(key) as stream:
            stream.write(path.read_bytes())
        return self.command_line(open_sources([self.s3.url(quote(path.name))]))

    def mcp(self) -> TenantLog:
        headers = self.api.fresh()
        sent = {name: RECORD[name] for name in ("title", "text")}
        failed, _ = call(self.api, headers, "memorize", **sent)
        assert not failed
        return self.api.log(headers)

    def kafka(self) -> TenantLog:
        cluster = Cluster()
        cluster.send("doors", RECORD)
        return self.command_line(cluster.source("doors"))


@pytest.fixture
def doors(api: ApiWorld, s3: tests.s3.S3, tmp_path: Path) -> Doors:
    return Doors(api, s3, tmp_path)


def digests(doors: Doors, logs: dict[str, TenantLog]) -> dict[str, tuple[int, str]]:
    """(chunks, digest) of what each tenant remembers, once all of it is memorized."""
    until(lambda: not any(log.waiting() for log in logs.values()))
    return {name: (log.length(), doors.api.world.digest(log)) for name, log in logs.items()}


def test_a_file_makes_one_memory(doors: Doors) -> None:
    path = doors.file("harbour.md", FILE)
    logs = {
        "command line": doors.command_line(open_sources([str(path)])),
        "S3": doors.s3_object(path),
        "parse workers": doors.command_line(by_a_worker(path)),
        "upload": doors.http(files=[("files", (path.name, path.read_bytes()))]),
    }
    found = digests(doors, logs)
    assert len(set(found.values())) == 1, found
    for chunk in logs["upload"].chunks(0):
        under = (*chunk.heading, chunk.text)
        assert any("Harbour of Dorvas" in each for each in under), chunk
    sections = [chunk.heading[-1] for chunk in logs["upload"].chunks(0) if len(chunk.heading) > 1]
    assert set(sections) == set(SECTIONS)


def test_a_record_makes_one_memory(doors: Doors) -> None:
    line = json.dumps(RECORD).encode() + b"\n"
    path = doors.file("harbour.jsonl", line.decode())
    lines = {"content-type": "application/x-ndjson"}
    logs = {
        "command line": doors.command_line(open_sources([str(path)])),
        "standard input": doors.command_line(JsonLines(io.BytesIO(line))),
        "JSON": doors.http(json=RECORD),
        "several": doors.http(json={"documents": [RECORD]}),
        "lines": doors.http(content=line, headers=lines),
        "upload": doors.http(files=[("files", (path.name, line))]),
        "MCP": doors.mcp(),
        "Kafka": doors.kafka(),
    }
    found = digests(doors, logs)
    assert len(set(found.values())) == 1, found


def test_a_chat_that_is_stored_makes_the_memory_of_its_text(api: ApiWorld, doors: Doors) -> None:
    headers = api.fresh()
    chat = {
        "model": "mplus-test",
        "messages": [{"role": "user", "content": QUESTION}],
        "store": True,
        "max_tokens": 4,
    }
    api.memorize(headers, RECORD["text"], id="before")
    answer = api.client.post("/v1/chat/completions", json=chat, headers=headers)
    assert answer.status_code == 200, answer.text
    log = api.log(headers)
    until(lambda: len(log.documents()) == 2)
    stored = log.documents()[1]
    told = api.fresh()
    api.memorize(told, RECORD["text"], id="before")
    api.memorize(told, log.text(stored.key), title=stored.title)
    found = digests(doors, {"chat": log, "JSON": api.log(told)})
    assert stored.end - stored.first_step > 1
    assert len(set(found.values())) == 1, found


def by_a_worker(path: Path) -> Iterator[Item]:
    """What `--parse-workers` does with a file, in this process."""
    files = divided(open_sources([str(path)]))
    assert files is not None
    for file in files:
        for piece in _parse(file):
            yield _item(piece)
