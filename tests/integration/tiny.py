"""A checkpoint with random weights, made in a second: it answers nonsense through every layer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mplus_ray.model.checkpoint.checkpoint import save_checkpoint
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.network.decoder import Network

_TEXT = "The raven is black. The owl is brown. Where was Maren Tolva born? In Brelin, they say. "


def make_tiny_checkpoint(
    folder: Path,
    seed: int = 0,
    texts: Sequence[str] = (_TEXT,),
    vocab: int = 320,
    chunk: int = 32,
    rows: int = 4,
) -> Path:
    """Write one; another seed gives another fingerprint.

    Args:
        texts: what its tokenizer is made for.
        vocab, chunk: tokens it knows, and tokens of a chunk.
        rows: of a step in each layer.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    config = ModelConfig(
        vocab_size=vocab,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        num_tokens=rows,
        num_blocks=8,
        num_ltm_blocks=2,
        chunk_tokens=chunk,
        update_ltm_frequency=1,
        selector_hidden_dim=8,
        retrieval="blocks",
        bos_token_id=0,
        eos_token_ids=(1,),
    )
    network = Network(config)
    with torch.no_grad():
        network.initialize(seed)
    save_checkpoint(folder, config, network)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
