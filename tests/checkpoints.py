"""Small random checkpoints with a byte-level tokenizer, made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from mplus_ray.model.checkpoint.checkpoint import save_checkpoint
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.network.decoder import Network

SPECIAL = ("<pad>", "<bos>", "<eos>")
# What makes rows a layer's inputs, found by words.
INPUT_ROWS: dict[str, Any] = {
    "rows": "inputs",
    "num_tokens": 64,
    "chunk_tokens": 64,
    "start_rows": 3,
    "num_blocks": 6,
    "num_ltm_blocks": 2,
    "initial_rf_when_moving_stm_to_ltm": 1e9,
    "retrieval": "blocks",
    "pool_attended": False,
    "block_positions": "equal",
    "votes": "words",
    "max_vote_gap": 1e9,
    "prompt_template": "\nQuestion: {question}\nAnswer:",
}


def tiny_config(**changes: Any) -> ModelConfig:
    """Three layers, K = 4, a pool of 16 rows, 8 retrieved rows, an empty genesis."""
    fields: dict[str, Any] = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "num_tokens": 4,
        "num_blocks": 6,
        "num_ltm_blocks": 2,
        "chunk_tokens": 16,
        "update_ltm_frequency": 2,
        "initial_rf_when_moving_stm_to_ltm": 8,
        "selector_hidden_dim": 8,
        "bos_token_id": 1,
        "eos_token_ids": (2,),
    }
    return ModelConfig(**{**fields, **changes})


def write_tokenizer(folder: Path) -> None:
    """One token a byte, after the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_checkpoint(folder: Path, seed: int = 0, **changes: Any) -> ModelConfig:
    """A complete checkpoint with random weights; returns its config."""
    config = tiny_config(**changes)
    network = Network(config)
    network.initialize(seed)
    write_tokenizer(folder)
    save_checkpoint(folder, config, network)
    return config
