"""Pre-activation: Fig. 4d (ReLU only) and Fig. 4e (full: BN and ReLU).

    x_next = h(x) + F(a(x)),    f = identity

with a(x) the activation ahead of F's first weight layer.  In most units a is F's
alone and h(x) = x.  In the first unit of each stage, the *entry*, the activation
comes before the split, so that the shortcut sees it too: x_next = h(a(x)) + F(a(x)).
The last addition of the net is followed by an extra activation, the tail.
"""

from torch import Tensor, nn

from .layers import (
    CifarNet,
    OptionA,
    Unit,
    bare_projection,
    bn,
    conv1x1,
    conv3x3,
    conv_bn_stem,
    conv_stem,
    make_stages,
    units_per_stage,
)


def bn_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(bn(channels), nn.ReLU())


class BodyUnit(nn.Module):
    """Any other unit of a stage: x + F(a(x)); h(x) = x, no shape changes."""

    def __init__(self, a: nn.Module, F: nn.Module) -> None:  # noqa: N803
        super().__init__()
        self.a = a
        self.F = F

    def forward(self, x: Tensor) -> Tensor:
        x_next: Tensor = x + self.F(self.a(x))
        return x_next


class EntryUnit(nn.Module):
    """First unit of a stage: h(a(x)) + F(a(x)), the activation before the split."""

    def __init__(self, a: nn.Module, h: nn.Module, F: nn.Module) -> None:  # noqa: N803
        super().__init__()
        self.a = a
        self.h = h
        self.F = F

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        h = self.h(a)
        x_next: Tensor = h + self.F(a)
        return x_next


def relu_only_basic_residual(c_in: int, width: int, stride: int) -> nn.Sequential:
    """F of Fig. 4d after its first ReLU: weight BN ReLU weight BN.

    [N, c_in, H, W] -> [N, width, H/stride, W/stride]
    """
    return nn.Sequential(
        conv3x3(c_in, width, stride),
        bn(width),
        nn.ReLU(),
        conv3x3(width, width),
        bn(width),
    )


def relu_only_bottleneck_residual(c_in: int, width: int, stride: int) -> nn.Sequential:
    """F of Fig. 4d after its first ReLU: weight BN ReLU weight BN ReLU weight BN.

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


def full_basic_residual(c_in: int, width: int, stride: int) -> nn.Sequential:
    """F of Fig. 4e after its first BN ReLU: weight BN ReLU weight.

    [N, c_in, H, W] -> [N, width, H/stride, W/stride]
    """
    return nn.Sequential(
        conv3x3(c_in, width, stride),
        bn(width),
        nn.ReLU(),
        conv3x3(width, width),
    )


def full_bottleneck_residual(c_in: int, width: int, stride: int) -> nn.Sequential:
    """F of Fig. 4e after its first BN ReLU: weight BN ReLU weight BN ReLU weight.

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
    )


def relu_only_basic_entry(c_in: int, width: int, stride: int) -> EntryUnit:
    F = relu_only_basic_residual(c_in, width, stride)  # noqa: N806
    return EntryUnit(nn.ReLU(), OptionA(c_in, width, stride), F)


def relu_only_basic_body(c_in: int, width: int, stride: int) -> BodyUnit:
    return BodyUnit(nn.ReLU(), relu_only_basic_residual(c_in, width, stride))


def relu_only_bottleneck_entry(c_in: int, width: int, stride: int) -> EntryUnit:
    F = relu_only_bottleneck_residual(c_in, width, stride)  # noqa: N806
    return EntryUnit(nn.ReLU(), bare_projection(c_in, 4 * width, stride), F)


def relu_only_bottleneck_body(c_in: int, width: int, stride: int) -> BodyUnit:
    return BodyUnit(nn.ReLU(), relu_only_bottleneck_residual(c_in, width, stride))


def full_basic_entry(c_in: int, width: int, stride: int) -> EntryUnit:
    F = full_basic_residual(c_in, width, stride)  # noqa: N806
    return EntryUnit(bn_relu(c_in), OptionA(c_in, width, stride), F)


def full_basic_body(c_in: int, width: int, stride: int) -> BodyUnit:
    return BodyUnit(bn_relu(c_in), full_basic_residual(c_in, width, stride))


def full_bottleneck_entry(c_in: int, width: int, stride: int) -> EntryUnit:
    F = full_bottleneck_residual(c_in, width, stride)  # noqa: N806
    return EntryUnit(bn_relu(c_in), bare_projection(c_in, 4 * width, stride), F)


def full_bottleneck_body(c_in: int, width: int, stride: int) -> BodyUnit:
    return BodyUnit(bn_relu(c_in), full_bottleneck_residual(c_in, width, stride))


def relu_only_net(
    entry: Unit, body: Unit, n: int, *, expansion: int, classes: int
) -> CifarNet:
    """The frame of Fig. 4d: stem weight BN, tail ReLU.

    The paper does not spell the stem out.  Its ReLU is the one the first unit
    applies before its split: the same function as a stem weight BN ReLU.
    """
    return CifarNet(
        stem=conv_bn_stem(),
        stages=make_stages(entry, body, n, expansion),
        tail=nn.Sequential(nn.ReLU()),
        channels=expansion * 64,
        classes=classes,
    )


def full_preact_net(
    entry: Unit, body: Unit, n: int, *, expansion: int, classes: int
) -> CifarNet:
    """The frame of Fig. 4e: stem a bare weight layer, tail BN ReLU."""
    return CifarNet(
        stem=conv_stem(),
        stages=make_stages(entry, body, n, expansion),
        tail=bn_relu(expansion * 64),
        channels=expansion * 64,
        classes=classes,
    )


def relu_only_basic(*, depth: int = 110, classes: int = 10) -> CifarNet:
    """Fig. 4d on ResNet-(6n+2): 6.71 % for ResNet-110 in Table 2."""
    n = units_per_stage(depth, weights_per_unit=2)
    entry, body = relu_only_basic_entry, relu_only_basic_body
    return relu_only_net(entry, body, n, expansion=1, classes=classes)


def relu_only_bottleneck(*, depth: int = 164, classes: int = 10) -> CifarNet:
    """Fig. 4d on ResNet-(9n+2): 5.91 % for ResNet-164 in Table 2."""
    n = units_per_stage(depth, weights_per_unit=3)
    entry, body = relu_only_bottleneck_entry, relu_only_bottleneck_body
    return relu_only_net(entry, body, n, expansion=4, classes=classes)


def full_preact_basic(*, depth: int = 110, classes: int = 10) -> CifarNet:
    """Fig. 4e on ResNet-(6n+2): 6.37 % for ResNet-110 in Tables 2 and 3."""
    n = units_per_stage(depth, weights_per_unit=2)
    entry, body = full_basic_entry, full_basic_body
    return full_preact_net(entry, body, n, expansion=1, classes=classes)


def full_preact_bottleneck(*, depth: int = 164, classes: int = 10) -> CifarNet:
    """Fig. 4e on ResNet-(9n+2): 5.46 % for ResNet-164, 4.92 % for ResNet-1001."""
    n = units_per_stage(depth, weights_per_unit=3)
    entry, body = full_bottleneck_entry, full_bottleneck_body
    return full_preact_net(entry, body, n, expansion=4, classes=classes)
