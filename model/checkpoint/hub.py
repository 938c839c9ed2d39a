"""Finding a checkpoint: a folder, one that is shipped, in a bucket or on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from mplus_ray.model.checkpoint.assembled import assembled, needs_backbone
from mplus_ray.model.checkpoint.shipped import shipped_folder, shipped_names
from mplus_ray.model.checkpoint.staged import FILES, bucket_name, in_bucket, staged
from mplus_ray.model.errors import CheckpointError

_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")


def find_checkpoint(source: str) -> Path:
    """The complete folder of a checkpoint, copied here first if it is in a bucket or on the hub.

    Args:
        source: a folder, the name of a shipped checkpoint (mplus-small, or small), a hub id, or
            s3://bucket/prefix or gs://bucket/prefix.

    Raises:
        CheckpointError: there is none, it is not complete on this machine, or the hub cannot be
            reached.
        StorageError: the bucket cannot be reached.
    """
    path = Path(source)
    folder = staged(source) if in_bucket(source) else _here(source)
    if folder is not None:
        return assembled(folder) if needs_backbone(folder) else folder
    if source and path.suffix == ".gguf" and path.exists():
        raise CheckpointError(
            f"{source} is a backbone without a memory; `mplus init --backbone {source} --out DIR` "
            "makes a checkpoint of it"
        )
    if source and path.exists():
        raise CheckpointError(f"{source} is a file; a checkpoint is the folder it lies in")
    # What begins like a folder of here is meant as one, also where it reads like a hub id.
    if not _HUB_ID.match(source) or path.parts[:1] in ((".",), ("..",)) or path.parent.is_dir():
        raise CheckpointError(
            f"there is no folder {source}; name one that holds a checkpoint, or one of those that "
            f"come with mplus: {', '.join(shipped_names())}"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=list(FILES)))
    except Exception as error:  # network, permission, unknown repository: all the same here
        raise CheckpointError(
            f"there is no folder {source} here, and no checkpoint {source} was found on the "
            f"Hugging Face hub ({type(error).__name__}); come with mplus: "
            f"{', '.join(shipped_names())}"
        ) from error


def checkpoint_name(source: str) -> str:
    """What a checkpoint is called: by its folder, wherever that is, or its hub id."""
    if in_bucket(source):
        return bucket_name(source)
    folder = _here(source)
    return source if folder is None else folder.absolute().name


def _here(source: str) -> Path | None:
    """A folder of that path, or a shipped one of that name, which an empty folder does not hide."""
    path = Path(source)
    given = path if source and path.is_dir() else None
    shipped = shipped_folder(source)
    return given if shipped is None or (given and (given / "config.json").exists()) else shipped
