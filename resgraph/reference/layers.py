"""The parts all references share: weight layers, option A, the net's frame, the init.

Shapes are [N, C, H, W].  The paper's unit (Eq. 1, 2) is

    y = h(x) + F(x),    x_next = f(y)

and the unit classes beside this file keep those letters as attribute names.  In
their comments, "weight" is a convolution, as in the paper's figures, and a name
such as ``c_in`` counts channels.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

#: Builds one unit from (input channels, width, stride).
Unit = Callable[[int, int, int], nn.Module]

STEM_CHANNELS = 16
WIDTHS = (16, 32, 64)


def conv3x3(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    """[N, c_in, H, W] -> [N, c_out, H/stride, W/stride], without bias."""
    return nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)


def conv1x1(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    """[N, c_in, H, W] -> [N, c_out, H/stride, W/stride], without bias."""
    return nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False)


def bn(channels: int) -> nn.BatchNorm2d:
    """The paper gives neither eps nor momentum: PyTorch's own, spelled out."""
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)


class OptionA(nn.Module):
    """Parameter-free shortcut of [1], option A; the identity where no shape changes.

    [N, c_in, H, W] -> [N, c_out, H/stride, W/stride]: every stride-th pixel, with
    the new channels zero and after the old ones.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.new_channels = c_out - c_in
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(x, (0, 0, 0, 0, 0, self.new_channels))


def bare_projection(c_in: int, c_out: int, stride: int) -> nn.Module:
    """Option B of [1] without its BN; the identity where the channels agree.

    In a bottleneck net only a stage's first unit changes the channels, and only
    that one may have a stride: everywhere else h(x) = x.
    """
    if c_in == c_out:
        return nn.Identity()
    return conv1x1(c_in, c_out, stride)


def bn_projection(c_in: int, c_out: int, stride: int) -> nn.Module:
    """Option B of [1]: 1x1 weight, BN; the identity where the channels agree."""
    if c_in == c_out:
        return nn.Identity()
    return nn.Sequential(conv1x1(c_in, c_out, stride), bn(c_out))


def units_per_stage(depth: int, weights_per_unit: int) -> int:
    """n of the rule depth = 3 * weights_per_unit * n + 2.

    Three stages of n units each, and the stem's and the head's weight layers.
    Raises ValueError, naming the rule, where n is not a whole number above zero.
    """
    per_n = 3 * weights_per_unit
    n, rest = divmod(depth - 2, per_n)
    if rest or n < 1:
        raise ValueError(f"depth {depth} does not fit the rule {per_n}n+2 with n >= 1")
    return n


def make_stages(entry: Unit, body: Unit, n: int, expansion: int) -> list[nn.Sequential]:
    """Three stages of n units each: one ``entry``, then n - 1 times ``body``.

    A unit of width w gives expansion * w channels.  The maps are 32, 16 and 8
    pixels wide: the entries of stages 2 and 3 have stride 2.
    """
    stages = []
    c_in = STEM_CHANNELS
    for width, stride in zip(WIDTHS, (1, 2, 2), strict=True):
        c_out = expansion * width
        first = entry(c_in, width, stride)
        rest = [body(c_out, width, 1) for _ in range(n - 1)]
        stages.append(nn.Sequential(first, *rest))
        c_in = c_out
    return stages


def conv_stem() -> nn.Sequential:
    """[N, 3, 32, 32] -> [N, 16, 32, 32]: the bare weight layer."""
    return nn.Sequential(conv3x3(3, STEM_CHANNELS))


def conv_bn_stem() -> nn.Sequential:
    """[N, 3, 32, 32] -> [N, 16, 32, 32]: weight, BN."""
    return nn.Sequential(conv3x3(3, STEM_CHANNELS), bn(STEM_CHANNELS))


def conv_bn_relu_stem() -> nn.Sequential:
    """[N, 3, 32, 32] -> [N, 16, 32, 32]: weight, BN, ReLU."""
    return nn.Sequential(conv3x3(3, STEM_CHANNELS), bn(STEM_CHANNELS), nn.ReLU())


class CifarNet(nn.Module):
    """[N, 3, 32, 32] -> logits [N, classes].

    Stem, three stages, what follows the last addition (``tail``, empty unless the
    units are pre-activated), global average pooling, linear.
    """

    def __init__(
        self,
        stem: nn.Sequential,
        stages: list[nn.Sequential],
        tail: nn.Sequential,
        channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stage1, self.stage2, self.stage3 = stages
        self.tail = tail
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, classes)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # [N, 16, 32, 32]
        x = self.stage1(x)  # [N, 16e, 32, 32], with e = 4 for bottlenecks, else 1
        x = self.stage2(x)  # [N, 32e, 16, 16]
        x = self.stage3(x)  # [N, 64e, 8, 8]
        x = self.pool(self.tail(x))  # [N, 64e, 1, 1]
        logits: Tensor = self.linear(torch.flatten(x, 1))
        return logits


def init_he(net: nn.Module) -> None:
    """He et al. 2015: conv weights of std sqrt(2 / (k * k * c_out)), linear bias 0.

    Conv biases are left alone: the only ones are the gates' b_g (Fig. 2c, d),
    which the gate has already set.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
