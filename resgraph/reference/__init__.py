"""The paper's networks written by hand in plain torch, one figure at a time.

He, Zhang, Ren, Sun, *Identity Mappings in Deep Residual Networks*, ECCV 2016,
arXiv 1603.05027.  [1] in this package is *Deep Residual Learning for Image
Recognition*, CVPR 2016.

An oracle has to be independent of what it judges: this package imports torch and
the standard library only, and was written from the paper's figures.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from .activation import (
    bn_after_add_basic,
    bn_after_add_bottleneck,
    relu_before_add_basic,
    relu_before_add_bottleneck,
)
from .one_layer import one_layer_original, one_layer_preact
from .original import original_basic, original_bottleneck
from .preactivation import (
    full_preact_basic,
    full_preact_bottleneck,
    relu_only_basic,
    relu_only_bottleneck,
)
from .shortcuts import (
    constant_scaling,
    conv_shortcut,
    dropout_shortcut,
    exclusive_gating,
    shortcut_gating,
)

__all__ = [
    "REFERENCES",
    "bn_after_add_basic",
    "bn_after_add_bottleneck",
    "constant_scaling",
    "conv_shortcut",
    "dropout_shortcut",
    "exclusive_gating",
    "full_preact_basic",
    "full_preact_bottleneck",
    "one_layer_original",
    "one_layer_preact",
    "original_basic",
    "original_bottleneck",
    "relu_before_add_basic",
    "relu_before_add_bottleneck",
    "relu_only_basic",
    "relu_only_bottleneck",
    "shortcut_gating",
]

#: Network name -> constructor without arguments; nothing is built until it is called.
REFERENCES: dict[str, Callable[[], nn.Module]] = {
    # Fig. 4e: full pre-activation (Tables 2 and 3)
    "resnet20": partial(full_preact_basic, depth=20),
    "resnet110": partial(full_preact_basic, depth=110),
    "resnet164": partial(full_preact_bottleneck, depth=164),
    "resnet1001": partial(full_preact_bottleneck, depth=1001),
    # Fig. 4a and 2a: original (Tables 1, 2 and 3); 1202 is from [1]
    "resnet20_original": partial(original_basic, depth=20),
    "resnet110_original": partial(original_basic, depth=110),
    "resnet164_original": partial(original_bottleneck, depth=164),
    "resnet1001_original": partial(original_bottleneck, depth=1001),
    "resnet1202": partial(original_basic, depth=1202),
    # Fig. 4b-d (Table 2)
    "resnet110_bn_after_add": partial(bn_after_add_basic, depth=110),
    "resnet164_bn_after_add": partial(bn_after_add_bottleneck, depth=164),
    "resnet110_relu_before_add": partial(relu_before_add_basic, depth=110),
    "resnet164_relu_before_add": partial(relu_before_add_bottleneck, depth=164),
    "resnet110_relu_only_preact": partial(relu_only_basic, depth=110),
    "resnet164_relu_only_preact": partial(relu_only_bottleneck, depth=164),
    # Fig. 2b: constant scaling (Table 1)
    "resnet110_scale_0_1": partial(
        constant_scaling, shortcut_scale=0.0, residual_scale=1.0
    ),
    "resnet110_scale_05_1": partial(
        constant_scaling, shortcut_scale=0.5, residual_scale=1.0
    ),
    "resnet110_scale_05_05": partial(
        constant_scaling, shortcut_scale=0.5, residual_scale=0.5
    ),
    # Fig. 2c: exclusive gating (Table 1)
    "resnet110_exclusive_gating_b0": partial(exclusive_gating, gate_bias=0.0),
    "resnet110_exclusive_gating_b5": partial(exclusive_gating, gate_bias=-5.0),
    "resnet110_exclusive_gating_b6": partial(exclusive_gating, gate_bias=-6.0),
    "resnet110_exclusive_gating_b7": partial(exclusive_gating, gate_bias=-7.0),
    # Fig. 2d: shortcut-only gating (Table 1)
    "resnet110_shortcut_gating_b0": partial(shortcut_gating, gate_bias=0.0),
    "resnet110_shortcut_gating_b6": partial(shortcut_gating, gate_bias=-6.0),
    # Fig. 2e and 2f (Table 1)
    "resnet110_conv_shortcut": conv_shortcut,
    "resnet110_dropout_shortcut": dropout_shortcut,
    # One weight layer per unit (Table 3)
    "resnet110_1layer_original": one_layer_original,
    "resnet110_1layer": one_layer_preact,
    # CIFAR-100 (Table 3)
    "resnet164_cifar100": partial(full_preact_bottleneck, depth=164, classes=100),
    "resnet1001_cifar100": partial(full_preact_bottleneck, depth=1001, classes=100),
    "resnet164_original_cifar100": partial(original_bottleneck, depth=164, classes=100),
    "resnet1001_original_cifar100": partial(
        original_bottleneck, depth=1001, classes=100
    ),
}
