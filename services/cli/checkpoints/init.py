"""`mplus init`: an untrained M+ around a Hugging Face backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mplus_ray.model.errors import InvalidInputError
from mplus_ray.services.cli.options import JsonOption


def init(
    backbone: Annotated[
        str,
        typer.Option(
            metavar="DIR|ID|FILE",
            help="A Llama, Mistral, Qwen2 or Qwen3 checkpoint: folder, hub id or GGUF file.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the new checkpoint.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=NUMBER",
            help="A field of the memory's configuration, such as num_tokens=64; repeatable.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the retriever's random weights.")] = 0,
    json: JsonOption = None,
) -> None:
    """Make an M+ checkpoint whose memory parts are still to be trained."""
    from mplus_ray.model.checkpoint.backbone import init_from_backbone
    from mplus_ray.services.cli.output import human, write_json

    config = init_from_backbone(backbone, out, seed, **_fields(settings or []))
    write_json(json, {"backbone": backbone, "checkpoint": str(out), "config": config.to_dict()})
    human(json).print(f"{out}: an untrained M+ made from {backbone}")


def _fields(settings: list[str]) -> dict[str, Any]:
    from dataclasses import fields

    from mplus_ray.model.config import ModelConfig

    known = {field.name: field.type for field in fields(ModelConfig)}
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise InvalidInputError(f"--set {setting}: the configuration has no field {name!r}")
        try:
            values[name] = {"int": int, "float": float}.get(str(known[name]), str)(value)
        except ValueError:
            raise InvalidInputError(f"--set {setting}: {value!r} is no {known[name]}") from None
    return values
