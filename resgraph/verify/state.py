"""The numbers that networks are compared on: none of them trivial, none of them absurd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from resgraph.diagnostics import ResgraphError


def prepare(network: nn.Module, images: Tensor, generator: torch.Generator) -> None:
    """Give weights that start as 0 or 1 numbers of their own, and BN the data's statistics.

    The running statistics are those of `images`, then shifted and scaled a little at
    random: with the trivial 0 and 1 a thousand layers at inference would overflow, and a
    mistake in how they are used would not show. BN's biases are above 0, so that ReLU cuts
    less than a tenth and not half: in a hundred layers without an identity path, whose rounding
    errors grow by a fifth with every ReLU of zero mean, float32 would mean nothing.
    `images` is [N, C, H, W].
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.uniform_(1.0, 2.0, generator=generator)
            elif isinstance(bias := getattr(module, "bias", None), Tensor):
                bias += torch.empty_like(bias).normal_(std=0.1, generator=generator)
        with _all_of_the_batch(network):
            network.train()(images)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                _disturb(module, generator)


@contextmanager
def _all_of_the_batch(network: nn.Module) -> Iterator[None]:
    """Let the running statistics become those of one batch."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _disturb(norm: nn.BatchNorm2d, generator: torch.Generator) -> None:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return
    shift = torch.empty_like(mean).normal_(std=0.1, generator=generator)
    mean += shift * variance.sqrt()
    variance *= torch.empty_like(variance).uniform_(0.8, 1.25, generator=generator)


def copied(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the network's state_dict."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def load(
    network: nn.Module, state: Mapping[str, Tensor], names: Mapping[str, str]
) -> None:
    """Fill a network with `state`; `names` maps the state's names to the network's.

    A tensor is given the shape that it has there: a linear layer may be a 1x1 convolution.
    What has no partner (the count of batches) keeps its value.
    """
    tensors = network.state_dict()
    with torch.no_grad():
        for ours, theirs in names.items():
            tensors[theirs].copy_(state[ours].reshape(tensors[theirs].shape))


def refuse_nan(state: Mapping[str, Tensor], where: str) -> None:
    """Raise `ResgraphError` for a tensor with a NaN or an infinity."""
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise ResgraphError(
            f"{where} has weights that are NaN or infinite: {', '.join(broken[:3])}{more}",
            "nothing can be compared on them: take a checkpoint from before the loss "
            "diverged (a run folder keeps the best one)",
        )
