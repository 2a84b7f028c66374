"""Equal ways to write what takes several steps: which rules apply to which op.

A rule holds for every input, in training and at inference, up to rounding, and up to the
choice of a gradient where there is none (a ReLU at exactly 0). It gets a step whose inputs
are in normal form, and says where the step's value is in the normal form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resgraph.verify import shape_rules, sum_rules, window_rules
from resgraph.verify.flow import Flow
from resgraph.verify.labels import POINTWISE
from resgraph.verify.normal import Normal, Rule, normal


def normalised(flow: Flow) -> Normal:
    """The normal form of a flow: equal for flows that the rules here call equal."""
    return normal(flow, _RULES)


_RULES: Mapping[str, Sequence[Rule]] = {
    **dict.fromkeys(POINTWISE, (shape_rules.behind_reshape,)),
    "affine": (shape_rules.behind_reshape, sum_rules.linear_form),
    "batch_norm": (shape_rules.norm_behind_reshape,),
    "add": (sum_rules.stretched, sum_rules.linear_form),
    "sub": (sum_rules.stretched, sum_rules.linear_form),
    "mul": (sum_rules.stretched, sum_rules.silu, sum_rules.product),
    "reshape": (shape_rules.reshape,),
    "subsample": (shape_rules.subsample, window_rules.pool_of_pad),
    "pad": (shape_rules.crop, shape_rules.pad, shape_rules.pad_of_cat),
    "cat": (shape_rules.cat,),
    "slice": (shape_rules.part_of_part,),
    "conv2d": (
        window_rules.conv_of_pad,
        window_rules.conv_of_crop,
        window_rules.conv_of_pixels,
        window_rules.conv_of_all,
    ),
    "max_pool2d": (window_rules.pool_of_pad,),
    "avg_pool2d": (window_rules.pool_of_pad,),
    "global_max_pool": (window_rules.pool_of_pad,),
    "global_avg_pool": (window_rules.of_affine, window_rules.pool_of_pad),
    "permute": (shape_rules.permute,),
    "mean": (window_rules.of_stack, window_rules.of_affine, window_rules.reduction),
    "amax": (window_rules.of_stack, window_rules.reduction),
    "sum": (window_rules.of_stack, window_rules.sum_as_mean),
}
