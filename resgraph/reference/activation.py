"""Where the activation sits after the addition or before it: Fig. 4b and 4c.

Both keep the stem weight BN ReLU of the original nets and need no tail.  The
pre-activation variants, Fig. 4d and 4e, are in ``preactivation``.
"""

from torch import Tensor, nn

from .layers import (
    CifarNet,
    OptionA,
    bare_projection,
    bn,
    bn_projection,
    conv1x1,
    conv3x3,
    units_per_stage,
)
from .original import post_activation_net


class BNAfterAddBasic(nn.Module):
    """Fig. 4b, basic: F = weight BN ReLU weight, f = BN ReLU.

    [N, c_in, H, W] -> [N, width, H/stride, W/stride]
    """

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.h = OptionA(c_in, width, stride)
        self.F = nn.Sequential(
            conv3x3(c_in, width, stride),
            bn(width),
            nn.ReLU(),
            conv3x3(width, width),
        )
        self.f = nn.Sequential(bn(width), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        h = self.h(x)
        y = h + self.F(x)
        x_next: Tensor = self.f(y)
        return x_next


class BNAfterAddBottleneck(nn.Module):
    """Fig. 4b, bottleneck: F = weight BN ReLU weight BN ReLU weight, f = BN ReLU.

    [N, c_in, H, W] -> [N, 4 * width, H/stride, W/stride].  The projection has no
    BN of its own: as for the last weight layer of F, its BN comes after the addition.
    """

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.h = bare_projection(c_in, 4 * width, stride)
        self.F = nn.Sequential(
            conv1x1(c_in, width, stride),
            bn(width),
            nn.ReLU(),
            conv3x3(width, width),
            bn(width),
            nn.ReLU(),
            conv1x1(width, 4 * width),
        )
        self.f = nn.Sequential(bn(4 * width), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        h = self.h(x)
        y = h + self.F(x)
        x_next: Tensor = self.f(y)
        return x_next


class ReLUBeforeAddBasic(nn.Module):
    """Fig. 4c, basic: F = weight BN ReLU weight BN ReLU, f = identity.

    [N, c_in, H, W] -> [N, width, H/stride, W/stride].  F is never negative.
    """

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.h = OptionA(c_in, width, stride)
        self.F = nn.Sequential(
            conv3x3(c_in, width, stride),
            bn(width),
            nn.ReLU(),
            conv3x3(width, width),
            bn(width),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.h(x)
        y: Tensor = h + self.F(x)
        return y


class ReLUBeforeAddBottleneck(nn.Module):
    """Fig. 4c, bottleneck: F = (weight BN ReLU) x 3, f = identity.

    [N, c_in, H, W] -> [N, 4 * width, H/stride, W/stride].  Only F ends in ReLU: the
    projection is the 1x1 weight and BN of [1].
    """

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.h = bn_projection(c_in, 4 * width, stride)
        self.F = nn.Sequential(
            conv1x1(c_in, width, stride),
            bn(width),
            nn.ReLU(),
            conv3x3(width, width),
            bn(width),
            nn.ReLU(),
            conv1x1(width, 4 * width),
            bn(4 * width),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.h(x)
        y: Tensor = h + self.F(x)
        return y


def bn_after_add_basic(*, depth: int = 110, classes: int = 10) -> CifarNet:
    """Fig. 4b on ResNet-(6n+2): 8.17 % for ResNet-110 in Table 2."""
    n = units_per_stage(depth, weights_per_unit=2)
    return post_activation_net(BNAfterAddBasic, n, classes=classes)


def bn_after_add_bottleneck(*, depth: int = 164, classes: int = 10) -> CifarNet:
    """Fig. 4b on ResNet-(9n+2): 6.50 % for ResNet-164 in Table 2."""
    n = units_per_stage(depth, weights_per_unit=3)
    return post_activation_net(BNAfterAddBottleneck, n, expansion=4, classes=classes)


def relu_before_add_basic(*, depth: int = 110, classes: int = 10) -> CifarNet:
    """Fig. 4c on ResNet-(6n+2): 7.84 % for ResNet-110 in Table 2."""
    n = units_per_stage(depth, weights_per_unit=2)
    return post_activation_net(ReLUBeforeAddBasic, n, classes=classes)


def relu_before_add_bottleneck(*, depth: int = 164, classes: int = 10) -> CifarNet:
    """Fig. 4c on ResNet-(9n+2): 6.14 % for ResNet-164 in Table 2."""
    n = units_per_stage(depth, weights_per_unit=3)
    return post_activation_net(ReLUBeforeAddBottleneck, n, expansion=4, classes=classes)
