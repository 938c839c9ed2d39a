"""Taking a source into a log, and what is in the log then."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq

from mplus_ray.pipeline.ingest.ingestor import DocumentChunker, IngestReport, take_in
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from tests.unit.fakes import FakeTokenizer


def take(log: TenantLog, source: object, **options: object) -> IngestReport:
    return take_in(source, lambda: DocumentChunker(log, FakeTokenizer(64)), log=log, **options)  # type: ignore[arg-type]


def keys(log: TenantLog) -> list[str]:
    return [document.key for document in log.documents()]


def lines(*records: object) -> bytes:
    return b"".join(
        (r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in records
    )


def parquet(*texts: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": list(texts)}), buffer)
    return buffer.getvalue()
