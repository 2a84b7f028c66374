"""What a network computes, in inference and in training, and how two of them compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from resgraph.train import Recipe

FACTOR = 4.0
"""Our error against float64 may be so many times the other network's own."""
LARGEST = 0.1
"""A relative error above this is never allowed: float32 then says nothing about anything."""
ROUNDING = 8 * torch.finfo(torch.float32).eps
"""Relative errors below this are rounding, whosever they are."""
STEPS = 3

Numbers = dict[str, dict[str, Tensor]]
"""Quantity -> name -> values."""

INFERENCE, TRAINING = "logits at inference", "logits in training"
GRADIENTS, STATISTICS = "gradients", "BN running statistics"
WEIGHTS = f"weights after {STEPS} steps of SGD"


@dataclass(frozen=True)
class Batch:
    """Images [N, C, H, W] and labels [N] in so many classes."""

    images: Tensor
    labels: Tensor

    def double(self) -> Batch:
        """The same images in float64."""
        return Batch(self.images.double(), self.labels)


def measured(
    network: nn.Module,
    names: Mapping[str, str],
    batch: Batch,
    recipe: Recipe,
    lr: float | None = None,
) -> tuple[Numbers, float]:
    """Logits, gradients, BN statistics, and the weights after some steps of SGD.

    `names` maps the names to report to the network's own. The network is trained by it, at
    the learning rate `lr`, or at that of `_rate`; the rate is returned with the numbers.
    """
    found: Numbers = {}
    with torch.no_grad():
        found[INFERENCE] = {"logits": network.eval()(batch.images)}
    network.train()
    parameters, buffers = (
        dict(network.named_parameters()),
        dict(network.named_buffers()),
    )
    ours = {n: own for n, own in names.items() if own in parameters}
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.warmup_lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )
    torch.manual_seed(0)  # dropout
    for step in range(STEPS):
        logits = network(batch.images)
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(logits, batch.labels))
        if step == 0:
            found[TRAINING] = {"logits": logits.detach()}
            found[GRADIENTS] = {
                n: _gradient(parameters[own]) for n, own in ours.items()
            }
            found[STATISTICS] = {
                n: buffers[own].clone() for n, own in names.items() if own in buffers
            }
            lr = _rate(network, recipe) if lr is None else lr
            optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
    found[WEIGHTS] = {n: parameters[own].detach().clone() for n, own in ours.items()}
    return {quantity: values for quantity, values in found.items() if values}, lr or 0.0


def _rate(network: nn.Module, recipe: Recipe) -> float:
    """A learning rate at which a step changes the weights by a thousandth of their norm.

    At most the recipe's rate of the warm-up. In networks whose gradients explode, whole steps
    would leave rounding errors larger than the weights.
    """
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    slope = sum(float(g.square().sum()) for g in gradients) ** 0.5
    norm = sum(float(p.detach().square().sum()) for p in network.parameters()) ** 0.5
    return min(recipe.warmup_lr, 1e-3 * norm / slope) if slope > 0 else recipe.warmup_lr


def _gradient(parameter: nn.Parameter) -> Tensor:
    return (
        torch.zeros_like(parameter)
        if parameter.grad is None
        else parameter.grad.clone()
    )


def same_bits(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    """Every tensor equal to the last bit, and finite."""
    return all(
        torch.equal(tensor, theirs[name]) and bool(tensor.isfinite().all())
        for name, tensor in ours.items()
    )


@dataclass(frozen=True)
class Distance:
    """How far two sets of tensors are from float64, at the tensor where ours is worst."""

    name: str
    ours: float
    """Error relative to the exact values, in the 2-norm."""
    allowed: float
    size: float
    """The largest exact value."""

    @property
    def within(self) -> bool:
        return self.ours <= self.allowed  # False for NaN

    def __str__(self) -> str:
        return (
            f"{self.name}: error {self.ours:.1e} against float64, {self.allowed:.1e} "
            f"allowed, of values up to {self.size:.2g}"
        )


def distance(
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    exact: Mapping[str, Tensor],
) -> Distance:
    """Where our error is largest beside what is allowed.

    Allowed is `FACTOR` times their own error in the same tensor, or times its root mean
    square over all tensors where that is more, plus `ROUNDING`; all relative to the tensor,
    and at most `LARGEST`.
    """
    errors = {name: relative(theirs[name], exact[name]) for name in ours}
    typical = (sum(e * e for e in errors.values()) / len(errors)) ** 0.5
    worst: Distance | None = None
    for name, tensor in ours.items():
        error = relative(tensor, exact[name])
        allowed = min(FACTOR * max(errors[name], typical) + ROUNDING, LARGEST)
        if worst is None or not error / allowed <= worst.ours / worst.allowed:
            size = float(exact[name].abs().max())
            worst = Distance(name, error, allowed, size)
    assert worst is not None  # networks without parameters have logits still
    return worst


def relative(values: Tensor, exact: Tensor) -> float:
    """|values - exact| / |exact| in the 2-norm; NaN where anything is not finite."""
    if values.numel() != exact.numel():
        return float("nan")
    exact = exact.reshape(values.shape)  # a linear layer's weight, or a convolution's
    error = (values.detach().cpu().double() - exact.cpu()).norm()
    norm = exact.cpu().norm()
    if not (error.isfinite() and norm.isfinite()):
        return float("nan")
    return float(error / norm) if norm > 0 else float(error)
