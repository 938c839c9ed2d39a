"""A bucket, and files of many documents in it."""

from __future__ import annotations

from urllib.parse import quote

import pyarrow.fs as pafs
import pytest

import tests.s3
from mplus_ray.model.errors import InvalidInputError, StorageError
from mplus_ray.pipeline.ledger.tenant_log import TenantLog
from mplus_ray.pipeline.sources import (
    open_sources,
    read_again,
)
from tests.unit.pipeline.sources.taking import keys, lines, parquet, take


class TestBucket:
    def put(self, s3: tests.s3.S3, name: str, data: bytes) -> None:
        files, path = pafs.FileSystem.from_uri(s3.url(quote(name)))
        with files.open_output_stream(path) as stream:
            stream.write(data)

    def test_everything_below_a_prefix(self, log: TenantLog, s3: tests.s3.S3) -> None:
        for name, data in {
            "in/b.txt": b"The owl is brown.",
            "in/a b#1.txt": b"The raven is black.",
            "in/deep/faq.jsonl": lines({"text": "One."}, b"?"),
            "in/deep/t.csv": b"id,text\nx,The swan is white.\n",
            "in/picture.png": b"x",
            "inside.txt": b"Not below it.",
        }.items():
            self.put(s3, name, data)
        intake = take(log, open_sources([s3.url("in")]))
        root = f"s3://{tests.s3.BUCKET}/in"
        assert keys(log) == [
            f"{root}/a b#1.txt",
            f"{root}/b.txt",
            f"{root}/deep/faq.jsonl#1",
            f"{root}/deep/t.csv#x",
        ]
        assert intake.failures == 1
        self.put(s3, "in/deep/faq.jsonl", lines({"text": "One."}, {"text": "Two."}))
        assert take(log, read_again(log.failures.list())).new == 1
        assert log.failures.list() == []

    def test_one_object(self, log: TenantLog, s3: tests.s3.S3) -> None:
        self.put(s3, "one/a.md", b"# Ravens\n\nThey are black.")
        url = s3.url("one/a.md")
        assert take(log, open_sources([url])).new == 1
        assert log.documents()[0].source == url
        assert take(log, open_sources([url], key="mine")).new == 1
        assert keys(log)[1] == "mine"

    def test_a_broken_object_leaves_the_others(self, log: TenantLog, s3: tests.s3.S3) -> None:
        self.put(s3, "bad/a.parquet", b"PAR1x")
        self.put(s3, "bad/b.txt", b"Good.")
        intake = take(log, open_sources([s3.url("bad")]))
        assert (intake.new, intake.failures) == (1, 1)
        source = intake.failed[0].source
        self.put(s3, "bad/a.parquet", parquet("Mended."))
        assert [f.source for f in log.failures.list()] == [source]
        assert take(log, read_again(log.failures.list())).new == 1

    def test_an_empty_prefix_is_named(self, log: TenantLog, s3: tests.s3.S3) -> None:
        with pytest.raises(InvalidInputError, match="has no document in it"):
            take(log, open_sources([s3.url("nothing")]))

    def test_nobody_answers(self, log: TenantLog, s3: tests.s3.S3) -> None:
        with pytest.raises(StorageError, match="cannot be reached"):
            take(log, open_sources([tests.s3.S3("127.0.0.1:9").url("x")]))
