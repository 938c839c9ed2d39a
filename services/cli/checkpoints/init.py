"""`mplus init`: an untrained M+ around a Hugging Face backbone."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

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
            metavar="FIELD=VALUE",
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
    """The fields that are set, by name.

    Raises:
        InvalidInputError: there is no such field, or its value is of another type.
    """
    from pydantic import ValidationError

    from mplus_ray.model.config import ModelConfig

    known = get_type_hints(ModelConfig)
    values: dict[str, Any] = {}
    for setting in settings:
        name, given, value = setting.partition("=")
        if name not in known:
            raise InvalidInputError(f"--set {setting}: the configuration has no field {name!r}")
        if not given:
            raise InvalidInputError(f"--set {setting}: give a value, as in {name}=VALUE")
        try:
            values[name] = _value(known[name], value)
        except ValidationError:
            raise InvalidInputError(
                f"--set {setting}: {name} is {_kind(known[name])}, not {value!r}"
            ) from None
    return values


def _value(kind: Any, text: str) -> Any:
    """Text as what a field is: numbers, true and false, words and none as they are; else JSON."""
    from pydantic import TypeAdapter

    if text.lower() == "none" and type(None) in get_args(kind):
        return None
    adapter = TypeAdapter(kind)
    return adapter.validate_strings(text) if _is_plain(kind) else adapter.validate_json(text)


def _is_plain(kind: Any) -> bool:
    parts = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    plain = (bool, int, float, str, type(None))
    return all(part in plain or get_origin(part) is Literal for part in parts)


def _kind(kind: Any) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(_kind(part) for part in get_args(kind))
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        type(None): "none",
    }
    return names.get(kind, "JSON, as in config.json")
