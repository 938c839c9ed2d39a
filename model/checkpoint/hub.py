"""Finding a checkpoint: a local folder, or the id of one on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from mplus_ray.model.errors import CheckpointError

_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model"]


def find_checkpoint(source: str) -> Path:
    """The folder of a checkpoint, downloaded first if `source` is a hub id.

    Raises:
        CheckpointError: neither exists, or the hub cannot be reached.
    """
    path = Path(source)
    if source and path.is_dir():
        return path
    if source and path.exists():
        raise CheckpointError(f"{source} is a file; a checkpoint is the folder it lies in")
    if not _HUB_ID.match(source):
        raise CheckpointError(f"there is no checkpoint at {source}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=_FILES))
    except Exception as error:  # network, permission, unknown repository: all the same here
        raise CheckpointError(
            f"there is no folder {source}, and the hub did not give it either: {error}"
        ) from error
