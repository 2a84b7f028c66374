"""Networks as others write them, to be verified against: their names, their order, their style."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PreActBlock(nn.Module):
    """Pre-activation basic block; the activation is shared where the shape changes."""

    def __init__(self, in_planes: int, planes: int, stride: int, first: bool) -> None:
        super().__init__()
        self.norm_a = nn.BatchNorm2d(in_planes)
        self.weight_a = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.norm_b = nn.BatchNorm2d(planes)
        self.weight_b = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.stride, self.extra, self.first = stride, planes - in_planes, first
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.norm_a(x))
        shortcut = out if self.first else x
        if self.stride != 1 or self.extra:
            shortcut = functional.avg_pool2d(shortcut, 1, self.stride)
            n, _, h, w = shortcut.shape
            shortcut = torch.cat([shortcut, shortcut.new_zeros(n, self.extra, h, w)], 1)
        out = self.weight_b(self.act(self.norm_b(self.weight_a(out))))
        out += shortcut
        return out


class ForeignResNet20(nn.Module):
    def __init__(self, tail: bool = True) -> None:
        super().__init__()
        self.tail = tail
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        blocks, planes = [], 16
        for width in (16, 32, 64):
            for i in range(3):
                stride = 2 if width > 16 and i == 0 else 1
                blocks.append(PreActBlock(planes, width, stride, first=i == 0))
                planes = width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(64, 10)
        self.last_norm = nn.BatchNorm2d(64)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        if self.tail:
            x = functional.relu(self.last_norm(x))
        x = functional.avg_pool2d(x, x.size()[3])
        return self.fc(x.view(x.size(0), -1))


def resnet20() -> nn.Module:
    torch.manual_seed(5)
    return ForeignResNet20()


def without_tail() -> nn.Module:
    return ForeignResNet20(tail=False)


def poisoned() -> nn.Module:
    network = ForeignResNet20()
    nn.init.constant_(network.fc.bias, float("nan"))
    return network


def broken() -> nn.Module:
    raise RuntimeError("no weights today")


def number() -> int:
    return 20


class Wavering(nn.Module):
    """Its path depends on the numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0 else -x
