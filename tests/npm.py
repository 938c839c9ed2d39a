"""Programs of Node.js with packages of npm's, where there are both."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_INSTALL_SECONDS = 100
_RUN_SECONDS = 60


def installed(folder: Path, *packages: str) -> Path:
    """A folder with these packages, each with a version; the test is skipped without them."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("there is no Node.js here, or no npm")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=_INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not bring {', '.join(packages)} in {_INSTALL_SECONDS} s")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        pytest.skip(f"npm does not bring {', '.join(packages)} here: {' '.join(said[:2])[:200]}")
    return folder


def run(folder: Path, program: str, **given: str) -> Any:
    """What a program writes on standard output, as JSON.

    Args:
        given: variables of its environment.
    """
    path = folder / "program.mjs"
    path.write_text(program)
    done = subprocess.run(
        ["node", str(path)],
        cwd=folder,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
