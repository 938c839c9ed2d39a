"""The dense training passes equal the product's write and read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.network import write_pass as product
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.training.network.passes import (
    advance,
    block_keys,
    fused_attention,
    language,
    plain_attention,
    question_queries,
    write,
)
from mplus_ray.model.training.network.read_pass import Surroundings, read
from mplus_ray.model.training.phases.layout import Layout


@pytest.fixture
def network() -> Network:
    network = Network(
        ModelConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            num_tokens=6,
            num_blocks=8,
            num_ltm_blocks=2,
            chunk_tokens=12,
            selector_hidden_dim=8,
            num_selector_layers=1,
            retrieval="blocks",
        )
    )
    network.initialize(0)
    with torch.no_grad():
        network.new_memory_positional_emb.normal_(std=0.5)
    return network


@pytest.mark.parametrize("length", [12, 6, 2])
@pytest.mark.parametrize("empty", [True, False])
def test_write_equals_the_products(network: Network, length: int, empty: bool) -> None:
    ids = torch.randint(3, 50, (3, length))
    previous = None if empty else torch.randn(3, 2, 6, 16)

    mine = write(network, ids, previous)
    before = [None] * 3 if previous is None else list(previous)
    theirs = product.write(network, list(ids), before)

    assert torch.allclose(mine, torch.stack(theirs), atol=1e-5)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (5, 12), (1, 7)])
def test_attention_is_the_same_by_products_and_by_kernels(n: int, m: int) -> None:
    queries = torch.randn(3, n, 4, 8, requires_grad=True)
    keys, values = (torch.randn(3, m, 2, 8, requires_grad=True) for _ in range(2))
    toward = torch.randn(3, n, 4, 8)

    def run(attention: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        out = attention(queries, keys, values)
        return [out, *torch.autograd.grad(out, [queries, keys, values], toward)]

    for mine, theirs in zip(run(plain_attention), run(fused_attention), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def _dense(network: Network, ids: torch.Tensor, memory: list[torch.Tensor]) -> torch.Tensor:
    """The plain read: per layer, [bos | memory rows | prompt]."""
    x = network.embed(ids)
    for number, layer in enumerate(network.layers):
        bos = network.bos(number).expand(len(ids), -1, -1)
        x = advance(network, layer, torch.cat([bos, memory[number]], dim=1), x)
    return x


def test_read_equals_the_dense_pass_whatever_the_order_of_the_rows(network: Network) -> None:
    ids, own, others = torch.randint(3, 50, (3, 7)), torch.randn(3, 2, 6, 16), torch.randn(2, 5, 16)
    around = Surroundings(
        shared=list(others),
        shared_at=[torch.tensor([1, 2, 9, 10, 11])] * 2,
        own=own,
        owners=torch.tensor([2, 0, 2]),
        own_at=torch.arange(3, 9).expand(2, -1),
        start=12,
    )

    rows = [
        torch.cat([o[:2].expand(3, -1, -1), own[[2, 0, 2], i], o[2:].expand(3, -1, -1)], dim=1)
        for i, o in enumerate(others)
    ]

    assert torch.allclose(read(network, ids, around), _dense(network, ids, rows), atol=1e-5)


def test_rows_left_out_are_not_seen(network: Network) -> None:
    ids, own = torch.randint(3, 50, (2, 4)), torch.randn(2, 2, 6, 16)
    at = torch.tensor([1, 2, 3, -1, -1, -1]).expand(2, -1)
    nothing = [torch.empty(0, 16)] * 2, [torch.empty(0, dtype=torch.long)] * 2

    seen = read(network, ids, Surroundings(*nothing, own, torch.arange(2), at, start=4))

    assert torch.allclose(seen, _dense(network, ids, [own[:, 0, :3], own[:, 1, :3]]), atol=1e-5)


def test_question_queries_follow_the_language_pass(network: Network) -> None:
    ids = torch.randint(3, 50, (2, 5))

    queries = question_queries(network, ids)
    longer = question_queries(network, torch.cat([ids, ids], dim=1))

    assert [q.shape for q in queries] == [(2, 5, 8)] * 2
    assert torch.allclose(queries[1], longer[1][:, :5], atol=1e-5)
    assert language(network, ids).shape == (2, 5, 16)
    assert [k.shape for k in block_keys(network, torch.randn(4, 2, 6, 16))] == [(4, 6, 8)] * 2


@pytest.mark.parametrize("in_pool", [0.0, 0.5, 1.0])
def test_layout_gives_every_row_a_place_of_its_own(in_pool: float) -> None:
    layout = Layout(
        pool=3,
        beside=2 if in_pool < 1 else 0,
        slot=1,
        in_pool=in_pool,
        age=0.5,
        kept=1.0,
        survivors=0.7,
    )
    own, others = torch.randn(4, 2, 6, 16), torch.randn(layout.beside + 3, 2, 6, 16)

    around = layout.place(own, torch.arange(len(own)), others, 6)

    for layer in range(2):
        taken = torch.cat([around.shared_at[layer], around.own_at[layer]])
        assert len(taken.unique()) == len(taken)
        assert int(taken.min()) >= 1
        assert int(taken.max()) < around.start
        assert len(around.shared[layer]) == len(around.shared_at[layer])
