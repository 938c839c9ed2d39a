"""A deepened network computes what the shallow one did, and can learn on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mplus_ray.model.network.decoder import Network
from mplus_ray.model.training.loop.precision import mixed
from mplus_ray.model.training.network.grow import deepen
from mplus_ray.model.training.network.passes import block_keys, language, write
from tests.checkpoints import tiny_config


@pytest.mark.parametrize("layers", [3, 4, 7])
def test_a_deeper_network_computes_the_same(layers: int) -> None:
    shallow = Network(tiny_config(retrieval="blocks", num_hidden_layers=2))
    shallow.initialize(0)
    with torch.no_grad():
        for parameter in shallow.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)

    deep = deepen(shallow, replace(shallow.config, num_hidden_layers=layers))

    ids = torch.randint(3, 300, (2, 9))
    assert torch.allclose(language(shallow, ids), language(deep, ids), atol=1e-5)
    assert len(block_keys(deep, write(deep, ids, None))) == layers


def test_the_new_layers_learn() -> None:
    shallow = Network(tiny_config(retrieval="blocks", num_hidden_layers=2))
    shallow.initialize(0)
    deep = deepen(shallow, replace(shallow.config, num_hidden_layers=4))

    language(deep, torch.randint(3, 300, (2, 9))).square().mean().backward()

    outputs = [p.grad for n, p in deep.named_parameters() if "o_proj" in n]
    silent = [grad for grad in outputs if grad is None or not grad.any()]
    assert silent == []


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)]
)
def test_precision_is_what_was_asked_for(precision, dtype) -> None:
    with mixed(precision, torch.device("cpu")):
        product = torch.randn(4, 4) @ torch.randn(4, 4)

    assert product.dtype == dtype
