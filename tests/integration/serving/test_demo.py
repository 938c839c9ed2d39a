"""The demo with a random checkpoint: the path is whole, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mplus_ray.deploy.demo.questions import DOCUMENTS, TENANTS
from tests.integration.tiny import make_tiny_checkpoint

ROOT = Path(__file__).parents[3]


def run_demo(checkpoint: Path, ray_folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    # With Ray's token, as a person runs it; the folder is where Ray's files would be left.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mplus_ray.deploy.demo",
            "--checkpoint",
            str(checkpoint),
            *arguments,
        ],
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": "1", "RAY_TMPDIR": str(ray_folder)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.timeout(300)
def test_two_tenants_memorize_and_answer(tmp_path: Path, ray_folder: Path) -> None:
    texts = [path.read_text() for path in sorted(DOCUMENTS.glob("*/*"))]
    tiny = make_tiny_checkpoint(tmp_path / "tiny", texts=texts, vocab=1500, chunk=512)
    before = set(ray_folder.iterdir())
    done = run_demo(tiny, ray_folder, "--json", str(tmp_path / "demo.json"))
    assert done.returncode == 0, done.stderr
    assert set(ray_folder.iterdir()) == before

    result: dict[str, Any] = json.loads((tmp_path / "demo.json").read_text())
    replies = result["replies"]
    asked = [(tenant.name, question.text) for tenant in TENANTS for question in tenant.questions]
    assert [(reply["tenant"], reply["question"]) for reply in replies] == asked
    assert result["leaked"] == 0
    own = {
        tenant.name: " ".join(" ".join(path.read_text().split()) for path in tenant.paths)
        for tenant in TENANTS
    }
    for reply in replies:
        assert reply["citations"]
        for citation in reply["citations"]:
            first_line = citation["text"].split("\n")[0]
            assert " ".join(first_line.split()) in own[reply["tenant"]]
    assert "Checkpoint:" in done.stdout
    assert "So small a model answers" in done.stdout


def test_a_missing_checkpoint_is_one_line(tmp_path: Path, ray_folder: Path) -> None:
    done = run_demo(tmp_path / "gone", ray_folder)
    assert done.returncode == 3
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_demo_documents_are_small_and_attributed() -> None:
    sources = (DOCUMENTS / "SOURCES.md").read_text()
    files = [path for path in DOCUMENTS.glob("*/*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    for path in files:
        assert f"`{path.relative_to(DOCUMENTS)}`" in sources


def test_every_expected_answer_is_in_its_tenants_documents() -> None:
    texts = {tenant.name: " ".join(path.read_text() for path in tenant.paths) for tenant in TENANTS}
    for tenant in TENANTS:
        for question in tenant.questions:
            assert question.expected is None or question.expected in texts[tenant.name]
