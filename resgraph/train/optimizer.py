"""What a recipe's optimiser is in torch, and what it keeps per parameter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resgraph.recipe import AdamW, Recipe, Sgd

Groups = list[dict[str, Any]]
"""Parameters with options of their own, as torch's optimisers take them."""


def parameter_groups(network: nn.Module, recipe: Recipe) -> Groups:
    """The parameters, those without weight decay apart from the rest."""
    exempt = {id(p) for p in _exempt(network, recipe.no_weight_decay)}
    decayed = [p for p in network.parameters() if id(p) not in exempt]
    rest = [p for p in network.parameters() if id(p) in exempt]
    parts = ((decayed, recipe.weight_decay), (rest, 0.0))
    return [{"params": part, "weight_decay": decay} for part, decay in parts if part]


def _exempt(network: nn.Module, kinds: Iterable[str]) -> Iterator[nn.Parameter]:
    """The parameters of BN, or those that are called bias."""
    for module in network.modules():
        norm = isinstance(module, _BatchNorm)
        for name, parameter in module.named_parameters(recurse=False):
            if ("bn" in kinds and norm) or ("bias" in kinds and name == "bias"):
                yield parameter


def optimizer_for(
    parameters: Groups,
    recipe: Recipe,
    lr: float | Tensor,
    fused: bool | None = None,
    graphed: bool = False,
) -> torch.optim.Optimizer:
    """torch's optimiser of a recipe; `graphed` for steps that a CUDA graph records.

    `fused` None lets torch choose.
    """
    chosen = recipe.optimizer
    fields: dict[str, Any] = {**chosen.as_dict(), "lr": lr, "fused": fused}
    match chosen:
        case Sgd():
            return torch.optim.SGD(parameters, **fields)
        case AdamW():
            return torch.optim.AdamW(parameters, **fields, capturable=graphed)
    raise ValueError(f"torch has no {chosen.kind} here")


def state_tensors(optimizer: torch.optim.Optimizer, recipe: Recipe) -> list[Tensor]:
    """All that the optimiser keeps of its parameters, made where it is not there yet.

    Before its first step torch has nothing; the zeros that are made here come to the same.
    """
    return [
        kept
        for group in optimizer.param_groups
        for parameter in group["params"]
        for kept in _state(optimizer, recipe, parameter)
    ]


def _state(
    optimizer: torch.optim.Optimizer, recipe: Recipe, parameter: Tensor
) -> Iterator[Tensor]:
    state = optimizer.state[parameter]
    for name in recipe.optimizer.counts:
        if name not in state:
            state[name] = torch.zeros((), device=parameter.device)
        yield state[name]
    for name in recipe.optimizer.moments:
        if state.get(name) is None:
            state[name] = torch.zeros_like(parameter)
        yield state[name]
