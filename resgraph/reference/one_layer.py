"""ResNet-110 (1layer) of Table 3: every shortcut skips a single 3x3 weight layer.

Three stages of n units, so depth = 3n+2; option A where the shape changes.
"""

from torch import nn

from .layers import CifarNet, OptionA, bn, conv3x3, units_per_stage
from .original import OriginalUnit, post_activation_net
from .preactivation import BodyUnit, EntryUnit, bn_relu, full_preact_net


class OriginalOneLayer(OriginalUnit):
    """Fig. 4a with one weight layer: F = weight BN, f = ReLU.

    [N, c_in, H, W] -> [N, width, H/stride, W/stride]
    """

    def __init__(self, c_in: int, width: int, stride: int) -> None:
        super().__init__(
            h=OptionA(c_in, width, stride),
            F=nn.Sequential(conv3x3(c_in, width, stride), bn(width)),
        )


def preact_entry(c_in: int, width: int, stride: int) -> EntryUnit:
    """Fig. 4e with one weight layer, BN ReLU before the split: F = weight.

    [N, c_in, H, W] -> [N, width, H/stride, W/stride]
    """
    h = OptionA(c_in, width, stride)
    return EntryUnit(bn_relu(c_in), h, conv3x3(c_in, width, stride))


def preact_body(c_in: int, width: int, stride: int) -> BodyUnit:
    """Fig. 4e with one weight layer: F = BN ReLU weight, h(x) = x."""
    return BodyUnit(bn_relu(c_in), conv3x3(c_in, width, stride))


def one_layer_original(*, depth: int = 110, classes: int = 10) -> CifarNet:
    """Table 3, baseline unit: 9.90 % for ResNet-110 (1layer)."""
    n = units_per_stage(depth, weights_per_unit=1)
    return post_activation_net(OriginalOneLayer, n, classes=classes)


def one_layer_preact(*, depth: int = 110, classes: int = 10) -> CifarNet:
    """Table 3, pre-activation unit: 8.91 % for ResNet-110 (1layer)."""
    n = units_per_stage(depth, weights_per_unit=1)
    return full_preact_net(preact_entry, preact_body, n, expansion=1, classes=classes)
