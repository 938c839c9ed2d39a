"""Every field of a public dataclass is documented, and docstrings say what they are about."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGES = ("model", "actors", "pipeline", "services", "deploy", "bench")
_TOLD = '''
@dataclass
class A:
    """One: two.

    Attributes:
        {}
    """
    x: int
    y: int
'''
_ENTRY = re.compile(r"^\s*((?:\w+(?:, )?)+)(?: \[[^\]]*\])?:(?:\s|$)", re.MULTILINE)


def files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def undocumented(source: str) -> Iterator[str]:
    """`Class.field` of every public field of a public dataclass that nothing says the meaning of.

    Said is what stands in the docstring under `Attributes:` or `Args:`, names with a colon; or in
    a comment at the field's end or right above it.
    """
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_") or not _is_data(node):
            continue
        said = {
            name
            for entry in _ENTRY.findall(ast.get_docstring(node, clean=True) or "")
            for name in entry.split(", ")
        }
        for field in node.body:
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            name, last = field.target.id, (field.end_lineno or 1) - 1
            above = lines[field.lineno - 2].lstrip()
            commented = "  # " in lines[last] or above.startswith("# ")
            if not name.startswith("_") and name not in said and not commented:
                yield f"{node.name}.{name}"


def _is_data(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_field_is_documented(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {field}"
        for path in files()
        if (ROOT / package) in path.parents
        for field in undocumented(path.read_text("utf-8"))
    ]
    assert not wrong, f"{len(wrong)} fields are not documented:\n" + "\n".join(wrong)


def test_docstrings_do_not_point_elsewhere() -> None:
    """One that says "the same" or "see" leaves the reader to find out of what."""
    pointing = re.compile(r"(The same|See|Like the above)\b")
    wrong = [
        f"{path.relative_to(ROOT)}:{node.body[0].lineno}"
        for path in files()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
        and pointing.match(ast.get_docstring(node) or "")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "source",
    [
        _TOLD.format("x, y: both."),
        "@dataclass(frozen=True)\nclass A:\n    x: int  # one\n    # Two.\n    y: int",
        "@dataclass\nclass _A:\n    x: int",
        "class A:\n    x: int",
    ],
)
def test_documented_fields_are_seen(source: str) -> None:
    assert list(undocumented(source)) == []


def test_an_undocumented_field_is_found() -> None:
    assert list(undocumented(_TOLD.format("x: this."))) == ["A.y"]
