"""From a run's folder to a checkpoint: weights, config and tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mplus_ray.model.checkpoint.backbone import copy_tokenizer
from mplus_ray.model.checkpoint.checkpoint import save_checkpoint, save_config
from mplus_ray.model.checkpoint.hub import find_checkpoint
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.config_json import read_config
from mplus_ray.model.errors import InvalidInputError
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.training.data.text import (
    BOS,
    EOS,
    PAD,
    PROMPT,
    SPECIAL,
    end_of,
    open_tokenizer,
)
from mplus_ray.model.training.loop import saves
from mplus_ray.model.training.network.initial import open_whole
from mplus_ray.model.training.network.trained import save_trained
from mplus_ray.model.training.recipe import Recipe


def export(
    recipe: Recipe, run: Path, checkpoint: Path, last: bool = False, trained_only: bool = False
) -> None:
    """Write the weights of `run` as a checkpoint that `MPlus.load` reads.

    Weights trained from nothing become bfloat16, half the bytes; the figures in the model card
    are measured on them. An adapted backbone is written as an official checkpoint is: its own
    weights as they are, and both adapters beside.

    Args:
        last: the weights of the last save, not those that did best in validation.
        trained_only: of a model whose rows are inputs, `adapters.safetensors` and `config.json`
            only, which are what is shipped; other files of the folder stay as they are.

    Raises:
        InvalidInputError: nothing has been saved yet, or what is trained cannot be told from the
            rest.
    """
    if trained_only and (recipe.adapters is None or recipe.model.rows != "inputs"):
        raise InvalidInputError(
            f"recipe {recipe.name} does not train adapters of a model whose rows are inputs; "
            "export it as a whole"
        )
    best = not last and (run / saves.BEST).exists()
    state = saves.read(run, saves.BEST if best else saves.STATE)
    exact = replace(recipe, precision="float32")
    network = open_whole(exact, torch.device("cpu")).network
    first = [p.detach().clone() for p in network.parameters()] if recipe.kept else []
    saves.set_weights(network, state["network"])
    if recipe.kept:
        _keep(network, first, recipe.kept)
    if recipe.adapters is None:
        network.to(torch.bfloat16)
        template = recipe.model.prompt_template or PROMPT
        config = replace(
            recipe.model, prompt_template=template, bos_token_id=BOS, eos_token_ids=(EOS,)
        )
        save_checkpoint(checkpoint, config, network)
        _write_tokenizer_config(checkpoint, config.max_position_embeddings)
    else:
        config = _adapted_config(recipe, run)
        if recipe.model.rows == "inputs":  # the same numbers, whole and by themselves
            network.to(torch.bfloat16)
            save_trained(network, checkpoint)
            if trained_only:
                save_config(checkpoint, config)
                return
        _round_as_backbone(network, str(recipe.backbone))
        save_checkpoint(checkpoint, config, network)
    copy_tokenizer(run, checkpoint)


def _adapted_config(recipe: Recipe, run: Path) -> ModelConfig:
    """The recipe's model, which says how questions are asked and where answers end."""
    tokenizer, model = open_tokenizer(run / "tokenizer.json"), recipe.model
    if model.rows == "inputs":
        return replace(model, eos_token_ids=model.eos_token_ids or (end_of(tokenizer),))
    ends = tuple(dict.fromkeys((*model.eos_token_ids, end_of(tokenizer))))
    return replace(model, prompt_template=model.prompt_template or PROMPT, eos_token_ids=ends)


def _keep(network: Network, first: Sequence[Tensor], share: float) -> None:
    """Move every weight so far back to where it was."""
    with torch.no_grad():
        for now, before in zip(network.parameters(), first, strict=True):
            now.lerp_(before, share)


def _round_as_backbone(network: Network, backbone: str) -> None:
    """What was not trained goes back to the precision that it came in."""
    raw = read_config(find_checkpoint(backbone))
    if str(raw.get("dtype", raw.get("torch_dtype"))) in ("bfloat16", "float16"):
        for parameter in network.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)


def _write_tokenizer_config(checkpoint: Path, longest: int) -> None:
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIAL[PAD],
        "bos_token": SPECIAL[BOS],
        "eos_token": SPECIAL[EOS],
        "clean_up_tokenization_spaces": False,
        "model_max_length": longest,
    }
    text = json.dumps(settings, indent=1) + "\n"
    (checkpoint / "tokenizer_config.json").write_text(text)
