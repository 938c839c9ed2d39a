"""The roles in Ray actors do what the plain classes do, errors included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.folders import memory_folder
from actors.reader import Reader
from actors.remote import RemoteReader, RemoteWriter
from actors.writer import Writer, WriteRequest
from model import MPlus
from model.errors import CheckpointError, InvalidInputError, MPlusError, StorageError
from tests.integration.tiny import make_tiny_checkpoint

pytestmark = pytest.mark.usefixtures("local_ray")

STEPS = [
    [WriteRequest("anna", 0, [5, 6, 7]), WriteRequest("bela", 0, [9])],
    [WriteRequest("anna", 1, [7, 8]), WriteRequest("bela", 1, [5, 5, 5, 6])],
    [WriteRequest("bela", 2, [11, 12])],
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture
def remote(checkpoint: Path, tmp_path: Path) -> Iterator[RemoteWriter]:
    writer = RemoteWriter(str(checkpoint), tmp_path / "remote", num_cpus=1)
    yield writer
    writer.stop()


def memorize(writer: Writer | RemoteWriter) -> None:
    for seed, tenant in enumerate(("anna", "bela")):
        assert writer.open(tenant, seed) == 0
    for requests in STEPS:
        writer.memorize(requests)
    writer.save()


def test_memories_and_answers_are_those_of_the_plain_classes(
    remote: RemoteWriter, checkpoint: Path, tmp_path: Path
) -> None:
    model = MPlus.load(checkpoint)
    assert remote.card.fingerprint == model.fingerprint
    assert remote.card.tokenizer.encode("The raven") == model.tokenizer.encode("The raven")
    plain = Writer(model, tmp_path / "plain")
    memorize(plain)
    plain.close()
    memorize(remote)
    for tenant in ("anna", "bela"):
        folders = [memory_folder(tmp_path / side, tenant) for side in ("plain", "remote")]
        files = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders]
        assert files[0] == files[1]

    near = Reader(model, tmp_path / "plain")
    far = RemoteReader(str(checkpoint), tmp_path / "remote", num_cpus=1)
    assert far.open("bela") == near.open("bela") == 3
    pieces: list[str] = []
    answer = near.ask("bela", "Which bird?", pieces.append, max_tokens=8)
    assert far.ask("bela", "Which bird?", max_tokens=8) == answer
    assert "".join(pieces).strip() == answer.text
    far.stop()


def test_errors_come_back_as_they_were_raised(
    remote: RemoteWriter, checkpoint: Path, tmp_path: Path
) -> None:
    remote.open("anna", 1)
    with pytest.raises(InvalidInputError, match="not the next one here: 0 is"):
        remote.memorize([WriteRequest("anna", 7, [1])])
    assert remote.memorize([WriteRequest("anna", 0, [1])]) == [1]  # it lives on
    with pytest.raises(CheckpointError, match="gone"):
        RemoteWriter(str(tmp_path / "gone"), tmp_path, num_cpus=0)
    reader = RemoteReader(str(checkpoint), tmp_path / "empty", num_cpus=0)
    with pytest.raises(StorageError, match="none is memorized yet"):
        reader.open("anna")
    reader.stop()


def test_an_actor_that_died_is_a_clear_error(remote: RemoteWriter) -> None:
    remote.stop()
    with pytest.raises(MPlusError, match=r"ended unexpectedly.*run it again"):
        remote.open("anna", 1)
