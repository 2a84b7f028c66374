"""Small networks in the styles of the public model zoos, each with its zoo's habits.

They are held to `tests/specs/field/*.yaml`: names, order and spellings are others than
resgraph's wherever a zoo's are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

# --- plain sequences of layers --------------------------------------------------------------


class Vgg(nn.Module):
    """A list of layers from numbers, pooling to the size that the map has, a flat classifier."""

    def __init__(self, plan: Sequence[int | str], side: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for item in plan:
            if isinstance(item, int):
                layers += [nn.Conv2d(channels, item, kernel_size=3, padding=1)]
                layers += [nn.BatchNorm2d(item), nn.ReLU(inplace=True)]
                channels = item
            else:
                layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((side, side))
        self.classifier = nn.Sequential(
            nn.Linear(channels * side * side, hidden), nn.ReLU(True), nn.Dropout(),
            nn.Linear(hidden, hidden), nn.ReLU(True), nn.Dropout(), nn.Linear(hidden, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


class ConvolutionalVgg(Vgg):
    """The same with its classifier as convolutions, the first as large as the map."""

    def __init__(self, plan: Sequence[int | str], side: int, hidden: int) -> None:
        super().__init__(plan, side, hidden)
        channels = self.classifier[0].in_features // side**2
        self.classifier = nn.Sequential(
            nn.Conv2d(channels, hidden, side), nn.ReLU(True), nn.Dropout(),
            nn.Conv2d(hidden, hidden, 1), nn.ReLU(True), nn.Dropout(), nn.Flatten(),
            nn.Linear(hidden, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class Fire(nn.Module):
    def __init__(self, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, kernel_size=1)
        self.small = nn.Conv2d(squeeze, expand, kernel_size=1)
        self.large = nn.Conv2d(squeeze, expand, kernel_size=3, padding="same")
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.squeeze(x))
        return torch.cat([self.act(self.small(x)), self.act(self.large(x))], dim=1)


class SqueezeNet(nn.Module):
    """Poolings with `ceil_mode`, the classifier a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()

        def fire(a: int, b: int) -> Fire:
            return Fire(a * width, b * width, 4 * b * width)

        def pool() -> nn.Module:
            return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)

        self.features = nn.Sequential(
            nn.Conv2d(3, 4 * width, kernel_size=3, stride=2), nn.ReLU(inplace=True), pool(),
            fire(4, 1), fire(8, 1), pool(), fire(8, 2), fire(16, 2), pool(),
            fire(16, 3), fire(24, 3), fire(24, 4), fire(32, 4),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(p=0.5), nn.Conv2d(32 * width, 10, kernel_size=1),
            nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.classifier(self.features(x)), 1)


# --- networks that concatenate --------------------------------------------------------------


class DenseLayer(nn.Module):
    """Takes the list of all maps before it, and returns its own alone."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, kernel_size=3, padding=1, bias=False)
        self.drop_rate = 0.0

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self.conv1(functional.relu(self.norm1(torch.cat(maps, 1))))
        x = self.conv2(functional.relu(self.norm2(x)))
        return functional.dropout(x, p=self.drop_rate, training=self.training)


class DenseNet(nn.Module):
    def __init__(self, growth: int, depths: Sequence[int]) -> None:
        super().__init__()
        channels = 2 * growth
        self.stem = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(channels),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
            )
        )
        self.blocks = nn.ModuleList()
        self.transitions = nn.ModuleList()
        for i, depth in enumerate(depths):
            layers = [DenseLayer(channels + j * growth, growth) for j in range(depth)]
            self.blocks.append(nn.ModuleList(layers))
            channels += depth * growth
            if i < len(depths) - 1:
                self.transitions.append(
                    nn.Sequential(
                        nn.BatchNorm2d(channels),
                        nn.ReLU(inplace=True),
                        nn.Conv2d(channels, channels // 2, kernel_size=1, bias=False),
                        nn.AvgPool2d(kernel_size=2, stride=2),
                    )
                )
                channels //= 2
        self.norm = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            maps = [x]
            for layer in block:
                maps.append(layer(maps))
            x = torch.cat(maps, 1)
            if i < len(self.transitions):
                x = self.transitions[i](x)
        x = functional.relu(self.norm(x), inplace=True)
        x = functional.adaptive_avg_pool2d(x, (1, 1))
        return self.classifier(torch.flatten(x, 1))


# --- residual networks ----------------------------------------------------------------------


class SqueezeExcite(nn.Module):
    """Linear layers on vectors, where others have 1x1 convolutions on maps of one pixel."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channels, squeezed), nn.ReLU(inplace=True),
            nn.Linear(squeezed, channels), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, _ = x.size()
        gate = self.fc(self.pool(x).view(n, c)).view(n, c, 1, 1)
        return x * gate.expand_as(x)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int,
        downsample: nn.Module | None,
        attention: bool,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        gate = SqueezeExcite(planes * 4, planes // 4)
        self.attention = gate if attention else nn.Identity()
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.attention(self.bn3(self.conv3(out)))
        out += identity
        return self.relu(out)


class Residual(nn.Module):
    """Four stages of bottlenecks, in several fashions."""

    def __init__(
        self,
        width: int,
        depths: Sequence[int],
        *,
        deep: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.inplanes, self.deep, self.attention = width, deep, attention
        self.conv1 = self._deep_stem(width) if deep else self._stem(width)
        self.bn1 = nn.BatchNorm2d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.pad = nn.ConstantPad2d(1, 0.0)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2)
        for i, depth in enumerate(depths, 1):
            layer = self._layer(width * 2 ** (i - 1), depth, 1 if i == 1 else 2)
            self.add_module(f"layer{i}", layer)
        self.fc = nn.Linear(32 * width, 10)

    def _stem(self, width: int) -> nn.Module:
        return nn.Sequential(
            nn.ZeroPad2d(3), nn.Conv2d(3, width, 7, stride=2, bias=False)
        )

    def _deep_stem(self, width: int) -> nn.Module:
        half = width // 2
        return nn.Sequential(
            nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(half), nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, stride=1, padding=1, bias=False),
            nn.BatchNorm2d(half), nn.ReLU(inplace=True),
            nn.Conv2d(half, width, 3, stride=1, padding=1, bias=False),
        )  # fmt: skip

    def _layer(self, planes: int, depth: int, stride: int) -> nn.Sequential:
        blocks = []
        for i in range(depth):
            step = stride if i == 0 else 1
            down = self._downsample(planes * 4, step) if i == 0 else None
            blocks.append(Bottleneck(self.inplanes, planes, step, down, self.attention))
            self.inplanes = planes * 4
        return nn.Sequential(*blocks)

    def _downsample(self, planes: int, stride: int) -> nn.Module:
        norm = nn.BatchNorm2d(planes)
        if not self.deep:
            conv = nn.Conv2d(self.inplanes, planes, 1, stride, bias=False)
            return nn.Sequential(conv, norm)
        options = {"ceil_mode": True, "count_include_pad": False}
        pool = nn.AvgPool2d(2, stride, **options) if stride > 1 else nn.Identity()
        return nn.Sequential(
            pool, nn.Conv2d(self.inplanes, planes, 1, bias=False), norm
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.maxpool(self.pad(x))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = x.flatten(2).mean(-1)
        return self.fc(functional.dropout(x, p=0.0, training=self.training))


class WideBlock(nn.Module):
    """BN and ReLU before each convolution; the shortcut sees the activation if it is a conv."""

    def __init__(
        self, in_planes: int, out_planes: int, stride: int, rate: float
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, out_planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_planes)
        self.conv2 = nn.Conv2d(out_planes, out_planes, 3, padding=1, bias=False)
        self.drop_rate = rate
        same = in_planes == out_planes
        self.shortcut = (
            None if same else nn.Conv2d(in_planes, out_planes, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(x), inplace=True)
        kept = x if self.shortcut is None else self.shortcut(out)
        out = functional.relu(self.bn2(self.conv1(out)), inplace=True)
        if self.drop_rate > 0:
            out = functional.dropout(out, p=self.drop_rate, training=self.training)
        return torch.add(kept, self.conv2(out))


class WideResNet(nn.Module):
    def __init__(self, depth: int, k: int, rate: float = 0.3) -> None:
        super().__init__()
        planes = [16, 16 * k, 32 * k, 64 * k]
        self.conv1 = nn.Conv2d(3, planes[0], 3, padding=1, bias=False)
        blocks = []
        for i in range(3):
            for j in range((depth - 4) // 6):
                first = planes[i] if j == 0 else planes[i + 1]
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(WideBlock(first, planes[i + 1], stride, rate))
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(planes[3])
        self.fc = nn.Linear(planes[3], 10)
        self.planes = planes[3]

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn(self.blocks(self.conv1(x))))
        out = functional.avg_pool2d(out, 8)
        return self.fc(out.view(-1, self.planes))


# --- as `--against PATH:CALLABLE` calls them ------------------------------------------------

PLAN = [8, 8, "M", 16, 16, "M", *[32] * 3, "M", *[64] * 3, "M", *[64] * 3, "M"]


def vgg16_bn_bias_small() -> nn.Module:
    return Vgg(PLAN, 1, 64)


def vgg16_bn_bias_small_convolutional() -> nn.Module:
    return ConvolutionalVgg(PLAN, 1, 64)


def squeezenet_small() -> nn.Module:
    return SqueezeNet(4)


def densenet_bc_small() -> nn.Module:
    return DenseNet(8, (2, 4, 4, 2))


def resnet50_narrow() -> nn.Module:
    return Residual(8, (3, 4, 6, 3))


def resnet50_d_narrow() -> nn.Module:
    return Residual(8, (3, 4, 6, 3), deep=True)


def se_resnet50_narrow() -> nn.Module:
    return Residual(8, (3, 4, 6, 3), attention=True)


def wrn_16_2() -> nn.Module:
    return WideResNet(16, 2)
