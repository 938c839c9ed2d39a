"""`mplus eval` from the command line to the file it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mplus_ray.model.errors import CheckpointError, DocumentError, InvalidInputError
from mplus_ray.model.generation.confidence import Confidence
from mplus_ray.services.cli import app as cli
from tests.checkpoints import write_checkpoint

ROWS = [
    {"title": "", "context": f"In {n} lives the {word}.", "question": f"Who lives in {n}?",
     "answers": [word]}
    for n, word in enumerate("emu gnu yak elk ibis ray asp cod".split())
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, num_hidden_layers=2, chunk_tokens=160, retrieval="blocks")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(*arguments: object) -> str:
    """Standard output; errors come out as they are, as `main` sees them."""
    result = CliRunner().invoke(
        cli.app, ["eval", *map(str, arguments)], catch_exceptions=False, standalone_mode=False
    )
    return result.stdout


class TestCommands:
    def test_retention(self, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "r.json"
        run("retention", "--tokens", "300,0", "--questions", 4, "--tenants", 2,
            "--checkpoint", folder, "--json", out)  # fmt: skip
        result = json.loads(out.read_text())
        assert {arm: list(points) for arm, points in result["arms"].items()} == {
            arm: ["0", "300"] for arm in ("mplus", "memoryllm", "none")
        }
        assert result["settings"]["text"] == "bartleby.txt, pep-0008.txt"

    @pytest.mark.parametrize("command", ["qa", "citations"])
    def test_passages(self, folder: Path, data: Path, command: str) -> None:
        out = run(command, "--data", data, "--tokens", "0,100", "--checkpoint", folder,
                  "--json", "-")  # fmt: skip
        result = json.loads(out)
        assert result["settings"]["data"] == "questions.jsonl"
        for points in result["arms"].values():
            assert {d: entry["n"] for d, entry in points.items()} == {"0": 8, "100": 8}

    def test_abstention_saves_what_it_fitted(
        self, folder: Path, data: Path, tmp_path: Path
    ) -> None:
        files = ("--save", tmp_path / "confidence.json", "--plot", tmp_path / "roc.png")
        out = run("abstention", "--data", data, "--checkpoint", folder, "--json", "-", *files)
        result, saved = json.loads(out), Confidence.load(tmp_path)
        assert saved is not None
        assert (list(saved.features), saved.threshold) == (result["features"], result["threshold"])
        assert (tmp_path / "roc.png").stat().st_size > 1000

    def test_perplexity(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("one two three four " * 60)
        out = run("perplexity", "--data", tmp_path / "a.txt", "--tokens", "0,170", "--limit", 2,
                  "--checkpoint", folder, "--json", "-", "--plot", tmp_path / "p.png")  # fmt: skip
        assert list(json.loads(out)["arms"]["mplus"]) == ["0", "170"]
        assert (tmp_path / "p.png").stat().st_size > 1000

    def test_a_person_reads_a_table(self, folder: Path, data: Path) -> None:
        out = run("qa", "--data", data, "--tokens", "0", "--checkpoint", folder, "--limit", 3)
        assert "bm25" in out
        assert "in_output" in out


class TestErrors:
    @pytest.mark.parametrize("tokens", ["", "a", "-1", "1,,2", "1.5", "²"])
    def test_tokens(self, tokens: str) -> None:
        for command in ("retention", "qa", "citations"):
            with pytest.raises(InvalidInputError, match="not a list of whole numbers"):
                run(command, "--tokens", tokens)

    def test_a_bad_data_file_is_named_before_the_model_is_loaded(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.jsonl"
        path.write_text(json.dumps(ROWS[0]) + '\n{"context": "a"}\n')
        for command in ("qa", "citations", "abstention"):
            with pytest.raises(DocumentError, match=r"bad\.jsonl, line 2 has no question"):
                run(command, "--data", path, "--checkpoint", tmp_path / "absent")

    def test_no_checkpoint(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError):
            run("retention", "--checkpoint", tmp_path)

    def test_a_way_of_telling_that_is_unknown(self) -> None:
        with pytest.raises(InvalidInputError, match="prose, sentence, update"):
            run("retention", "--told", "song")

    def test_where_to_save_is_checked_first(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="there is no folder"):
            run("abstention", "--save", tmp_path / "absent" / "c.json")

    def test_a_picture_that_cannot_be_drawn_is_refused_first(self) -> None:
        with pytest.raises(InvalidInputError, match=r"\.png"):
            run("retention", "--plot", "figure.doc")

    def test_a_text_too_short_to_remember(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("short")
        with pytest.raises(InvalidInputError, match="the text has 5 tokens"):
            run("perplexity", "--data", tmp_path / "a.txt", "--checkpoint", folder)
