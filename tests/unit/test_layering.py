"""Imports go services → pipeline → actors → model (STYLE 2); nobody imports deploy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "model": {"actors", "pipeline", "services", "bench", "deploy", "tests", "ray"},
    "actors": {"pipeline", "services", "bench", "deploy", "tests"},
    "pipeline": {"services", "bench", "deploy", "tests"},
    "services": {"deploy", "tests", "torch"},
    "bench": {"deploy", "tests"},
    "deploy": {"tests"},
}

# Imports every given module, then says whether `forbidden` came along and who asked for it.
PROBE = """
import importlib, sys, traceback

forbidden, *modules = sys.argv[1:]


class Witness:
    def find_spec(self, name, path=None, target=None):
        if name == forbidden:
            traceback.print_stack(file=sys.stderr)
        return None


sys.meta_path.insert(0, Witness())
for module in modules:
    importlib.import_module(module)
sys.exit(f"{forbidden} was imported" if forbidden in sys.modules else 0)
"""


def imported(source: str) -> list[tuple[int, str]]:
    """(line, top-level package) of every import, also the lazy and the type-only ones."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.lineno, node.module.split(".")[0]))
    return found


def wrong_imports(package: str, source: str) -> list[tuple[int, str]]:
    return [(line, name) for line, name in imported(source) if name in FORBIDDEN[package]]


def modules(package: str) -> list[str]:
    paths = [p.relative_to(ROOT).with_suffix("") for p in (ROOT / package).rglob("*.py")]
    names = {".".join(p.parts).removesuffix(".__init__") for p in paths}
    return sorted(name for name in names if not name.endswith("__main__"))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, name in wrong_imports(package, path.read_text("utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("package", "forbidden"), [("model", "ray"), ("services", "torch")])
def test_import_leaves_out(package: str, forbidden: str) -> None:
    """Also through what a package imports in turn; a lazy import in a function is allowed."""
    names = modules(package)
    assert names, f"{package}/ has no modules"
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, forbidden, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert probe.returncode == 0, probe.stderr


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("model", "import ray"),
        ("model", "def f():\n    from ray import serve"),
        ("actors", "from pipeline.ledger import Ledger"),
        ("pipeline", "import services.api as api"),
        ("services", "if TYPE_CHECKING:\n    import torch.nn"),
        ("services", "from deploy import app"),
    ],
)
def test_a_wrong_import_is_found(package: str, source: str) -> None:
    assert wrong_imports(package, source)


def test_an_import_downwards_is_right() -> None:
    source = (
        "import model.errors, raytracer\nfrom actors.writer import Writer\nfrom . import deploy"
    )
    assert not wrong_imports("services", source)
