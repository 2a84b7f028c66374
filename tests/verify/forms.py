"""Modules of any forward, with equal weights: their numbers, and their structure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from resgraph.verify.isomorphism import Match, match
from resgraph.verify.trace import trace

Form = Callable[["Net", Tensor], Tensor]
SIZES = [(8, 8), (7, 9), (2, 6), (1, 1)]


class Net(nn.Module):
    """A module whose forward is any function of itself and an image of four channels."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.other = nn.Conv2d(4, 4, 1)
        self.wide = nn.Conv2d(4, 4, 5)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 4)
        self.point = nn.Conv2d(4, 4, 1)
        self.fc2 = nn.Linear(4, 4)
        self.point2 = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.form(self, x)


def nets(forms: Sequence[Form], training: bool) -> list[Net]:
    """The forms with equal weights, in float64."""
    torch.manual_seed(3)
    first = Net(forms[0])
    with torch.no_grad():
        for point, fc in ((first.point, first.fc), (first.point2, first.fc2)):
            point.weight.copy_(fc.weight[:, :, None, None])
            point.bias.copy_(fc.bias)
    made = [Net(form) for form in forms]
    for net in made:
        net.load_state_dict(first.state_dict())
        net.double().train(training)
    return made


def computed(net: Net, x: Tensor) -> list[Tensor]:
    """The result, the input's gradient, and all statistics afterwards."""
    torch.manual_seed(7)  # dropout
    leaf = x.clone().requires_grad_()
    result = net(leaf * 1.0)  # so that it may be changed in place
    weights = torch.linspace(0.5, 1.5, result.numel(), dtype=x.dtype)
    (gradient,) = torch.autograd.grad((result.flatten() * weights).sum(), leaf)
    return [result.detach(), gradient, *(b.clone() for b in net.buffers())]


def same_numbers(a: Net, b: Net, x: Tensor) -> bool:
    pairs = zip(computed(a, x), computed(b, x), strict=True)
    return all(
        p.shape == q.shape
        and float((p - q).abs().max()) <= 1e-12 * max(1.0, float(q.abs().max()))
        for p, q in pairs
    )


def same_structure(a: Net, b: Net, shape: Sequence[int]) -> bool:
    flows = [trace(net, shape, training=net.training) for net in (a, b)]
    return isinstance(match(*flows), Match)


def image(size: Sequence[int]) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randn(3, 4, *size, generator=generator, dtype=torch.float64)


def runs(form: Form, size: Sequence[int]) -> bool:
    """Whether the form computes anything from an image of this size."""
    (net,) = nets([form], training=True)
    try:
        result = net(image(size).requires_grad_() * 1.0)
    except (RuntimeError, ValueError):
        return False
    largest = float(result.detach().abs().max())
    return result.requires_grad and 1e-9 < largest < math.inf
