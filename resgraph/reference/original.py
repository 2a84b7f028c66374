"""The original residual networks: Fig. 4a (and Fig. 2a), the units of [1].

    y = h(x) + F(x),    x_next = ReLU(y)                      (Eq. 1, 2)

Every BN follows a weight layer, and f = ReLU sits on the path from unit to unit.
"""

from torch import Tensor, nn

from .layers import (
    CifarNet,
    OptionA,
    Unit,
    bn,
    bn_projection,
    conv1x1,
    conv3x3,
    conv_bn_relu_stem,
    make_stages,
    units_per_stage,
)


def basic_residual(c_in: int, width: int, stride: int) -> nn.Sequential:
    """F of Fig. 4a, two weight layers: weight BN ReLU weight BN.

    [N, c_in, H, W] -> [N, width, H/stride, W/stride]
    """
    return nn.Sequential(
        conv3x3(c_in, width, stride),
        bn(width),
        nn.ReLU(),
        conv3x3(width, width),
        bn(width),
    )


def bottleneck_residual(c_in: int, width: int, stride: int) -> nn.Sequential:
    """F of Fig. 4a, three weight layers: weight BN ReLU weight BN ReLU weight BN.

    [N, c_in, H, W] -> [N, 4 * width, H/stride, W/stride]
    """
    return nn.Sequential(
        conv1x1(c_in, width, stride),
        bn(width),
        nn.ReLU(),
        conv3x3(width, width),
        bn(width),
        nn.ReLU(),
        conv1x1(width, 4 * width),
        bn(4 * width),
    )


class OriginalUnit(nn.Module):
    """Fig. 4a: x_next = ReLU(h(x) + F(x))."""

    def __init__(self, h: nn.Module, F: nn.Module) -> None:  # noqa: N803
        super().__init__()
        self.h = h
        self.F = F
        self.f = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.h(x)
        y = h + self.F(x)
        x_next: Tensor = self.f(y)
        return x_next


class OriginalBasic(OriginalUnit):
    """Fig. 4a, basic: [N, c_in, H, W] -> [N, width, H/stride, W/stride]."""

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__(
            h=OptionA(c_in, width, stride),
            F=basic_residual(c_in, width, stride),
        )


class OriginalBottleneck(OriginalUnit):
    """Fig. 4a, bottleneck: [N, c_in, H, W] -> [N, 4 * width, H/stride, W/stride]."""

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__(
            h=bn_projection(c_in, 4 * width, stride),
            F=bottleneck_residual(c_in, width, stride),
        )


def post_activation_net(
    unit: Unit, n: int, *, expansion: int = 1, classes: int = 10
) -> CifarNet:
    """The frame of every net that has no pre-activation: stem weight BN ReLU, no tail."""
    return CifarNet(
        stem=conv_bn_relu_stem(),
        stages=make_stages(unit, unit, n, expansion),
        tail=nn.Sequential(),
        channels=expansion * 64,
        classes=classes,
    )


def original_basic(*, depth: int = 110, classes: int = 10) -> CifarNet:
    """Fig. 4a on ResNet-(6n+2): 6.61 % for ResNet-110 in Tables 1, 2 and 3.

    Depth 1202 (n = 200) is the deepest net of [1].
    """
    n = units_per_stage(depth, weights_per_unit=2)
    return post_activation_net(OriginalBasic, n, classes=classes)


def original_bottleneck(*, depth: int = 164, classes: int = 10) -> CifarNet:
    """Fig. 4a on ResNet-(9n+2): 5.93 % for ResNet-164, 7.61 % for ResNet-1001."""
    n = units_per_stage(depth, weights_per_unit=3)
    return post_activation_net(OriginalBottleneck, n, expansion=4, classes=classes)
