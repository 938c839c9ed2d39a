"""Files of many documents: every good row is a document, every bad one says what is wrong."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document import ParsedDocument
from mplus_ray.pipeline.parsing.multi_document import read_many
from mplus_ray.pipeline.parsing.parse import parse_bytes
from mplus_ray.pipeline.parsing.records.record import Record


def read(name: str, data: bytes) -> list[Record]:
    return list(read_many(io.BytesIO(data), name))


def documents(name: str, data: bytes) -> list[ParsedDocument]:
    return [record.load() for record in read(name, data)]


def reasons(name: str, data: bytes) -> list[str]:
    return [str(r.outcome) for r in read(name, data) if isinstance(r.outcome, DocumentError)]


def table(**columns: list) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


class TestCsv:
    def test_columns_by_name(self) -> None:
        data = b'id,Title,TEXT,author\n7,Owls,"The owl\nis brown.",Ann\n,,Second,\n'
        first, second = read("birds.csv", data)
        assert (first.id, second.id) == ("7", None)
        assert first.load() == ParsedDocument(
            "Owls", "The owl\nis brown.", metadata={"format": "csv", "author": "Ann"}
        )
        assert second.load().title == "birds 2"

    def test_without_a_known_name_the_longest_column(self) -> None:
        data = (
            b"when;what;title\n2026;It rained all day long.;a title that is much longer than it\n"
        )
        (document,) = documents("log.csv", data)
        assert document.text == "It rained all day long."

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_a_byte_order_mark_tells_the_encoding(self, encoding: str) -> None:
        (document,) = documents("a.csv", "text\nGrüße\n".encode(encoding))
        assert document.text == "Grüße"

    def test_a_long_field_is_text(self) -> None:
        assert len(documents("a.csv", b"text\n" + b"word " * 100_000 + b"\n")[0].text) == 500_000

    def test_bad_rows_leave_the_others(self) -> None:
        data = b"id,text\n1,Good.\n2\n3,\xff\n4, \n\n5,Good too.\n"
        assert [r.number for r in read("a.csv", data)] == [1, 2, 3, 4, 5]
        assert reasons("a.csv", data) == [
            "a.csv, row 2 holds no text, so there is nothing to memorize",
            "a.csv, row 3 is not valid UTF-8; convert the file",
            "a.csv, row 4 holds no text, so there is nothing to memorize",
        ]

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "no header"),
            (b"text,text\na,b\n", "name each column once"),
            (b"text\n", "holds no documents"),
            (b"PK\x03\x04 and so on", "damaged ZIP archive"),
            (b"\xff\xfet\x00e\x00\x00", "truncated data|holds no documents"),
        ],
    )
    def test_a_broken_file_is_refused(self, data: bytes, said: str) -> None:
        with pytest.raises(DocumentError, match=said):
            read("a.csv", data)

    def test_a_quote_that_is_never_closed_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("csv.field_size_limit", lambda: None)
        monkeypatch.setattr("mplus_ray.pipeline.parsing.records.csv.MAX_RECORD", 1000)
        with pytest.raises(DocumentError, match="has a line longer than"):
            read("a.csv", b'text\n"' + b"x" * 2000)


class TestJsonLines:
    def test_other_fields_are_metadata(self) -> None:
        data = (
            b'{"id": 7, "text": "One.", "lang": "en", "sections": 1, "metadata": {"a": null}}\n\n'
        )
        (record,) = read("a.ndjson", data)
        assert record.id == "7"
        assert record.load().metadata == {
            "format": "jsonl",
            "lang": "en",
            "_sections": 1,
            "a": None,
        }

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (b"{", "line 1 is not JSON"),
            (b"3", "no JSON object"),
            (b'{"text": null}', 'no "text" that is a string'),
            (b'{"text": "x", "title": 1}', "is no string"),
            (b'{"text": "x", "id": {}}', "neither a string nor"),
            (b'{"text": "x", "metadata": {"a": NaN}}', "NaN is no number"),
            (b'{"text": "x", "metadata": {"a": ' + b"9" * 5000 + b"}}", "not JSON"),
            (b"\xe9", "not valid UTF-8 at byte 0"),
            (b'{"text": "' + b"x" * 1_000_001 + b'"}', "look like encoded data"),
        ],
    )
    def test_a_bad_line_says_what_is_wrong(self, line: bytes, said: str) -> None:
        data = line + b'\n{"text": "Good."}\n'
        (reason,) = reasons("a.jsonl", data)
        assert said in reason
        assert len(read("a.jsonl", data)) == 2

    def test_an_empty_file_is_refused(self) -> None:
        with pytest.raises(DocumentError, match="holds no documents"):
            read("a.jsonl", b"\n\n")


class TestParquet:
    def test_columns_by_name(self) -> None:
        data = table(
            id=["a", None],
            body=["One.", "Two."],
            score=[0.5, float("nan")],
            at=[datetime(2026, 1, 2), None],  # noqa: DTZ001
            vector=[[1.0], [2.0]],
            blob=[b"x", b"y"],
        )
        first, second = read("a.parquet", data)
        assert (first.id, second.id) == ("a", None)
        assert first.load().metadata == {
            "format": "parquet",
            "score": 0.5,
            "at": "2026-01-02 00:00:00",
        }
        assert second.load().metadata["score"] is None

    def test_a_row_without_text_is_one_failure(self) -> None:
        data = table(text=["One.", None, "", "Four."])
        assert [r.number for r in read("a.parquet", data)] == [1, 2, 3, 4]
        assert len(reasons("a.parquet", data)) == 2

    @pytest.mark.parametrize("data", [b"PAR1", b"text", table(text=["One."] * 1000)[:-40]])
    def test_a_damaged_file_is_refused(self, data: bytes) -> None:
        with pytest.raises(DocumentError, match=r"a\.parquet is a damaged or unsupported"):
            read("a.parquet", data)

    def test_without_text_it_is_refused(self) -> None:
        with pytest.raises(DocumentError, match=r"no column with text.*there are: n"):
            read("a.parquet", table(n=[1, 2]))

    def test_it_is_read_by_batch(self, tmp_path: Path) -> None:
        """Also one value of 2 MiB in each of 200 rows, which packs to 2 MiB."""
        file = tmp_path / "a.parquet"
        text = "The same long words again. " * (2 * 2**20 // 27)
        pq.write_table(pa.table({"text": pa.array([text] * 200).dictionary_encode()}), file)
        process = psutil.Process()
        before = process.memory_info().rss
        with file.open("rb") as stream:
            records = read_many(stream, str(file))
            peak = max(process.memory_info().rss for _ in zip(range(3), records, strict=False))
        assert peak - before < 60 * 2**20


def test_many_that_are_part_of_another_are_one() -> None:
    parsed = parse_bytes(b'{"text": "One."}\n{}\n{"id": "b", "text": "Two."}\n', "a.jsonl")
    assert parsed.text == "One.\n\nb\n\nTwo."
    assert [(one.kind, one.count) for one in parsed.left_out] == [(".jsonl row", 1)]
