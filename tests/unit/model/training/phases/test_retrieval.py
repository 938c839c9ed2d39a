"""The retriever's losses: blocks by their vote, rows by the paper's cross entropy."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from mplus_ray.model.network.decoder import Network
from mplus_ray.model.retrieval.retriever import row_scores
from mplus_ray.model.training.phases.retrieval import contrast, hardest, row_loss, votes
from mplus_ray.model.training.phases.token_losses import token_losses
from tests.training import CONFIG


@pytest.fixture
def network() -> Network:
    network = Network(replace(CONFIG, retrieval="rows", num_selector_layers=2))
    network.initialize(0)
    return network


def _asked(network: Network) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Queries of three questions of 5, 3 and 4 tokens, those lengths, and six blocks."""
    queries = [torch.randn(3, 5, CONFIG.selector_hidden_dim) for _ in network.layers]
    return queries, torch.tensor([5, 3, 4]), torch.randn(6, 2, CONFIG.num_tokens, 16)


def test_row_loss_is_the_cross_entropy_written_out(network: Network) -> None:
    queries, prompts, blocks = _asked(network)
    targets = torch.tensor([2, -1, 5])

    loss, _ = row_loss(network, queries, prompts, blocks, targets)

    expected = 0.0
    for number, layer in enumerate(network.layers):
        keys = layer.self_attn.key_proj(layer.input_layernorm(blocks[:, number]))
        right, wrong = [], []
        for question, (length, target) in enumerate(zip([5, 3, 4], [2, -1, 5], strict=True)):
            for block in range(6):
                p = torch.sigmoid(queries[number][question, :length] @ keys[block].T)
                if block == target:
                    right.append(-p.log().mean())
                else:
                    wrong.append(-(1 - p).log().mean())
        expected += (torch.stack(right).mean() + torch.stack(wrong).mean()).item()
    assert loss.item() == pytest.approx(expected / 2, rel=1e-5)


def test_row_loss_trains_the_retriever_alone_and_finds(network: Network) -> None:
    """The queries come of a projection here, as they do in the read pass."""
    states = torch.randn(3, 5, 16)
    _, prompts, blocks = _asked(network)
    targets = torch.tensor([2, 0, 5])
    blocks.requires_grad_(True)
    trained = [p for n, p in network.named_parameters() if "query_proj" in n or "key_proj" in n]
    adam = torch.optim.Adam(trained, lr=0.02)
    loss, found = torch.tensor(torch.inf), 0.0
    for _ in range(60):
        queries = [layer.self_attn.query_proj(states) for layer in network.layers]
        loss, found = row_loss(network, queries, prompts, blocks, targets)
        adam.zero_grad()
        loss.backward()
        adam.step()

    assert loss.item() < 0.5 < 2 * math.log(2)
    assert found > 0.9
    assert blocks.grad is None
    for name, parameter in network.named_parameters():
        selector = "query_proj" in name or "key_proj" in name
        assert selector or parameter.grad is None, name


def test_the_vote_learns_to_find_blocks(network: Network) -> None:
    ids, prompts = torch.randint(3, 50, (3, 6)), torch.tensor([6, 4, 5])
    _, _, blocks = _asked(network)
    targets = torch.tensor([2, 0, 5])
    trained = [p for n, p in network.named_parameters() if "query_proj" in n or "key_proj" in n]
    adam = torch.optim.Adam(trained, lr=0.02)
    losses, found = [], 0.0
    for _ in range(60):
        loss, found = contrast(votes(network, ids, prompts, blocks), targets)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())

    assert losses[-1] < 0.1 < losses[0]
    assert found == 1


def test_what_counts_as_found_is_what_would_be_retrieved(network: Network) -> None:
    queries, prompts, blocks = _asked(network)
    _, found = row_loss(network, queries, prompts, blocks, torch.tensor([1, -1, -1]))

    shares = []
    for number, layer in enumerate(network.layers):
        keys = layer.self_attn.key_proj(layer.input_layernorm(blocks[:, number].flatten(0, 1)))
        best = row_scores(queries[number][0], keys.detach()).topk(CONFIG.retrieved_rows).indices
        shares.append(float((best // CONFIG.num_tokens == 1).sum()) / CONFIG.num_tokens)
    assert found == pytest.approx(sum(shares) / 2)


def test_nothing_to_find_is_no_loss_of_blocks() -> None:
    loss, found = contrast(torch.randn(2, 4, requires_grad=True), torch.tensor([-1, -1]))

    assert loss.item() == 0
    assert math.isnan(found)


def test_votes_do_not_hang_on_padding_and_the_hardest_are_the_best(network: Network) -> None:
    ids = torch.randint(3, 50, (2, 7))
    blocks = torch.randn(5, 2, CONFIG.num_tokens, 16)
    counted = votes(network, ids, torch.tensor([4, 7]), blocks)
    ids[0, 4:] = 1

    assert torch.allclose(votes(network, ids, torch.tensor([4, 7]), blocks), counted, atol=1e-5)
    assert hardest(counted, 1) == [int(counted[0].argmax())]


def test_losses_in_slices_are_the_losses(network: Network, monkeypatch) -> None:
    hidden, targets = torch.randn(9, 16), torch.randint(0, 50, (9,))
    gradients = []
    for numbers in (1 << 26, 2 * CONFIG.vocab_size):
        monkeypatch.setattr("mplus_ray.model.training.phases.token_losses._LOGITS", numbers)
        network.zero_grad()
        losses, hits = token_losses(network, hidden, targets)
        losses.sum().backward()
        gradients.append((losses, hits, network.lm_head.weight.grad))

    for whole, sliced in zip(*gradients, strict=True):
        assert torch.allclose(whole, sliced, atol=1e-5)
