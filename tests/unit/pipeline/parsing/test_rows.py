# ruff: noqa: E501 (tables are written out as they lie in a file)
"""Tables and lines as people write them: which rows there are, and what is in them."""

from __future__ import annotations

import io

import pytest

from mplus_ray.model.errors import DocumentError
from mplus_ray.pipeline.parsing.document_id import storable
from mplus_ray.pipeline.parsing.multi_document import read_many


def rows(name: str, text: str) -> list[str]:
    return [each.load().text for each in read_many(io.BytesIO(text.encode()), name)]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("id;text\n1;One, two, three, four.\n2;Five, six.\n", ["One, two, three, four.", "Five, six."]),
        ("id|text\n1|The quay, which is old, is shut.\n", ["The quay, which is old, is shut."]),
        ("sep=;\nid;text\n1;The quay is shut.\n", ["The quay is shut."]),
        ("Report\nMade in 2024\nid,text\n1,Shut.\n2,Open.\n", ["Shut.", "Open."]),
        ("Red boat.\nBlue boat.\n", ["Red boat.", "Blue boat."]),
        (",name,town\n0,Mira,Dorvas\n1,Tomas,Bo\n", ["name: Mira; town: Dorvas", "name: Tomas; town: Bo"]),
        ("name,,town\nMira,watchmaker,Dorvas\n", ["name: Mira; town: Dorvas; watchmaker"]),
        ("id,text\r1,Shut.\r2,Open.\r", ["Shut.", "Open."]),
    ],
)  # fmt: skip
def test_rows_of_a_table(table: str, expected: list[str]) -> None:
    assert rows("a.csv", table) == expected


def test_a_column_without_a_name_is_kept_beside_the_text() -> None:
    (row,) = read_many(io.BytesIO(b"id,,text\n1,a note,The quay is shut.\n"), "a.csv")
    assert row.load().metadata == {"format": "csv", "column 2": "a note"}


def test_an_array_is_read_whatever_its_name_says() -> None:
    assert rows("a.jsonl", '[{"text": "a"}, {"text": "b"}]') == ["a", "b"]
    lines = list(read_many(io.BytesIO(b'["a"]\n{"text": "b"}\n'), "a.jsonl"))
    assert isinstance(lines[0].outcome, DocumentError)
    assert lines[1].load().text == "b"


def test_half_a_character_is_shown_as_lost() -> None:
    assert storable("x \ud83d y \0") == "x � y �"
    assert storable("\ud83d\ude00") == "😀"
