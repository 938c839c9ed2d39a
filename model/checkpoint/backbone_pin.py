"""`backbone.json`: which published file a checkpoint's backbone is made from, by hash."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path

from mplus_ray.model.errors import CheckpointError

FILE = "backbone.json"
_HASH = re.compile(r"^[0-9a-f]{64}$")
_PIECE = 1 << 20


@dataclass(frozen=True)
class BackbonePin:
    """Where a backbone comes from, and how it is known to be the one the adapters were trained on.

    Attributes:
        name: of the model, as its authors call it.
        license: of its weights, an SPDX identifier.
        package: on the package index.
        version: of the package.
        wheel: file name of the package.
        wheel_sha256: of the wheel, 64 hexadecimal digits.
        file: the GGUF file's path inside the wheel.
        file_sha256: of the GGUF file.
        tensors_sha256: of the weights made from it, as `backbone_shard.hash_tensors` takes it.
        tokens_sha256: of the tokenizer made from it, as `backbone_shard.hash_tokenizer` takes it.
    """

    name: str
    license: str
    package: str
    version: str
    wheel: str
    wheel_sha256: str
    file: str
    file_sha256: str
    tensors_sha256: str
    tokens_sha256: str

    @classmethod
    def load(cls, folder: Path) -> BackbonePin:
        """Read `folder/backbone.json`.

        Raises:
            CheckpointError: it is missing, not JSON, or a field is missing, unknown or no text.
        """
        path = folder / FILE
        try:
            raw = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        names = [field.name for field in fields(cls)]
        if not isinstance(raw, dict):
            raise CheckpointError(f"{path} is not a JSON object with {', '.join(names)}")
        problems = [f"{name} is missing" for name in names if name not in raw]
        problems += [f"{name} is unknown" for name in raw if name not in names]
        problems += [
            f"{name} is {value!r}, expected {'a SHA-256' if name.endswith('sha256') else 'text'}"
            for name, value in raw.items()
            if name in names
            and not (
                isinstance(value, str)
                and value
                and (not name.endswith("sha256") or _HASH.match(value))
            )
        ]
        if problems:
            raise CheckpointError(f"{path}: {'; '.join(problems)}")
        return cls(**raw)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
