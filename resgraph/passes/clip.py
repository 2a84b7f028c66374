"""Turn BN-ReLU into a clip of each channel where the layers behind take the rest.

With s and b of BN at inference and t = -b / s, exactly

    ReLU(s x + b) = s max(x, t) + b    for s > 0
                  = s min(x, t) + b    for s < 0
                  = ReLU(b)            for s = 0.

So s goes into the weights of the next layer and b, through them, into its bias. That needs
a layer in which every output sees the same sum of constants: a convolution that pads would
see zeros at the border and not b. Global average pooling hands on both s and b.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import StrictBool

from resgraph.graph import Node
from resgraph.graph.dag import OUTSIDE
from resgraph.ops import OnnxBuilder, Op, Role, Shape, Start, Weight
from resgraph.ops.pointwise import Relu
from resgraph.ops.pool import GlobalAvgPool
from resgraph.ops.source import layer
from resgraph.ops.start import Constant
from resgraph.ops.weighted import Bn, Conv, Linear
from resgraph.passes.edit import Edit, Formula, Layers, Tensors, fold
from resgraph.passes.folds import Vector, affine
from resgraph.syntax import Call

_LARGEST = float(np.finfo(np.float32).max)


class ChannelClip(Op):
    """max(min(x, upper), lower) with bounds of each channel; a bound not used is not there.

    It is no part of the spec language: only deployed networks have it.
    """

    kind: ClassVar[str] = "channel_clip"
    role: ClassVar[Role] = Role.ACTIVATION
    helper: ClassVar[str] = '''\
class ChannelClip(nn.Module):
    """max(min(x, upper), lower), each channel by its own bounds."""

    def __init__(self, channels: int, lower: bool, upper: bool) -> None:
        super().__init__()
        if lower:
            self.register_buffer("lower", torch.zeros(channels, 1, 1))
        if upper:
            self.register_buffer("upper", torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "upper"):
            x = torch.minimum(x, self.upper)
        return torch.maximum(x, self.lower) if hasattr(self, "lower") else x
'''

    lower: StrictBool
    upper: StrictBool

    def starts(self) -> Mapping[str, Start]:
        return dict.fromkeys(("lower", "upper"), Constant(0.0))

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        shape = (inputs[0][0], 1, 1)
        names = [n for n in ("lower", "upper") if getattr(self, n)]
        return tuple(self.weight(name, shape, trainable=False) for name in names)

    def torch_layer(self, *channels: Any) -> Call:
        return layer("ChannelClip", channels[0], lower=self.lower, upper=self.upper)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        (x,) = values
        if self.upper:
            x = g.node("Min", x, g.weight("upper"))
        return g.node("Max", x, g.weight("lower")) if self.lower else x

    def __str__(self) -> str:
        bounds = [("Max", self.lower), ("Min", self.upper)]
        return " and ".join(name for name, used in bounds if used) or "of nothing"


@dataclass(frozen=True)
class Form:
    """ReLU(s x + b) = scale * min(max(x, lower), upper) + shift, per channel."""

    lower: Vector
    upper: Vector
    scale: Vector
    shift: Vector

    @classmethod
    def of(cls, s: Vector, b: Vector) -> Form:
        """A bound that float32 cannot hold is never met: that channel is always on or off."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            bound = -b / s
        met = np.abs(bound) <= _LARGEST  # not a number where s = b = 0
        off = ~met & ((s == 0) | (b < 0))
        return cls(
            lower=np.where(met & (s > 0), bound, -np.inf),
            upper=np.where(met & (s < 0), bound, np.inf),
            scale=np.where(off, 0.0, s),
            shift=np.where(off, np.maximum(b, 0.0), b),
        )


def _clips(edit: Edit, layers: Layers) -> None:
    """Clips for the BN-ReLUs that layers without padding read."""
    for bn in edit.of(Bn):
        takers = _takers(bn, edit)
        if isinstance(takers, str):
            edit.kept[bn.name] = takers
            continue
        (relu,) = edit.dag.readers[bn.name]
        edit.drop.add(relu)
        clip = _clip(bn, layers)
        name = edit.new_name(bn.name, "clip")
        edit.replace(bn, name, clip, _bounds(bn), bn.name)
        if not clip.weights(edit.instance.shapes[bn.name]):
            del edit.formulas[name], edit.origins[name]
        for taker in takers:
            name = edit.new_name(bn.name, taker.name)
            op = taker.op.having({"bias": True})
            edit.replace(taker, name, op, _taken(bn, taker), bn.name, taker.name)
        into = " and ".join(taker.name for taker in takers)
        edit.done[bn.name] = f"with its ReLU a clip ({clip}), the rest in {into}"


clip_before_layers = fold("clip-before-layers", _clips)


def _takers(bn: Node, edit: Edit) -> list[Node] | str:
    """The layers that can take scale and shift, or why it cannot be done."""
    after = edit.dag.readers[bn.name]
    if len(after) != 1 or OUTSIDE in after:
        return "other things than one ReLU read it"
    relu = edit.dag.nodes[after[0]]
    if not isinstance(relu.op, Relu):
        return f"{relu.name} reads it, not a ReLU"
    found: list[Node] = []
    for reader in _through_pooling(relu.name, edit):
        if reader == OUTSIDE:
            return f"{relu.name} is the unit's output"
        node = edit.dag.nodes[reader]
        if why := _why_not(node):
            return why
        found.append(node)
    return found


def _why_not(taker: Node) -> str:
    """Why a layer cannot take scale and shift, or ''."""
    if isinstance(taker.op, Linear):
        return ""
    if not isinstance(taker.op, Conv):
        return f"{taker.name} reads its ReLU, and has no weights to take the scale"
    reach = taker.op.receptive_field()
    if reach is None or reach.first < 0:
        return f"{taker.name} pads with zeros, where the constant would stand"
    return f"{taker.name} has groups" if taker.op.groups > 1 else ""


def _through_pooling(value: str, edit: Edit) -> Iterator[str]:
    """The readers of a value; where one is the mean over the map, its readers."""
    for reader in edit.dag.readers[value]:
        is_mean = reader != OUTSIDE and isinstance(
            edit.dag.nodes[reader].op, GlobalAvgPool
        )
        if is_mean:
            yield from _through_pooling(reader, edit)
        else:
            yield reader


def _form(bn: Node, layers: Layers) -> Form:
    assert isinstance(bn.op, Bn)
    return Form.of(*affine(bn.op, layers(bn.name)))


def _clip(bn: Node, layers: Layers) -> ChannelClip:
    """The clip in the BN's place, with the bounds that some channel needs."""
    form = _form(bn, layers)
    lower, upper = bool((form.lower > -np.inf).any()), bool((form.upper < np.inf).any())
    return ChannelClip(lower=lower, upper=upper)


def _bounds(bn: Node) -> Formula:
    def bounds(layers: Layers) -> Tensors:
        form = _form(bn, layers)
        return {"lower": form.lower, "upper": form.upper}

    return bounds


def _taken(bn: Node, taker: Node) -> Formula:
    """The layer's weights with the scale in them, and its bias with the shift."""

    def take(layers: Layers) -> Tensors:
        form, tensors = _form(bn, layers), layers(taker.name)
        weight = tensors["weight"]
        rest = (1,) * (weight.ndim - 2)
        constant = weight * form.shift.reshape(1, -1, *rest)
        bias = constant.sum(axis=tuple(range(1, weight.ndim)))
        return {
            "weight": weight * form.scale.reshape(1, -1, *rest),
            "bias": bias + tensors["bias"] if "bias" in tensors else bias,
        }

    return take
