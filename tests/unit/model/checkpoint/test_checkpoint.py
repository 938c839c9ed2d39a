"""Official layouts load, ours makes a round trip, and what does not fit is listed in one error."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mplus_ray.model.checkpoint.checkpoint import check_layout, load_networks, save_checkpoint
from mplus_ray.model.checkpoint.tensors import TensorFolder
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.config_json import LoraConfig
from mplus_ray.model.errors import CheckpointError
from mplus_ray.model.network.decoder import Network
from tests.checkpoints import tiny_config, write_checkpoint
from tests.forms import FORMS, load
from tests.official import ADAPTED, LORA, official_shapes, write_official, write_tensors

CPU = torch.device("cpu")
ADAPTERS: dict[str, Any] = {"lora_config": LORA, "add_decoder_lora": True}


def merged(tensors, module, adapter):
    a, b = (tensors[f"{module}.lora_{x}.{adapter}.weight"] for x in "AB")
    return tensors[f"{module}.base_layer.weight"] + LORA.scale * (b @ a)


def parameters(network):
    return dict(network.named_parameters())


def test_each_role_has_its_adapter_merged_in(tmp_path):
    config, tensors = write_official(tmp_path, **ADAPTERS, attention_bias=True)
    networks = load(tmp_path, config)
    for role, adapter in ((networks.writer, "default"), (networks.reader, "decoder_adapter")):
        for name, weight in parameters(role).items():
            module = name.removesuffix(".weight")
            if f"{module}.base_layer.weight" in tensors:
                torch.testing.assert_close(weight, merged(tensors, module, adapter))
            else:
                assert torch.equal(weight, tensors[name])


def test_what_no_adapter_touches_is_held_once(tmp_path):
    config, _ = write_official(tmp_path, **ADAPTERS)
    networks = load(tmp_path, config)
    writer, reader = parameters(networks.writer), parameters(networks.reader)
    for name in writer:
        adapted = any(part in name for part in ADAPTED)
        assert (writer[name] is reader[name]) == (not adapted), name


@pytest.mark.parametrize("lora", [None, LORA])
def test_one_set_of_weights_is_one_network(tmp_path, lora):
    config, _ = write_official(tmp_path, lora_config=lora)
    networks = load(tmp_path, config)
    assert networks.writer is networks.reader


@pytest.mark.parametrize("genesis", [None, 6])
def test_write_only_loads_no_more_of_the_reader_than_rows_need(tmp_path, genesis):
    config, _ = write_official(tmp_path, **ADAPTERS, genesis=genesis)
    networks = load_networks(tmp_path, config, CPU, torch.float32, write_only=True)
    full = load(tmp_path, config)
    needed = re.compile(r"input_layernorm|k_proj|v_proj|key_proj")
    for name, weight in parameters(networks.reader).items():
        assert weight.is_meta == (needed.search(name) is None), name
        if not weight.is_meta:
            assert torch.equal(weight, parameters(full.reader)[name])
    for name, weight in parameters(networks.writer).items():
        assert torch.equal(weight, parameters(full.writer)[name])


def test_tied_embeddings_are_one_tensor(tmp_path):
    config, _ = write_official(tmp_path, tie_word_embeddings=True, **ADAPTERS)
    networks = load(tmp_path, config)
    for network in (networks.writer, networks.reader):
        assert network.lm_head.weight is network.model.embed_tokens.weight


@pytest.mark.parametrize("shards", [2, 7])
def test_shards_are_one_checkpoint(tmp_path, shards):
    config, _ = write_official(tmp_path / "one", genesis=4, **ADAPTERS)
    write_official(tmp_path / "many", genesis=4, shards=shards, **ADAPTERS)
    one, many = load(tmp_path / "one", config), load(tmp_path / "many", config)
    for role in ("writer", "reader"):
        ours = parameters(getattr(many, role))
        for name, weight in parameters(getattr(one, role)).items():
            assert torch.equal(weight, ours[name])
    assert one.genesis is not None
    assert many.genesis is not None
    assert torch.equal(one.genesis.rows.kv, many.genesis.rows.kv)
    prints = [TensorFolder.open(tmp_path / n).fingerprint({}) for n in ("one", "many")]
    assert prints[0] == prints[1]


def test_adapters_are_merged_before_the_cast(tmp_path):
    config, tensors = write_official(tmp_path, lora_config=LORA)
    weight = parameters(load(tmp_path, config, torch.bfloat16).writer)[
        "model.layers.1.mlp.up_proj.weight"
    ]
    expected = merged(tensors, "model.layers.1.mlp.up_proj", "default").bfloat16()
    assert torch.equal(weight, expected)


def test_half_precision_files_load_as_what_is_wanted(tmp_path):
    config, tensors = write_official(tmp_path, genesis=3)
    write_tensors(tmp_path, {n: t.bfloat16() for n, t in tensors.items()})
    networks = load(tmp_path, config)
    assert {p.dtype for p in networks.writer.parameters()} == {torch.float32}


@pytest.mark.parametrize("form", [f for f in FORMS if "lora_config" not in FORMS[f]])
def test_our_own_round_trip(tmp_path, form):
    changes = {k: v for k, v in FORMS[form].items() if k not in ("genesis", "uneven")}
    config = tiny_config(**changes, prompt_template="Q {question} A", eos_token_ids=(2, 5))
    network = Network(config)
    network.initialize(3)
    save_checkpoint(tmp_path, config, network)
    assert ModelConfig.load(tmp_path) == config
    back = load(tmp_path, config).reader
    assert parameters(back).keys() == parameters(network).keys()
    for name, weight in parameters(network).items():
        assert torch.equal(parameters(back)[name], weight)


def test_a_checkpoint_saved_over_a_sharded_one_is_the_one_that_loads(tmp_path):
    config, _ = write_official(tmp_path, shards=3)
    network = Network(config)
    network.initialize(3)
    save_checkpoint(tmp_path, config, network)
    name = "model.layers.0.self_attn.q_proj.weight"
    back = load(tmp_path, ModelConfig.load(tmp_path)).reader
    assert torch.equal(parameters(back)[name], parameters(network)[name])


def test_one_error_lists_everything(tmp_path):
    config, tensors = write_official(tmp_path, genesis=4, **ADAPTERS)
    del tensors["model.norm.weight"]
    del tensors["model.layers.1.mlp.up_proj.lora_B.decoder_adapter.weight"]
    del tensors["ltm.2"]
    tensors["model.layers.0.input_layernorm.weight"] = torch.ones(31)
    tensors["model.layers.2.self_attn.key_proj.0.weight"] = torch.ones(5, 32)
    tensors["model.layers.0.mlp.gate_proj.lora_A.default.weight"] = torch.ones(3, 32)
    tensors["memory"] = torch.ones(3, 12, 32)
    tensors["model.layers.3.mlp.up_proj.weight"] = torch.ones(2, 2)
    tensors["surprise"] = torch.ones(1)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path, config)
    said = str(caught.value)
    for line in (
        str(tmp_path),
        "missing: model.norm.weight [32]",
        "missing: model.layers.1.mlp.up_proj.lora_B.decoder_adapter.weight [64, 4]",
        "wrong shape: model.layers.0.input_layernorm.weight is [31], expected [32]",
        "wrong shape: model.layers.2.self_attn.key_proj.0.weight is [5, 32], expected [16, 32]",
        "wrong shape: model.layers.0.mlp.gate_proj.lora_A.default.weight is [3, 32]",
        "wrong shape: memory is [3, 12, 32], expected [3, 16, 32]",
        "ltm.2",
        "unexpected: model.layers.3.mlp.up_proj.weight [2, 2]",
        "unexpected: surprise [1]",
    ):
        assert line in said
    assert len(said.splitlines()) == 1 + 9


def test_adapters_that_the_config_does_not_know_are_not_dropped_silently(tmp_path):
    _, tensors = write_official(tmp_path, **ADAPTERS)
    config = tiny_config()
    with pytest.raises(CheckpointError, match=r"unexpected: .*lora_A"):
        check_layout(config, {n: tuple(t.shape) for n, t in tensors.items()}, "here")


@pytest.mark.parametrize("name", ["encoder_query_proj.0.weight", "rotary_emb.inv_freq"])
def test_known_but_unused_tensors_are_no_problem(tmp_path, name):
    config, tensors = write_official(tmp_path, genesis=4)
    tensors[f"model.layers.0.self_attn.{name}"] = torch.ones(3)
    tensors["ltm_keys.0"] = torch.ones(4, 8)
    save_file(tensors, tmp_path / "model.safetensors")
    load(tmp_path, config)


def test_files_that_are_missing_or_damaged(tmp_path):
    with pytest.raises(CheckpointError, match="has neither"):
        TensorFolder.open(tmp_path)
    write_official(tmp_path, shards=3)
    second = tmp_path / "model-00002-of-00003.safetensors"
    whole = second.read_bytes()
    for raw in (b"", whole[:100], whole[:-10], b"\xff" * 64):
        second.write_bytes(raw)
        with pytest.raises(CheckpointError, match=rf"{second.name} is damaged"):
            TensorFolder.open(tmp_path)
    second.unlink()
    with pytest.raises(CheckpointError, match=rf"{second.name} is missing.*download it again"):
        TensorFolder.open(tmp_path)
    for text in ("{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 1}}'):
        (tmp_path / "model.safetensors.index.json").write_text(text)
        with pytest.raises(CheckpointError, match="is not a safetensors index"):
            TensorFolder.open(tmp_path)


def test_fingerprints_tell_weights_and_configs_apart(tmp_path):
    write_checkpoint(tmp_path / "a", seed=1)
    write_checkpoint(tmp_path / "b", seed=1)
    write_checkpoint(tmp_path / "c", seed=2)
    a, b, c = (TensorFolder.open(tmp_path / n) for n in "abc")
    assert a.fingerprint({"x": 1}) == b.fingerprint({"x": 1})
    assert a.fingerprint({"x": 1}) != a.fingerprint({"x": 2})
    assert a.fingerprint({}) != c.fingerprint({})
    tensors = load_file(tmp_path / "b" / "model.safetensors")
    tensors["model.norm.weight"][3] += 1e-3
    save_file(tensors, tmp_path / "b" / "model.safetensors")
    assert a.fingerprint({}) != TensorFolder.open(tmp_path / "b").fingerprint({})


MPLUS_8B: dict[str, Any] = {
    "architectures": ["MPlus"],
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "max_position_embeddings": 131_072,
    "hidden_act": "silu",
    "attention_bias": False,
    "tie_word_embeddings": False,
    "bos_token_id": 128_000,
    "eos_token_id": [128_001, 128_008, 128_009],
    "num_tokens": 256,
    "num_blocks": 50,
    "num_ltm_blocks": 10,
    "add_bos_embedding": True,
    "drop_memory_per_layer": True,
    "add_decoder_lora": True,
    "add_selector": True,
    "selector_hidden_dim": 256,
    "num_selector_layers": 2,
    "lora_config": {"r": 8, "lora_alpha": 32, "target_modules": list(ADAPTED)},
}
MEMORYLLM_8B: dict[str, Any] = {
    **{k: v for k, v in MPLUS_8B.items() if k not in ("num_ltm_blocks", "add_selector")},
    "model_type": "memoryllm",
    "drop_memory_per_layer": False,
}


def shapes_8b(config, long_term):
    """Written out, not derived from our own network."""
    lora = config.lora_config
    shapes = {
        "model.embed_tokens.weight": (128_256, 4096),
        "lm_head.weight": (128_256, 4096),
        "model.norm.weight": (4096,),
        "memory": (32, config.pool_rows, 4096),
        "bos_embedding": (32, 1, 4096),
        "new_memory_positional_emb": (1, 1, 4096),
    }
    wide = {
        "self_attn.q_proj": (4096, 4096),
        "self_attn.k_proj": (1024, 4096),
        "self_attn.v_proj": (1024, 4096),
        "mlp.gate_proj": (14_336, 4096),
        "mlp.up_proj": (14_336, 4096),
        "mlp.down_proj": (4096, 14_336),
    }
    for layer in range(32):
        at = f"model.layers.{layer}"
        shapes[f"{at}.self_attn.o_proj.weight"] = (4096, 4096)
        shapes[f"{at}.input_layernorm.weight"] = (4096,)
        shapes[f"{at}.post_attention_layernorm.weight"] = (4096,)
        for name, (rows, columns) in wide.items():
            shapes[f"{at}.{name}.base_layer.weight"] = (rows, columns)
            for adapter in ("default", "decoder_adapter"):
                shapes[f"{at}.{name}.lora_A.{adapter}.weight"] = (lora.r, columns)
                shapes[f"{at}.{name}.lora_B.{adapter}.weight"] = (rows, lora.r)
        if long_term:
            for side in ("query_proj", "key_proj", "encoder_query_proj"):
                shapes[f"{at}.self_attn.{side}.0.weight"] = (2048, 4096)
                shapes[f"{at}.self_attn.{side}.2.weight"] = (256, 2048)
            shapes[f"ltm.{layer}"] = (2560, 4096)
            shapes[f"ltm_keys.{layer}"] = (2560, 256)
            shapes[f"ltm_recall_frequencies.{layer}"] = (2560,)
            shapes[f"ltm_ages.{layer}"] = (2560,)
    return shapes


@pytest.mark.parametrize("r", [8, 16])
@pytest.mark.parametrize("raw", [MPLUS_8B, MEMORYLLM_8B], ids=["mplus", "memoryllm"])
def test_the_8b_layouts(raw, r):
    config = ModelConfig.from_dict({**raw, "lora_config": {**raw["lora_config"], "r": r}})
    long_term = raw is MPLUS_8B
    assert config.has_long_term == long_term
    assert config.pool_rows == (10_240 if long_term else 12_800)
    assert config.retrieved_rows == (2560 if long_term else 0)
    shapes = shapes_8b(config, long_term)
    sources = check_layout(config, shapes, "mplus-8b")
    name = "model.layers.31.mlp.down_proj.weight"
    assert sources["write"][name].a == "model.layers.31.mlp.down_proj.lora_A.default.weight"
    assert sources["read"][name].a == "model.layers.31.mlp.down_proj.lora_A.decoder_adapter.weight"
    name = "model.layers.31.self_attn.o_proj.weight"
    assert sources["write"][name] == sources["read"][name]
    del shapes["model.layers.17.mlp.down_proj.lora_B.default.weight"]
    with pytest.raises(
        CheckpointError, match=r"missing: model\.layers\.17\.mlp\.down_proj\.lora_B"
    ):
        check_layout(config, shapes, "mplus-8b")


def test_the_8b_backbone_has_8_03_billion_parameters():
    with torch.device("meta"):
        network = Network(ModelConfig.from_dict(MPLUS_8B))
    own = re.compile(r"query_proj|key_proj|bos_embedding|new_memory")
    count = sum(p.numel() for n, p in network.named_parameters() if not own.search(n))
    assert count == 8_030_261_248


def test_the_shape_table_of_the_tests_is_that_of_the_8b_layout():
    """`official_shapes`, which the other tests load, against the table written out."""
    config = ModelConfig.from_dict(MPLUS_8B)
    unused = {n for n in shapes_8b(config, True) if "encoder_query_proj" in n}
    expected = {n: s for n, s in shapes_8b(config, True).items() if n not in unused}
    assert official_shapes(config, genesis=2560, keys=256) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vocab_size": None}, "missing vocab_size"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"hidden_size": "64"}, "hidden_size"),
        ({"num_key_value_heads": 3}, "not a multiple"),
        ({"head_dim": 7}, "odd"),
        ({"num_blocks": 2, "num_ltm_blocks": 2}, "must exceed"),
        ({"num_ltm_blocks": -1}, "num_ltm_blocks"),
        ({"num_selector_layers": 3}, "num_selector_layers"),
        ({"retrieval": "guess"}, "retrieval"),
        ({"max_vote_gap": -1.0}, "max_vote_gap"),
        ({"lora_config": {"lora_alpha": 8}}, "lora_config"),
        ({"lora_config": {"r": 0, "lora_alpha": 8, "target_modules": []}}, "lora_config"),
        ({"prompt_template": "no place"}, "prompt_template"),
        ({"sliding_window": 0}, "sliding_window"),
    ],
)
def test_impossible_configs_are_refused(tmp_path, change, said):
    raw = {**tiny_config().to_dict(), **change}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match=said):
        ModelConfig.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\xff\xfe"])
def test_a_config_that_is_none(tmp_path, text):
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        ModelConfig.load(tmp_path)


@pytest.mark.parametrize("scaling", [{"rope_type": "yarn", "factor": 2.0}, {"rope_type": "llama3"}])
def test_a_rope_that_is_not_supported(tmp_path, scaling):
    write_official(tmp_path)
    config = tiny_config(rope_scaling=scaling)
    with pytest.raises(CheckpointError, match="rope_scaling"):
        load(tmp_path, config)


def test_both_spellings_of_rope():
    plain = {k: v for k, v in MPLUS_8B.items() if k not in ("rope_theta", "rope_scaling")}
    new = {**plain, "rope_parameters": {**MPLUS_8B["rope_scaling"], "rope_theta": 500_000.0}}
    config = ModelConfig.from_dict(new)
    assert config.rope_theta == 500_000.0
    assert config.rope_scaling is not None
    assert config.rope_scaling["factor"] == 8.0


def test_lora_scale():
    assert LoraConfig(r=4, lora_alpha=8, target_modules=()).scale == 2.0
