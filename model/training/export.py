"""From a run's folder to a checkpoint: weights, config and tokenizer."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from model.checkpoint import save_checkpoint
from model.network import Network
from model.training.recipe import Recipe
from model.training.text import BOS, EOS, PAD, PROMPT, SPECIAL


def export(recipe: Recipe, run: Path, checkpoint: Path) -> None:
    """Write the last saved weights of `run` as a checkpoint that `MPlus.load` reads.

    Weights become bfloat16, half the bytes; the figures in the model card are measured on them.
    """
    config = replace(recipe.model, prompt_template=PROMPT, bos_token_id=BOS, eos_token_ids=(EOS,))
    network = Network(config)
    state = torch.load(run / "state.pt", weights_only=True)
    network.load_state_dict(state["network"])
    save_checkpoint(checkpoint, config, network.to(torch.bfloat16))
    shutil.copyfile(run / "tokenizer.json", checkpoint / "tokenizer.json")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIAL[PAD],
        "bos_token": SPECIAL[BOS],
        "eos_token": SPECIAL[EOS],
        "clean_up_tokenization_spaces": False,
        "model_max_length": config.max_position_embeddings,
    }
    text = json.dumps(settings, indent=1) + "\n"
    (checkpoint / "tokenizer_config.json").write_text(text)
