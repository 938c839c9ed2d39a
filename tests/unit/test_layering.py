"""Imports go services → pipeline → actors → model; nobody imports deploy."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.paths import ROOT

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
    """(line, package) of every import, also the lazy and the type-only ones.

    Of ours the package is what follows `mplus_ray.`; without that prefix it would be a second copy
    of the module under another name, which is told as "no mplus_ray".
    """
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(node.lineno, name) for name in names]
    return [(line, _package(name.split("."))) for line, name in found]


def _package(name: list[str]) -> str:
    if name[0] in FORBIDDEN:
        return "no mplus_ray"
    return name[1] if name[0] == "mplus_ray" and len(name) > 1 else name[0]


def wrong_imports(package: str, source: str) -> list[tuple[int, str]]:
    wrong = FORBIDDEN[package] | {"no mplus_ray"}
    return [(line, name) for line, name in imported(source) if name in wrong]


def modules(package: str) -> list[str]:
    paths = [p.relative_to(ROOT).with_suffix("") for p in (ROOT / package).rglob("*.py")]
    names = {".".join(p.parts).removesuffix(".__init__") for p in paths}
    scripts = ("__main__", "migrations.env")
    return sorted(f"mplus_ray.{name}" for name in names if not name.endswith(scripts))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, name in wrong_imports(package, path.read_text("utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_imports_go_in_a_circle() -> None:
    """Nor do lazy ones; `model/__init__.py` alone may name what imports it, to hand it on."""
    graph = {name: uses(name) for package in FORBIDDEN for name in modules(package)}
    graph["mplus_ray.model"] = set()
    TopologicalSorter(graph).prepare()  # or it raises CycleError, with the circle


def uses(module: str) -> set[str]:
    """The modules that one imports by name."""
    path = ROOT / Path(*module.split(".")[1:])
    parents = [*module.split("."), "_"] if path.is_dir() else module.split(".")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = parents[: -node.level] if node.level else []  # of a relative import
            name = ".".join([*above, *([node.module] if node.module else [])])
            found |= {name, *(f"{name}.{alias.name}" for alias in node.names)}
    return found - {module}


def test_the_client_imports_nothing_of_ours() -> None:
    """It is a distribution of its own, which needs httpx and pydantic alone; adapters bring what
    they adapt to.
    """
    folder = ROOT / "services" / "client"
    for path in folder.rglob("*.py"):
        packages = {name for _, name in imported(path.read_text("utf-8"))}
        others = packages - sys.stdlib_module_names - {"anyio", "httpx", "pydantic"}
        if "adapters" not in path.parts:
            assert not others, path
        assert not others & {"mplus_ray", "mplus_client", *FORBIDDEN}, path


@pytest.mark.parametrize(("package", "forbidden"), [("model", "ray"), ("services", "torch")])
def test_import_leaves_out(package: str, forbidden: str) -> None:
    """Also through what a package imports in turn; a lazy import in a function is allowed."""
    names = modules(package)
    assert names, f"{package}/ has no modules"
    probe = run_python(PROBE, forbidden, *names)
    assert probe.returncode == 0, probe.stderr


def test_no_module_is_there_twice() -> None:
    """None has a second copy under the name of its folder, which would be other classes."""
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    code += f"print(*({set(FORBIDDEN)!r} & {{name.split('.')[0] for name in sys.modules}}))"
    probe = run_python(code, *(name for package in FORBIDDEN for name in modules(package)))
    assert (probe.returncode, probe.stdout.strip()) == (0, ""), probe.stderr


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("model", "import ray"),
        ("model", "def f():\n    from ray import serve"),
        ("actors", "from mplus_ray.pipeline.ledger.ledger import Ledger"),
        ("pipeline", "import mplus_ray.services.api as api"),
        ("services", "if TYPE_CHECKING:\n    import torch.nn"),
        ("services", "from mplus_ray.deploy import app"),
        ("services", "from mplus_ray import deploy"),
        ("services", "from model.errors import MPlusError"),
    ],
)
def test_a_wrong_import_is_found(package: str, source: str) -> None:
    assert wrong_imports(package, source)


def test_an_import_downwards_is_right() -> None:
    source = (
        "import mplus_ray.model.errors, raytracer\n"
        "from mplus_ray.actors.writer import Writer\nfrom . import deploy"
    )
    assert not wrong_imports("services", source)
