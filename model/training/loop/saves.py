"""The state of a run on disk: whole tensors, whatever they were spread over.

`state.pt` has weights, optimizers, standing and the banks of the first worker's shards; the
other workers' banks lie beside it as `state.1.pt` and so on. `best.pt` has the weights that
did best in validation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mplus_ray.model.errors import CheckpointError, InvalidInputError
from mplus_ray.model.training.loop.parallel import gathered, part

STATE, BEST = "state.pt", "best.pt"


def write(path: Path, content: dict[str, Any]) -> None:
    """Write beside the old file and swap, so that a kill leaves one of the two."""
    beside = path.with_suffix(".tmp")
    torch.save(content, beside)
    beside.replace(path)


def read(folder: Path, name: str = STATE) -> dict[str, Any]:
    """What lies in a run's folder, the tasks of all workers joined.

    Raises:
        InvalidInputError: nothing was saved there.
    """
    path = folder / name
    if not path.exists():
        raise InvalidInputError(f"{folder} has no {name}; nothing has been saved there yet")
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    tasks = state.get("tasks", {})
    for path in sorted(folder.glob("state.*.pt")) if name == STATE else ():
        other = torch.load(path, weights_only=True, map_location="cpu")
        if other["total_tokens"] == state["progress"]["total_tokens"]:  # of the same save
            tasks |= other["tasks"]
    return {**state, "tasks": tasks}


def weights_of(network: nn.Module) -> dict[str, Any]:
    """What is trained of a network, by name, whole; every worker must ask."""
    trained = {n: p.detach() for n, p in network.named_parameters() if p.requires_grad}
    result: dict[str, Any] = gathered(trained)
    return result


@torch.no_grad()
def set_weights(network: nn.Module, weights: dict[str, Any]) -> None:
    """Give a network the weights of a save.

    Raises:
        CheckpointError: they are of a network of another shape.
    """
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            saved = weights.get(name)
            if saved is None or saved.shape != parameter.shape:
                found = None if saved is None else list(saved.shape)
                raise CheckpointError(
                    f"the save is not of this recipe's model: {name} is {found}, expected "
                    f"{list(parameter.shape)}"
                )
            parameter.copy_(part(saved.to(parameter.dtype), parameter))


def set_optimizer(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Give an optimizer the state of a save; its full rates stay the recipe's."""
    rates = [group["full_lr"] for group in optimizer.param_groups]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {
        index: {name: _like(value, parameters[index]) for name, value in values.items()}
        for index, values in saved["state"].items()
    }
    optimizer.load_state_dict({**saved, "state": state})
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["full_lr"] = rate


def _like(value: Any, parameter: nn.Parameter) -> Any:
    """Moments are spread as their parameter is; counters stay as they are."""
    of_parameter = isinstance(value, torch.Tensor) and value.shape == parameter.shape
    return part(value, parameter) if of_parameter else value
