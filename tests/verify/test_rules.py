"""Ways to write one thing: equal numbers and one structure; their neighbours: neither."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.verify.forms import (
    SIZES,
    Form,
    Net,
    image,
    nets,
    runs,
    same_numbers,
    same_structure,
)


def zeros_in_front(x: Tensor) -> Tensor:
    n, _, h, w = x.shape
    return torch.cat([x.new_zeros(n, 3, h, w), x], 1)


def written_into(x: Tensor) -> Tensor:
    out = x.new_zeros(x.size(0), 6, *x.shape[2:])
    out[:, :4] = x
    return out


def normed(n: Net, x: Tensor) -> Tensor:
    bn = n.bn
    statistics = bn.running_mean, bn.running_var
    return functional.batch_norm(x, *statistics, bn.weight, bn.bias, n.training)


def twice_summed(n: Net, x: Tensor) -> Tensor:
    y = n.conv(x)
    y += x
    y += n.other(x)
    return y


EQUAL: dict[str, list[Form]] = {
    "relu": [
        lambda n, x: torch.relu(x),
        lambda n, x: functional.relu(x),
        lambda n, x: functional.relu_(x.clone()),
        lambda n, x: x.clamp(min=0),
        lambda n, x: x.clamp_(min=0.0),
        lambda n, x: torch.clip(x, 0),
        lambda n, x: torch.clamp_min(x, 0),
        lambda n, x: x.clamp_min_(0),
        lambda n, x: functional.threshold(x, 0, 0),
        lambda n, x: nn.Threshold(0.0, 0.0)(x),
        lambda n, x: torch.maximum(x, torch.zeros_like(x)),
        lambda n, x: torch.maximum(torch.zeros(1, dtype=x.dtype), x),
        lambda n, x: torch.max(x, torch.tensor(0.0, dtype=x.dtype)),
        lambda n, x: nn.LeakyReLU(0.0)(x),
        lambda n, x: nn.Hardtanh(0.0, math.inf)(x),
    ],
    "relu6": [
        lambda n, x: functional.relu6(4 * x),
        lambda n, x: nn.ReLU6(inplace=True)(4 * x),
        lambda n, x: functional.hardtanh(4 * x, 0, 6),
        lambda n, x: (4 * x).clamp(0, 6),
    ],
    "sigmoid": [
        lambda n, x: torch.sigmoid(x),
        lambda n, x: functional.sigmoid(x),
        lambda n, x: x.sigmoid_(),
        lambda n, x: nn.Sigmoid()(x),
        lambda n, x: torch.special.expit(x),
    ],
    "silu": [
        lambda n, x: x * torch.sigmoid(x),
        lambda n, x: torch.sigmoid(x) * x,
        lambda n, x: x.mul(x.sigmoid()),
        lambda n, x: functional.silu(x),
        lambda n, x: nn.SiLU(inplace=True)(x),
    ],
    "silu of a product, times another": [
        lambda n, x: functional.silu(n.conv(x)) * x,
        lambda n, x: (lambda y: torch.sigmoid(y) * (y * x))(n.conv(x)),
        lambda n, x: (lambda y: y * torch.sigmoid(y) * x)(n.conv(x)),
    ],
    "nothing": [
        lambda n, x: n.conv(x),
        lambda n, x: nn.Identity()(n.conv(x)),
        lambda n, x: n.conv(x * 1),
        lambda n, x: n.conv(x + 0),
        lambda n, x: n.conv(x / 1.0),
        lambda n, x: n.conv(0.0 + x - 0),
        lambda n, x: n.conv(-1 * -x),
        lambda n, x: n.conv(x).expand(x.shape),
        lambda n, x: n.conv(x).expand_as(x).reshape(x.size()),
        lambda n, x: n.conv(x.permute(0, 1, 2, 3)),
        lambda n, x: n.conv(x.transpose(2, 3).transpose(3, 2)),
        lambda n, x: n.conv(x.repeat(1, 1, 1, 1)),
        lambda n, x: nn.Dropout(0.0)(n.conv(x)),
        lambda n, x: nn.Dropout2d(0.0)(n.conv(x)),
        lambda n, x: functional.dropout(n.conv(x), 0.5, training=False),
        lambda n, x: n.conv(x) + torch.zeros_like(x),
        lambda n, x: n.conv(x) * x.new_ones(1),
        lambda n, x: functional.pad(n.conv(x), (0, 0, 0, 0)),
        lambda n, x: torch.cat([n.conv(x)], 1),
        lambda n, x: torch.cat(torch.chunk(n.conv(x), 2, 1), 1),
        lambda n, x: torch.cat(n.conv(x).split([1, 3], dim=1), dim=1),
        lambda n, x: functional.max_pool2d(n.conv(x), 1, 1),
        lambda n, x: functional.avg_pool2d(n.conv(x), 1),
        lambda n, x: functional.adaptive_avg_pool2d(n.conv(x), x.shape[2:]),
        lambda n, x: functional.adaptive_max_pool2d(n.conv(x), x.shape[2:]),
        lambda n, x: nn.AdaptiveAvgPool2d((None, None))(n.conv(x)),
        lambda n, x: n.conv(x).flatten(2).unflatten(2, x.shape[2:]),
        lambda n, x: n.conv(x.clone().contiguous(memory_format=torch.channels_last)),
        lambda n, x: (n.conv(x)[:, :2], n.conv(x)[:, 2:])[0].new_zeros(1) + n.conv(x),
    ],
    "sums": [
        lambda n, x: n.conv(x) + x + n.other(x),
        lambda n, x: n.conv(x) + (x + n.other(x)),
        lambda n, x: x + n.other(x) + n.conv(x),
        lambda n, x: twice_summed(n, x),
        lambda n, x: sum([x, n.conv(x), n.other(x)]),
        lambda n, x: torch.stack([x, n.conv(x), n.other(x)]).sum(0),
        lambda n, x: torch.sum(torch.stack([x, n.conv(x), n.other(x)], dim=1), dim=1),
        lambda n, x: torch.add(torch.add(x, n.conv(x), alpha=1), n.other(x)),
        lambda n, x: x - (-n.conv(x)) - n.other(x) * -1,
        lambda n, x: 3 * torch.stack([n.conv(x), x, n.other(x)], 1).mean(1),
    ],
    "multiples": [
        lambda n, x: 0.5 * (x + n.conv(x)),
        lambda n, x: (x + n.conv(x)) / 2,
        lambda n, x: x / 2 + 0.5 * n.conv(x),
        lambda n, x: torch.add(0.5 * x, n.conv(x), alpha=0.5),
        lambda n, x: x - 0.5 * x + n.conv(x).mul(0.25).mul_(2),
        lambda n, x: torch.stack([x, n.conv(x)]).mean(0),
    ],
    "differences": [
        lambda n, x: n.conv(x) - x,
        lambda n, x: -x + n.conv(x),
        lambda n, x: torch.sub(n.conv(x), x),
        lambda n, x: n.conv(x) + -1 * x,
        lambda n, x: n.conv(x).add(x, alpha=-1),
        lambda n, x: -(x - n.conv(x)),
        lambda n, x: torch.subtract(n.conv(x), x, alpha=1),
        lambda n, x: (n.conv(x) + (x - x)) - x,
    ],
    "nothing but a number": [
        lambda n, x: n.conv(x) + (-1 - ((x - x) + (x - x))),
        lambda n, x: n.conv(x) - 1,
    ],
    "twice": [lambda n, x: x + x, lambda n, x: 2 * x, lambda n, x: x / 0.5],
    "one minus": [
        lambda n, x: 1 - x,
        lambda n, x: -x + 1,
        lambda n, x: -(x - 1),
        lambda n, x: torch.rsub(x, 1),
        lambda n, x: torch.ones_like(x) - x,
        lambda n, x: torch.sub(1.0 + 0 * x, x),
        lambda n, x: (x * -1).add_(1.0),
    ],
    "products": [
        lambda n, x: x * n.conv(x) * n.other(x),
        lambda n, x: n.other(x) * (n.conv(x) * x),
        lambda n, x: 0.5 * x * (n.conv(x) * 2) * n.other(x),
        lambda n, x: torch.mul(torch.multiply(n.conv(x), n.other(x)), x),
    ],
    "global pooling": [
        lambda n, x: functional.adaptive_avg_pool2d(x, 1).flatten(1),
        lambda n, x: nn.AdaptiveAvgPool2d((1, 1))(x).view(x.size(0), -1),
        lambda n, x: x.mean((2, 3)),
        lambda n, x: x.mean(3).mean(2),
        lambda n, x: x.mean(dim=2, keepdim=True).mean(-1).squeeze(-1),
        lambda n, x: x.flatten(2).mean(2),
        lambda n, x: x.view(x.size(0), x.size(1), -1).mean(dim=-1),
        lambda n, x: x.sum((2, 3)) / (x.size(2) * x.size(3)),
        lambda n, x: x.sum(3).sum(2).div(x.size(2) * x.size(3)),
        lambda n, x: torch.mean(x, [-2, -1], keepdim=True).squeeze(3).squeeze(2),
        lambda n, x: functional.avg_pool2d(x, x.shape[2:]).reshape(len(x), 4),
        lambda n, x: functional.avg_pool2d(x, x.shape[2:], stride=1)[:, :, 0, 0],
        lambda n, x: functional.avg_pool2d(x, x.shape[2:], ceil_mode=True).flatten(1),
        lambda n, x: x.mean((2, 3), keepdim=True).permute(0, 2, 3, 1).flatten(1),
    ],
    "global maximum": [
        lambda n, x: x.amax((2, 3)),
        lambda n, x: functional.adaptive_max_pool2d(x, 1).flatten(1),
        lambda n, x: functional.max_pool2d(x, x.shape[2:]).flatten(1),
        lambda n, x: x.flatten(2).amax(-1),
        lambda n, x: x.flatten(2).max(dim=2)[0],
        lambda n, x: x.max(3).values.max(2).values,
    ],
    "a vector, or a map of one pixel": [
        lambda n, x: n.point2(torch.relu(n.point(x.mean((2, 3), keepdim=True)))) * x,
        lambda n, x: n.fc2(torch.relu(n.fc(x.mean((2, 3)))))[:, :, None, None] * x,
        lambda n, x: (
            n.fc2(n.fc(x.mean((2, 3))).relu()).view(len(x), -1, 1, 1).expand_as(x) * x
        ),
        lambda n, x: (
            x * n.fc2(n.point(x.mean((2, 3), True)).flatten(1).relu())
            .unsqueeze(-1).unsqueeze(-1)
        ),
        lambda n, x: (
            x * n.point2(torch.relu(n.fc(x.mean((2, 3))).unflatten(1, (-1, 1, 1))))
        ),
    ],
    "BN of vectors": [
        lambda n, x: normed(n, n.point(x.mean((2, 3), keepdim=True))).flatten(1),
        lambda n, x: normed(n, n.fc(x.mean((2, 3)))),
    ],
    "subsampling": [
        lambda n, x: x[:, :, ::2, ::2],
        lambda n, x: x[..., ::2, ::2],
        lambda n, x: functional.max_pool2d(x, 1, 2),
        lambda n, x: functional.avg_pool2d(x, 1, 2),
        lambda n, x: nn.AvgPool2d(1, 2)(x),
        lambda n, x: x[:, :, ::2][:, :, :, ::2],
        lambda n, x: functional.max_pool2d(x, 1, 2, ceil_mode=True),
    ],
    "a 1x1 convolution with stride": [
        lambda n, x: functional.conv2d(x, n.other.weight, n.other.bias, 2),
        lambda n, x: n.other(x[:, :, ::2, ::2]),
        lambda n, x: n.other(functional.max_pool2d(x, 1, 2)),
    ],
    "option A": [
        lambda n, x: functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 2)),
        lambda n, x: functional.pad(x, (0, 0, 0, 0, 0, 2))[:, :, ::2, ::2],
        lambda n, x: (
            lambda y: torch.cat([y, torch.zeros(len(y), 2, *y.shape[2:])], 1)
        )(functional.avg_pool2d(x, 1, 2)),
        lambda n, x: (
            lambda y: torch.cat([y, y.new_zeros(len(y), 2, *y.shape[2:])], 1)
        )(x[:, :, ::2, ::2]),
        lambda n, x: (lambda y: torch.concat((y, y[:, :2] * 0), 1))(x[:, :, ::2, ::2]),
        lambda n, x: (lambda y: torch.hstack((y, torch.zeros_like(y[:, :2]))))(
            x[:, :, ::2, ::2]
        ),
        lambda n, x: nn.ConstantPad3d((0, 0, 0, 0, 0, 2), 0.0)(x[:, :, ::2, ::2]),
        lambda n, x: nn.ZeroPad3d((0, 0, 0, 0, 0, 2))(functional.max_pool2d(x, 1, 2)),
        lambda n, x: written_into(x[:, :, ::2, ::2]),
    ],
    "zero channels on both sides": [
        lambda n, x: functional.pad(x, (0, 0, 0, 0, 3, 2)),
        lambda n, x: functional.pad(zeros_in_front(x), (0, 0, 0, 0, 0, 2)),
        lambda n, x: zeros_in_front(functional.pad(x, (0, 0, 0, 0, 0, 2))),
    ],
    "concatenations": [
        lambda n, x: torch.cat([x, n.conv(x), n.other(x)], 1),
        lambda n, x: torch.cat([torch.cat([x, n.conv(x)], 1), n.other(x)], 1),
        lambda n, x: torch.cat((x, torch.concat((n.conv(x), n.other(x)), -3)), dim=1),
        lambda n, x: torch.hstack([x, torch.hstack([n.conv(x), n.other(x)])]),
        lambda n, x: torch.cat(
            [x[:, :1], x[:, 1:], *n.conv(x).chunk(4, 1), n.other(x)], 1
        ),
        lambda n, x: torch.concatenate(
            [x.narrow(1, 0, 3), x.narrow(1, 3, 1), n.conv(x), n.other(x)], dim=1
        ),
    ],
    "a concatenation with zeros between": [
        lambda n, x: torch.cat([x, torch.zeros_like(x[:, :2]), n.conv(x)], 1),
        lambda n, x: torch.cat([functional.pad(x, (0, 0, 0, 0, 0, 2)), n.conv(x)], 1),
        lambda n, x: torch.cat([x, functional.pad(n.conv(x), (0, 0, 0, 0, 2, 0))], 1),
    ],
    "padding before a convolution": [
        lambda n, x: n.conv(x),
        lambda n, x: functional.conv2d(
            nn.ZeroPad2d(1)(x), n.conv.weight, n.conv.bias
        ),
        lambda n, x: functional.conv2d(
            functional.pad(x, [1] * 4), n.conv.weight, n.conv.bias
        ),
        lambda n, x: functional.conv2d(
            nn.ConstantPad2d((1, 1, 0, 0), 0)(x), n.conv.weight, n.conv.bias, 1, (1, 0)
        ),
        lambda n, x: functional.conv2d(
            x, n.conv.weight, n.conv.bias, padding="same"
        ),
        lambda n, x: functional.conv2d(
            functional.pad(functional.pad(x, (1, 0)), (0, 1, 1, 1)),
            n.conv.weight, n.conv.bias, padding="valid",
        ),
    ],
    "padding before a mean": [
        lambda n, x: functional.avg_pool2d(x, 3, 2, 1),
        lambda n, x: functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2),
        lambda n, x: nn.AvgPool2d(3, 2)(nn.ZeroPad2d(1)(x)),
    ],
    "padding before a maximum": [
        lambda n, x: functional.max_pool2d(torch.relu(x), 3, 2, 1),
        lambda n, x: functional.max_pool2d(nn.ZeroPad2d(1)(torch.relu(x)), 3, 2),
        lambda n, x: functional.max_pool2d(
            functional.pad(torch.relu(x), (1, 1, 1, 1), value=-math.inf), 3, 2
        ),
    ],
    "dropout": [
        lambda n, x: nn.Dropout(0.3)(x.flatten(1)),
        lambda n, x: functional.dropout(x, 0.3).view(len(x), -1),
    ],
    "the same computed twice": [
        lambda n, x: (lambda y: torch.cat([y, torch.relu(y)], 1))(n.conv(x)),
        lambda n, x: torch.cat([n.conv(x), torch.relu(n.conv(x))], 1),
    ],
}  # fmt: skip
DIFFERENT: dict[str, list[Form]] = {
    "clamps": [
        lambda n, x: torch.relu(x),
        lambda n, x: x.clamp(min=0.1),
        lambda n, x: x.clamp(max=0),
        lambda n, x: functional.relu6(9 * x) / 9,
        lambda n, x: functional.threshold(x, 0, -1),
        lambda n, x: functional.threshold(x, 0.1, 0),
        lambda n, x: nn.LeakyReLU()(x),
        lambda n, x: torch.maximum(x, torch.full_like(x, 0.2)),
        lambda n, x: torch.minimum(x, torch.full_like(x, 0.3)),
        lambda n, x: functional.silu(x),
        lambda n, x: functional.gelu(x),
    ],
    "gates": [
        lambda n, x: x * torch.sigmoid(n.conv(x)),
        lambda n, x: n.conv(x) * torch.sigmoid(x),
        lambda n, x: n.conv(x) * torch.sigmoid(n.conv(x)),
        lambda n, x: n.conv(x) + torch.sigmoid(n.conv(x)),
    ],
    "arithmetic": [
        lambda n, x: x - n.conv(x),
        lambda n, x: n.conv(x) - x,
        lambda n, x: torch.add(x, n.conv(x), alpha=2),
        lambda n, x: torch.add(n.conv(x), x, alpha=2),
        lambda n, x: x + n.conv(x) + 1,
        lambda n, x: x * n.conv(x),
        lambda n, x: x * x * n.conv(x),
        lambda n, x: x / n.conv(x),
        lambda n, x: n.conv(x) / x,
        lambda n, x: 2 / n.conv(x),
        lambda n, x: n.conv(x) / 2,
        lambda n, x: torch.div(n.conv(x), 2, rounding_mode="floor"),
    ],
    "numbers in tensors": [
        lambda n, x: x * torch.full((1, 4, 1, 1), 2.0),
        lambda n, x: x * torch.full((1, 4, 1, 1), 3.0),
        lambda n, x: x + torch.full((1, 4, 1, 1), 3.0),
        lambda n, x: x * torch.arange(4.0).view(1, 4, 1, 1),
    ],
    "zeros among channels": [
        lambda n, x: functional.pad(x, (0, 0, 0, 0, 0, 2)),
        lambda n, x: functional.pad(x, (0, 0, 0, 0, 2, 0)),
        lambda n, x: functional.pad(x, (0, 0, 0, 0, 1, 1)),
        lambda n, x: functional.pad(x, (0, 0, 0, 0, 0, 2), value=1.0),
        lambda n, x: torch.cat([x[:, :2], torch.zeros_like(x[:, :2]), x[:, 2:]], 1),
        lambda n, x: torch.cat([x, x[:, 2:]], 1),
    ],
    "where zeros stand in a concatenation": [
        lambda n, x: torch.cat([x, torch.zeros_like(x), n.conv(x)], 1),
        lambda n, x: torch.cat([torch.zeros_like(x), x, n.conv(x)], 1),
        lambda n, x: torch.cat([x, n.conv(x), torch.zeros_like(x)], 1),
        lambda n, x: torch.cat([x, torch.ones_like(x), n.conv(x)], 1),
    ],
    "parts of channels": [
        lambda n, x: torch.cat([x[:, 2:], x[:, :2]], 1),
        lambda n, x: torch.cat([x[:, :2], x[:, :2]], 1),
        lambda n, x: torch.cat([x[:, :2], n.conv(x)[:, 2:]], 1),
        lambda n, x: torch.cat([x[:, :2], x[:, 2:]], 1),
        lambda n, x: torch.cat(x.chunk(2, 1)[::-1], 1) * 2,
    ],
    "what is written into a tensor": [
        lambda n, x: written_into(x),
        lambda n, x: written_into(torch.relu(x)),
        lambda n, x: x.new_zeros(len(x), 6, *x.shape[2:]) + x.sum(),
    ],
    "reductions": [
        lambda n, x: x.mean((2, 3)),
        lambda n, x: x.sum((2, 3)),
        lambda n, x: x.amax((2, 3)),
        lambda n, x: x.mean(3).amax(2),
        lambda n, x: x.amax(3).mean(2),
        lambda n, x: x.mean(3).mean(2, keepdim=True).flatten(1) + 1,
    ],
    "axes": [
        lambda n, x: x.mean(2),
        lambda n, x: x.transpose(2, 3).mean(2),
        lambda n, x: x.amax(2),
    ],
    "kinds of padding": [
        lambda n, x: n.conv(x),
        lambda n, x: functional.conv2d(
            functional.pad(x, (1, 1, 1, 1), "replicate"), n.conv.weight, n.conv.bias
        ),
        lambda n, x: functional.conv2d(
            functional.pad(x, (1, 1, 1, 1), value=0.5), n.conv.weight, n.conv.bias
        ),
        lambda n, x: functional.conv2d(
            functional.pad(x, (2, 0, 1, 1)), n.conv.weight, n.conv.bias
        ),
        lambda n, x: functional.conv2d(
            x, n.conv.weight, n.conv.bias, padding=2, dilation=2
        ),
        lambda n, x: functional.conv2d(x, n.conv.weight, None, padding=1),
    ],
    "zeros before a maximum of any numbers": [
        lambda n, x: functional.max_pool2d(x, 3, 2, 1),
        lambda n, x: functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2),
    ],
    "minus infinity before a mean": [
        lambda n, x: functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2),
        lambda n, x: functional.avg_pool2d(
            functional.pad(x, (1, 1, 1, 1), value=-9.0), 3, 2
        ),
    ],
    "maps as vectors": [
        lambda n, x: x.flatten(1),
        lambda n, x: x.permute(0, 2, 3, 1).flatten(1),
        lambda n, x: x.transpose(2, 3).flatten(1),
    ],
    "gradients": [
        lambda n, x: x + n.conv(x),
        lambda n, x: x.detach() + n.conv(x),
        lambda n, x: x + n.conv(x.detach()),
    ],
}  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", EQUAL)
def test_equal_forms(name: str, training: bool) -> None:
    sizes = [s for s in SIZES if all(runs(form, s) for form in EQUAL[name])]
    assert sizes
    first, *others = nets(EQUAL[name], training)
    for size in sizes:
        for i, other in enumerate(others, 1):
            assert same_numbers(other, first, image(size)), f"form {i} at {size}"
            assert same_structure(other, first, (4, *size)), f"form {i} at {size}"


@pytest.mark.parametrize("name", DIFFERENT)
def test_neighbours_that_are_not_equal(name: str) -> None:
    """Of the forms, no two are equal in numbers, nor said to be."""
    made = nets(DIFFERENT[name], training=True)
    for i, a in enumerate(made):
        for j, b in enumerate(made[:i]):
            assert not same_numbers(a, b, image((6, 6))), f"forms {j} and {i}"
            assert not same_structure(a, b, (4, 6, 6)), f"forms {j} and {i}"
