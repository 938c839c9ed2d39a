"""The wheel, installed elsewhere: it brings all it needs and claims one name."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from mplus_ray import __version__
from tests.paths import ROOT


@dataclass
class Installed:
    """An environment with the wheel, and an empty folder far from the checkout."""

    wheel: Path
    python: Path
    folder: Path

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MPLUS"))}
        environment["MPLUS_DATA"] = str(self.folder / "data")
        environment["MPLUS_CACHE"] = str(self.folder / "cache")
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    def mplus(self, *arguments: str) -> str:
        return self.run(str(self.python.with_name("mplus")), *arguments).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What the wheel depends on is taken from this environment, which has it already."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("mplus_ray-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
    subprocess.run([*install, "--no-deps", str(wheel)], check=True, capture_output=True)
    (own,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # A path in a .pth file brings packages, and not the .pth files beside them: no checkout.
    (own / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    (folder / "empty").mkdir()
    return Installed(wheel, python, folder / "empty")


def test_it_claims_one_name(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as file:
        names = file.namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {"mplus_ray", f"mplus_ray-{__version__}.dist-info"}
    for needed in (
        "model/training/recipes/tiny.yaml",
        "model/corpus/relations.yaml",
        "pipeline/ledger/migrations/env.py",
        "services/console/index.html",
        "services/console/start/console.js",
        "deploy/demo/documents/SOURCES.md",
    ):
        assert f"mplus_ray/{needed}" in names


def test_it_is_not_the_checkout(installed: Installed) -> None:
    code = (
        "import sys, mplus_ray, mplus_ray.services.cli.app as app; print(app.__file__);"
        "print(*{'model', 'services', 'torch'} & sys.modules.keys())"
    )
    found, others = installed.run(str(installed.python), "-c", code).stdout.splitlines()
    assert Path(found).is_relative_to(installed.python.parents[1])
    assert others == ""


def test_it_answers_in_an_empty_folder(installed: Installed) -> None:
    assert installed.mplus("--version") == f"mplus {__version__}\n"
    (installed.folder / "maren.txt").write_text("Maren Tolva was born in Brelin.")
    whose = ("--tenant", "anna", "--checkpoint", "tiny")
    installed.mplus("ingest", *whose, "maren.txt")
    answer = json.loads(installed.mplus("ask", *whose, "Where was Maren Tolva born?", "--json"))
    assert "Brelin" in json.dumps(answer)


def test_the_default_says_how_to_make_it_complete(installed: Installed) -> None:
    checkpoint = json.loads(installed.mplus("config", "--json"))["settings"]["checkpoint"]
    assert checkpoint == {**checkpoint, "value": "mplus-small", "from": "default"}
    (installed.folder / "maren.txt").write_text("Maren Tolva was born in Brelin.")
    mplus = str(installed.python.with_name("mplus"))
    refused = installed.run(mplus, "ingest", "--tenant", "bela", "maren.txt", code=3)
    assert "mplus get small" in refused.stderr


@pytest.mark.parametrize("command", ["demo", "bench", "serve", "train", "eval"])
def test_every_command_is_there(installed: Installed, command: str) -> None:
    assert f"mplus {command}" in installed.mplus(command, "--help")
