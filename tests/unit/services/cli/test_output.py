"""Tables of commands, whose ids are for the next command."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mplus_ray.pipeline.ledger.documents.documents import ChunkPassage
from mplus_ray.services.cli.app import app

URL = "https://example.com/hooks/of/a/name/that/goes/on/and/on/for/longer/than/a/terminal/is/wide"


@pytest.mark.parametrize("columns", [None, "80"])
def test_ids_of_webhooks_are_never_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("MPLUS_DATA", str(tmp_path))
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    run = CliRunner().invoke
    assert run(app, ["tenants", "create", "anna"]).exit_code == 0
    made = run(app, ["webhooks", "create", URL, "-t", "anna", "--event", "job.finished"])
    (identifier,) = (line.split(":")[0] for line in made.output.splitlines() if "keep the" in line)
    listed = run(app, ["webhooks", "list", "-t", "anna"]).output
    assert identifier in listed
    assert (URL in listed) == (columns is None)  # on a terminal it is folded
    assert "…" not in listed


@pytest.mark.parametrize(("section", "where"), [("Report", "Report"), ("May", "Report, May")])
def test_a_section_of_its_document_s_name_is_not_said_twice(section: str, where: str) -> None:
    passage = ChunkPassage(1, "d", "a.md", "Report", "a.md", section, "It rained.", 0, 10)
    assert passage.where == where
