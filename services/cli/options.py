"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mplus_ray.model.errors import InvalidInputError

TenantOption = Annotated[
    str, typer.Option("--tenant", "-t", metavar="NAME", help="Whose memory it is.")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Data directory; by default $MPLUS_DATA, else ~/.local/share/mplus.",
        show_default=False,
    ),
]
CheckpointOption = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="NAME|DIR|ID|URL",
        help="The model: small, a folder, a hub id, s3://… or gs://…; by default "
        "$MPLUS_CHECKPOINT, else mplus-small, which `mplus get small` makes complete.",
        show_default=False,
    ),
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="STEP|TIME",
        help="The memory as it was after so many steps, or at a time such as 2026-03-01T12:00 "
        "(local unless it says otherwise).",
        show_default=False,
    ),
]
SnapshotOption = Annotated[
    str | None,
    typer.Option(
        "--snapshot",
        metavar="NAME",
        help="The memory as it was at a snapshot.",
        show_default=False,
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        help="Of a running Ray cluster (auto, or host:port); by default one of this machine is "
        "started for the time.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the result as JSON; - (or no FILE, as the last option) is standard output.",
        show_default=False,
    ),
]


def bounds(option: str, text: str) -> tuple[int, int]:
    """MIN:MAX, or one number for both.

    Raises:
        InvalidInputError: it is neither.
    """
    low, _, high = text.partition(":")
    if not low.isdecimal() or not (high or low).isdecimal():
        raise InvalidInputError(f"{option} {text!r}: give MIN:MAX, for example 1:4")
    return int(low), int(high or low)
