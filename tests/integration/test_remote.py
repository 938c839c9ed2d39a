"""The roles in Ray actors do what the plain classes do, errors included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mplus_ray.actors.plans import ReadPlan, Sealed, WritePlan, WriteRequest
from mplus_ray.actors.ray_actors import RemoteReader, RemoteWriter, StoreUrl
from mplus_ray.actors.reading.reader import Reader
from mplus_ray.actors.writer import Writer
from mplus_ray.model import MPlus
from mplus_ray.model.errors import CheckpointError, DamagedFileError, InvalidInputError, MPlusError
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


def store(folder: Path) -> StoreUrl:
    return StoreUrl(str(folder / "rows"), folder / "cache")


@pytest.fixture
def remote(checkpoint: Path, tmp_path: Path) -> Iterator[RemoteWriter]:
    writer = RemoteWriter(str(checkpoint), store(tmp_path / "remote"), num_cpus=1)
    yield writer
    writer.stop()


def plan(tenant: str, seed: int = 0) -> WritePlan:
    return WritePlan(tenant, "head", 1, seed, "bfloat16", 0, ())


def memorize(writer: Writer | RemoteWriter) -> list[Sealed | None]:
    for seed, tenant in enumerate(("anna", "bela")):
        assert writer.open(plan(tenant, seed)) == 0
    for requests in STEPS:
        writer.memorize(requests)
    return [writer.seal(tenant, leaving=True) for tenant in ("anna", "bela")]


def test_memories_and_answers_are_those_of_the_plain_classes(
    remote: RemoteWriter, checkpoint: Path, tmp_path: Path
) -> None:
    model = MPlus.load(checkpoint)
    assert remote.card.fingerprint == model.fingerprint
    assert remote.card.tokenizer.encode("The raven") == model.tokenizer.encode("The raven")
    plain = memorize(Writer(model, store(tmp_path / "plain").open()))
    for ours, theirs in zip(plain, memorize(remote), strict=True):
        assert ours is not None
        assert theirs is not None
        assert (ours.step, ours.history) == (theirs.step, theirs.history)
        assert [s.checksum for s in ours.shards] == [s.checksum for s in theirs.shards]
        assert [s.checksum for s in ours.states] == [s.checksum for s in theirs.states]
    assert plain[1] is not None
    read = ReadPlan(
        "bela", "head", model.fingerprint, 1, "bfloat16", "checkpoint", 3, plain[1].shards
    )
    far = RemoteReader(str(checkpoint), store(tmp_path / "plain"), num_cpus=1)
    near = Reader(model, store(tmp_path / "plain").open())
    assert far.open(read) == near.open(read) == 3
    pieces: list[str] = []
    answer = near.ask(read, "Which bird?", pieces.append, max_tokens=8)
    assert far.ask(read, "Which bird?", max_tokens=8) == answer
    assert "".join(pieces).strip() == answer.text
    for name in ("rows", "nothing"):
        (tmp_path / name).mkdir()
    nowhere = RemoteReader(str(checkpoint), store(tmp_path / "nothing"), num_cpus=0)
    with pytest.raises(DamagedFileError, match="mplus verify") as lost:
        nowhere.open(read)
    assert lost.value.file == plain[1].shards[0].file, "it comes back as it was raised"
    far.stop()
    nowhere.stop()


def test_errors_come_back_as_they_were_raised(remote: RemoteWriter, tmp_path: Path) -> None:
    remote.open(plan("anna"))
    with pytest.raises(InvalidInputError, match="not the next one here: 0 is"):
        remote.memorize([WriteRequest("anna", 7, [1])])
    assert remote.memorize([WriteRequest("anna", 0, [1])]) == [1]  # it lives on
    with pytest.raises(CheckpointError, match="gone"):
        RemoteWriter(str(tmp_path / "gone"), store(tmp_path), num_cpus=0)


def test_an_actor_that_died_is_a_clear_error(remote: RemoteWriter) -> None:
    remote.stop()
    with pytest.raises(MPlusError, match=r"ended unexpectedly.*run it again"):
        remote.open(plan("anna"))
