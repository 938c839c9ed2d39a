"""`config.json` as it is written: read, and its official spellings put into our fields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mplus_ray.model.errors import CheckpointError

_REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
)
LEAST = {
    **dict.fromkeys(_REQUIRED, 1),
    "num_key_value_heads": 1,
    "head_dim": 1,
    "num_tokens": 1,
    "num_blocks": 1,
    "num_ltm_blocks": 0,
    "chunk_tokens": 1,
    "start_rows": 1,
    "update_ltm_frequency": 1,
    "selector_hidden_dim": 1,
    "sliding_window": 1,
}


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters of an official checkpoint: W + (lora_alpha / r) · B·A.

    Attributes:
        r: rank.
        lora_alpha: the scale's numerator.
        target_modules: names of the adapted projections.
    """

    r: int
    lora_alpha: float
    target_modules: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.r < 1:
            raise CheckpointError(f"lora_config: r is {self.r}, expected at least 1")

    @property
    def scale(self) -> float:
        return self.lora_alpha / self.r


def read_config(folder: Path) -> dict[str, Any]:
    """`folder/config.json` as it stands.

    Raises:
        CheckpointError: there is none, or it is not a JSON object.
    """
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is not a checkpoint: it has no config.json") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return raw


def fields_of(raw: dict[str, Any], where: str = "config.json") -> dict[str, Any]:
    """Official and own spellings as the fields of `ModelConfig`; others are among them still.

    Args:
        where: what an error is to name.

    Raises:
        CheckpointError: a field is missing or has an impossible value.
    """
    data = {k: v for k, v in raw.items() if v is not None}
    rope = data.pop("rope_parameters", None)  # the transformers ≥ 5 spelling
    if rope:
        data.setdefault("rope_theta", rope.get("rope_theta", 10_000.0))
        if rope.get("rope_type", "default") != "default":
            data.setdefault("rope_scaling", rope)
    missing = [n for n in _REQUIRED if n not in data]
    if missing:
        raise CheckpointError(f"{where}: missing {', '.join(missing)}")
    problems = too_small({name: data[name] for name in LEAST if name in data})
    if problems:
        raise CheckpointError(f"{where}: " + "; ".join(problems))
    data.setdefault("num_key_value_heads", data["num_attention_heads"])
    data.setdefault("head_dim", data["hidden_size"] // data["num_attention_heads"])
    counts_pool_only = "num_blocks" in data and "num_ltm_blocks" not in data
    no_retriever = data.get("model_type") == "memoryllm" or data.get("add_selector") is False
    if counts_pool_only or no_retriever:
        data["num_ltm_blocks"] = 0
    if "lora_config" in data:
        data["lora_config"] = _lora_of(data["lora_config"], where)
    eos = data.pop("eos_token_id", None)
    if eos is not None:
        data["eos_token_ids"] = tuple(eos) if isinstance(eos, list) else (eos,)
    if "eos_token_ids" in data:
        data["eos_token_ids"] = tuple(data["eos_token_ids"])
    return data


def _lora_of(raw: dict[str, Any], where: str) -> LoraConfig:
    try:
        return LoraConfig(
            r=raw["r"],
            lora_alpha=raw["lora_alpha"],
            target_modules=tuple(raw["target_modules"]),
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{where}: lora_config needs r, lora_alpha and target_modules, found {raw}"
        ) from error


def too_small(values: dict[str, Any]) -> list[str]:
    """What is wrong with those of these fields that are below their least value."""
    return [
        f"{name} is {value!r}, expected a whole number of at least {LEAST[name]}"
        for name, value in values.items()
        if not isinstance(value, int) or value < LEAST[name]
    ]
