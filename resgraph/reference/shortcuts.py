"""What the shortcut may carry instead of the identity: Fig. 2b-f, Table 1.

Basic units with F = weight BN ReLU weight BN and f = ReLU, as in Fig. 2a; every
unit of the net is altered.  The paper does not say how scaling, gating and dropout
act where the shape changes: here they act on the output of the option-A shortcut,
and a gate is computed from that output, so that it has the shape of y.
"""

from functools import partial

from torch import Tensor, nn

from .layers import CifarNet, OptionA, conv1x1, units_per_stage
from .original import OriginalUnit, basic_residual, post_activation_net


class ConstantScaling(nn.Module):
    """Fig. 2b: ReLU(s_h * h(x) + s_F * F(x)).

    [N, c_in, H, W] -> [N, width, H/stride, W/stride].  The scales are constants,
    not weights.  With s_h = 0 the unit is a plain one.
    """

    def __init__(
        self,
        c_in: int,
        width: int,
        stride: int,
        *,
        shortcut_scale: float,
        residual_scale: float,
    ) -> None:
        super().__init__()
        self.shortcut_scale = shortcut_scale
        self.residual_scale = residual_scale
        self.h = OptionA(c_in, width, stride)
        self.F = basic_residual(c_in, width, stride)
        self.f = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.shortcut_scale * self.h(x)
        y = h + self.residual_scale * self.F(x)
        x_next: Tensor = self.f(y)
        return x_next


def gate(channels: int, bias: float) -> nn.Sequential:
    """g(x) = sigmoid(W_g x + b_g): a 1x1 conv with bias.  [N, C, H, W] -> the same.

    b_g starts at ``bias``: the lower, the more open the shortcut 1 - g.
    """
    conv = nn.Conv2d(channels, channels, 1)
    assert conv.bias is not None  # for the type checker: bias is Conv2d's default
    nn.init.constant_(conv.bias, bias)
    return nn.Sequential(conv, nn.Sigmoid())


class ExclusiveGating(nn.Module):
    """Fig. 2c: ReLU((1 - g) * h(x) + g * F(x)).

    [N, c_in, H, W] -> [N, width, H/stride, W/stride]
    """

    def __init__(self, c_in: int, width: int, stride: int, *, gate_bias: float) -> None:
        super().__init__()
        self.h = OptionA(c_in, width, stride)
        self.g = gate(width, gate_bias)
        self.F = basic_residual(c_in, width, stride)
        self.f = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.h(x)
        g = self.g(h)
        y = (1 - g) * h + g * self.F(x)
        x_next: Tensor = self.f(y)
        return x_next


class ShortcutOnlyGating(nn.Module):
    """Fig. 2d: ReLU((1 - g) * h(x) + F(x)).

    [N, c_in, H, W] -> [N, width, H/stride, W/stride]
    """

    def __init__(self, c_in: int, width: int, stride: int, *, gate_bias: float) -> None:
        super().__init__()
        self.h = OptionA(c_in, width, stride)
        self.g = gate(width, gate_bias)
        self.F = basic_residual(c_in, width, stride)
        self.f = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.h(x)
        g = self.g(h)
        y = (1 - g) * h + self.F(x)
        x_next: Tensor = self.f(y)
        return x_next


class ConvShortcut(OriginalUnit):
    """Fig. 2e: h is a 1x1 conv (no BN) in every unit, whether the shape changes or not.

    [N, c_in, H, W] -> [N, width, H/stride, W/stride]
    """

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__(
            h=conv1x1(c_in, width, stride),
            F=basic_residual(c_in, width, stride),
        )


class DropoutShortcut(OriginalUnit):
    """Fig. 2f: h is followed by dropout with ratio 0.5.

    [N, c_in, H, W] -> [N, width, H/stride, W/stride].  PyTorch's dropout doubles what
    it keeps while training, so that nothing is scaled at test time.
    """

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__(
            h=nn.Sequential(OptionA(c_in, width, stride), nn.Dropout(0.5)),
            F=basic_residual(c_in, width, stride),
        )


def constant_scaling(
    *,
    shortcut_scale: float,
    residual_scale: float,
    depth: int = 110,
    classes: int = 10,
) -> CifarNet:
    """Fig. 2b on ResNet-(6n+2): scales 0/1 and 0.5/1 fail, 0.5/0.5 gives 12.35 %."""
    n = units_per_stage(depth, weights_per_unit=2)
    unit = partial(
        ConstantScaling, shortcut_scale=shortcut_scale, residual_scale=residual_scale
    )
    return post_activation_net(unit, n, classes=classes)


def exclusive_gating(
    *, gate_bias: float, depth: int = 110, classes: int = 10
) -> CifarNet:
    """Fig. 2c on ResNet-(6n+2): b_g = 0 to -5 fails, -6 gives 8.70 %, -7 9.81 %."""
    n = units_per_stage(depth, weights_per_unit=2)
    unit = partial(ExclusiveGating, gate_bias=gate_bias)
    return post_activation_net(unit, n, classes=classes)


def shortcut_gating(
    *, gate_bias: float, depth: int = 110, classes: int = 10
) -> CifarNet:
    """Fig. 2d on ResNet-(6n+2): b_g = 0 gives 12.86 %, -6 gives 6.91 %."""
    n = units_per_stage(depth, weights_per_unit=2)
    unit = partial(ShortcutOnlyGating, gate_bias=gate_bias)
    return post_activation_net(unit, n, classes=classes)


def conv_shortcut(*, depth: int = 110, classes: int = 10) -> CifarNet:
    """Fig. 2e on ResNet-(6n+2): 12.22 % for ResNet-110 in Table 1."""
    n = units_per_stage(depth, weights_per_unit=2)
    return post_activation_net(ConvShortcut, n, classes=classes)


def dropout_shortcut(*, depth: int = 110, classes: int = 10) -> CifarNet:
    """Fig. 2f on ResNet-(6n+2): fails (error above 20 %) in Table 1."""
    n = units_per_stage(depth, weights_per_unit=2)
    return post_activation_net(DropoutShortcut, n, classes=classes)
