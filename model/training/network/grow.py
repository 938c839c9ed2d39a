"""A deeper network that computes what a shallower one does, to go on training from.

A new layer is a copy of the layer behind it whose two output projections are zero: at first it
passes everything on, and its keys, queries and retriever are already of use.
"""

from __future__ import annotations

import torch

from mplus_ray.model.config import ModelConfig
from mplus_ray.model.network.decoder import Network


@torch.no_grad()
def deepen(shallow: Network, config: ModelConfig) -> Network:
    """A network of `config` with the function of `shallow`.

    Args:
        config: of the shape of `shallow` but for its greater depth.
    """
    old, new = shallow.config.num_hidden_layers, config.num_hidden_layers
    # The last copy of a layer is the layer itself; the first layer is never doubled.
    origins = [min(old - 1, -(-number * old // new)) for number in range(new)]
    weights = dict(shallow.state_dict())
    result = Network(config)
    own = result.state_dict()
    for name in own:
        if ".layers." not in name and name != "bos_embedding":
            own[name] = weights[name]
    for number, origin in enumerate(origins):
        is_copy = number + 1 < new and origins[number + 1] == origin
        for name in own:
            prefix = f"model.layers.{number}."
            if not name.startswith(prefix):
                continue
            weight = weights[name.replace(prefix, f"model.layers.{origin}.", 1)]
            silent = is_copy and name.endswith(("o_proj.weight", "down_proj.weight"))
            own[name] = torch.zeros_like(weight) if silent else weight
    if shallow.bos_embedding is not None:
        own["bos_embedding"] = shallow.bos_embedding[origins]
    result.load_state_dict(own)
    return result
