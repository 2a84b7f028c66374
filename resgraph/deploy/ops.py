"""An op that only deployed networks have; it is no part of the spec language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import StrictBool

from resgraph.ops import OnnxBuilder, Op, Role, Shape, Start, Weight
from resgraph.ops.source import layer
from resgraph.ops.start import Constant
from resgraph.syntax import Call


class ChannelClip(Op):
    """max(min(x, upper), lower) with bounds of each channel; a bound not used is not there."""

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
