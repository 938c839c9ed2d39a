"""With no memory an M+ made of a Hugging Face backbone is that backbone."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import transformers

from mplus_ray.model.checkpoint.backbone import init_from_backbone
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.errors import CheckpointError, MPlusError
from mplus_ray.model.generation.read_pass import begin, extend
from mplus_ray.model.mplus import MPlus
from tests.checkpoints import write_tokenizer
from tests.forms import LLAMA3, first, load, view, worst

MEMORY: dict[str, Any] = {
    "num_tokens": 4,
    "num_blocks": 6,
    "num_ltm_blocks": 2,
    "chunk_tokens": 16,
    "selector_hidden_dim": 8,
}
SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
BACKBONES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama tied": ("Llama", {"tie_word_embeddings": True}),
    "llama 3.1 rope": ("Llama", {"rope_parameters": {**LLAMA3, "rope_theta": 500_000.0}}),
    "llama other eps": ("Llama", {"rms_norm_eps": 1e-3}),
    "llama all heads": ("Llama", {"num_key_value_heads": 4}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "mistral wide heads": ("Mistral", {"sliding_window": None, "head_dim": 12}),
    "mistral roomy window": ("Mistral", {"sliding_window": 64}),
    "mistral no bos": ("Mistral", {"sliding_window": 5, "bos_token_id": None}),
    "qwen2": ("Qwen2", {}),
    "qwen2 tied": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2 window": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0},
    ),
    "qwen2 window of no layer": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 3},
    ),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "qwen3 tied": ("Qwen3", {"head_dim": 8, "tie_word_embeddings": True}),
}
PROMPT = [7, 3, 250, 11, 4, 4, 99, 180, 42, 301, 15, 16, 2, 9]


def write_backbone(folder, family, **changes):
    """A tiny random one, with norms and biases that are not trivial."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **changes})
    network = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "norm" in name or name.endswith("bias"):
                weight.add_(torch.randn_like(weight) * 0.2)
    network.save_pretrained(folder)
    write_tokenizer(folder)
    return network


@pytest.mark.parametrize("name", BACKBONES)
def test_with_no_memory_the_logits_are_those_of_transformers(tmp_path, name):
    family, changes = BACKBONES[name]
    theirs = write_backbone(tmp_path / "backbone", family, **changes)
    config = init_from_backbone(str(tmp_path / "backbone"), tmp_path / "out", **MEMORY)
    networks = load(tmp_path / "out", config)
    start = [1] if config.add_bos_embedding else []
    with torch.no_grad():
        expected = theirs(torch.tensor([start + PROMPT])).logits[0, len(start) :]
    seen = view(networks, first(networks))
    _, logits = begin(networks.reader, [seen], [torch.tensor(PROMPT)], whole=True)
    assert float(expected.abs().max()) > 0.5
    assert worst(logits[0], expected) < 1e-4
    readings, one = begin(networks.reader, [seen], [torch.tensor(PROMPT[:3])])
    rows = [one[0]] + [extend(networks.reader, readings, torch.tensor([t])) for t in PROMPT[3:]]
    assert worst(torch.cat(rows), expected[2:]) < 1e-4


def test_llama_and_mistral_have_a_bos_row_and_qwen_has_none(tmp_path):
    for family, has_bos in (("Llama", True), ("Mistral", True), ("Qwen2", False), ("Qwen3", False)):
        write_backbone(tmp_path / family, family)
        config = init_from_backbone(str(tmp_path / family), tmp_path / f"{family}-out", **MEMORY)
        assert config.add_bos_embedding == has_bos


def test_a_window_shorter_than_the_prompt_never_hides_bos(tmp_path):
    """Where we differ from transformers on purpose: the start row is memory, and always seen."""
    theirs = write_backbone(tmp_path / "backbone", "Mistral", sliding_window=5)
    config = init_from_backbone(str(tmp_path / "backbone"), tmp_path / "out", **MEMORY)
    networks = load(tmp_path / "out", config)
    with torch.no_grad():
        expected = theirs(torch.tensor([[1, *PROMPT]])).logits[0, 1:]
    seen = view(networks, first(networks))
    _, logits = begin(networks.reader, [seen], [torch.tensor(PROMPT)], whole=True)
    assert worst(logits[0][:4], expected[:4]) < 1e-4
    assert worst(logits[0][5:], expected[5:]) > 1e-2


def test_the_same_seed_makes_the_same_checkpoint(tmp_path):
    write_backbone(tmp_path / "backbone", "Llama")
    prints = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        init_from_backbone(str(tmp_path / "backbone"), tmp_path / name, seed, **MEMORY)
        prints.append(MPlus.load(tmp_path / name).fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_the_result_memorizes_and_answers(tmp_path):
    write_backbone(tmp_path / "backbone", "Qwen3", head_dim=8)
    init_from_backbone(str(tmp_path / "backbone"), tmp_path / "out", **MEMORY)
    mplus = MPlus.load(tmp_path / "out")
    memory = mplus.memorize(mplus.empty_memory(), "Maren Tolva lives in Brelin. " * 5)
    assert mplus.ask(memory, "Where?", max_tokens=3).usage.completion_tokens == 3


def rewritten(folder, **changes):
    path = folder / "config.json"
    raw = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in raw.items() if v != "gone"}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "gpt2"}, "'gpt2' model; supported backbones: llama, mistral"),
        ({"model_type": "gone"}, "supported backbones"),
        ({"hidden_act": "gelu"}, "only silu"),
        ({"attention_bias": True}, "biases"),
        ({"mlp_bias": True}, "biases"),
        ({"hidden_size": "gone"}, "missing hidden_size"),
        ({"intermediate_size": 65}, "wrong shape: model.layers.0.mlp.down_proj.weight"),
        ({"num_hidden_layers": 4}, "missing: model.layers.3.input_layernorm.weight"),
        ({"num_hidden_layers": 2}, "unexpected: model.layers.2.input_layernorm.weight"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "'yarn' is not supported"),
    ],
)
def test_what_is_not_supported_is_refused(tmp_path, change, said):
    write_backbone(tmp_path / "backbone", "Llama")
    rewritten(tmp_path / "backbone", **change)
    with pytest.raises(CheckpointError, match=said):
        init_from_backbone(str(tmp_path / "backbone"), tmp_path / "out", **MEMORY)
    assert not (tmp_path / "out").exists()


def test_a_window_of_some_layers_only_is_refused(tmp_path):
    window = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
    write_backbone(tmp_path / "backbone", "Qwen2", **window)
    with pytest.raises(CheckpointError, match="sliding window"):
        init_from_backbone(str(tmp_path / "backbone"), tmp_path / "out", **MEMORY)


@pytest.mark.parametrize("memory", [{"num_tokenz": 4}, {"num_tokens": 0}, {"retrieval": "none"}])
def test_impossible_memory_fields_are_refused(tmp_path, memory):
    write_backbone(tmp_path / "backbone", "Llama")
    with pytest.raises(MPlusError, match=next(iter(memory))):
        init_from_backbone(str(tmp_path / "backbone"), tmp_path / "out", **memory)


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_folder_that_is_no_backbone(tmp_path, text):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        init_from_backbone(str(tmp_path), tmp_path / "out")


def test_the_backbone_itself_is_not_written_over(tmp_path):
    write_backbone(tmp_path, "Llama")
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(MPlusError, match="another folder"):
        init_from_backbone(str(tmp_path), tmp_path, **MEMORY)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_hugging_face_defaults_that_a_config_leaves_out():
    """Numbers of heads and their width follow from what is there."""
    raw = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"}
    config = ModelConfig.from_dict({**raw, **MEMORY})
    assert (config.num_key_value_heads, config.head_dim) == (4, 8)
