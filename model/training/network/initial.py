"""The network that a run begins with, where it is trained, and how it is spread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch.distributed.fsdp import fully_shard

from mplus_ray.model.checkpoint.checkpoint import load_networks
from mplus_ray.model.checkpoint.hub import find_checkpoint
from mplus_ray.model.config import ModelConfig
from mplus_ray.model.generation.tokenizer import TextTokenizer
from mplus_ray.model.network.decoder import Network
from mplus_ray.model.training.loop.parallel import Group, Whole
from mplus_ray.model.training.loop.precision import is_mixed
from mplus_ray.model.training.network.grow import deepen
from mplus_ray.model.training.network.induction import plant, plant_retriever
from mplus_ray.model.training.network.trained import load_trained
from mplus_ray.model.training.recipe import Recipe
from mplus_ray.model.training.task import Roles


def open_whole(recipe: Recipe, device: torch.device, group: Group | None = None) -> Whole:
    """The weights that a run begins with, on the device, in both roles."""
    group = group or Group()
    network = first_weights(recipe)
    if recipe.adapters is not None:
        network = _adapted(network, recipe, device)
    network.to(device)
    for layer in network.layers:
        layer.recompute = recipe.recompute
    if not group.sharded:
        return Whole(_roles(network, recipe))
    mesh = group.mesh(device)
    for layer in network.layers:
        fully_shard(layer, mesh=mesh)
    whole = Whole(_roles(network, recipe))  # of sharded layers, so that both roles gather them
    fully_shard(whole, mesh=mesh)
    return whole


def first_weights(recipe: Recipe) -> Network:
    """Noise, a planted circuit in it, a backbone, or a checkpoint's weights, deepened where the
    recipe has more layers.

    Raises:
        CheckpointError: the checkpoint cannot be read, or is of another shape than the recipe's.
    """
    if recipe.backbone is not None:
        from mplus_ray.model.checkpoint.backbone import network_around

        folder = find_checkpoint(recipe.backbone)
        text = recipe.start_text
        rows = TextTokenizer.load(folder).encode(text) if text is not None else None
        return network_around(folder, recipe.model, recipe.seed, rows)
    network = Network(recipe.model)
    network.initialize(recipe.seed)
    if recipe.plant_induction:
        plant(network, recipe.seed)
        plant_retriever(network, recipe.seed)
    if recipe.start is not None:
        start, cpu = Path(recipe.start), torch.device("cpu")
        layers = min(ModelConfig.load(start).num_hidden_layers, recipe.model.num_hidden_layers)
        shape = replace(recipe.model, num_hidden_layers=layers)
        begun = load_networks(start, shape, cpu, torch.float32, False).reader
        if layers < recipe.model.num_hidden_layers:
            begun = deepen(begun, recipe.model)
        network.load_state_dict(begun.state_dict())
    return network


def _adapted(network: Network, recipe: Recipe, device: torch.device) -> Network:
    """With adapters; what is frozen is kept in the precision that products are taken in."""
    from mplus_ray.model.training.network.adapters import (
        add_adapters,  # peft, which only this needs
    )

    assert recipe.adapters is not None
    if is_mixed(recipe.precision, device):
        network.to(torch.bfloat16)
    add_adapters(network, recipe.adapters, recipe.seed)
    if recipe.start is not None:
        load_trained(network, Path(recipe.start))
    return network


def _roles(network: Network, recipe: Recipe) -> Roles:
    if recipe.adapters is None:
        return Roles(network, network)
    from mplus_ray.model.training.network.adapters import roles_of

    return roles_of(network)
