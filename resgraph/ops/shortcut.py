"""The parameter-free shortcut across a change of shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from resgraph import codes
from resgraph.ops.base import (
    Channels,
    Count,
    OnnxBuilder,
    Op,
    OpError,
    Shape,
    need_map,
)
from resgraph.ops.facts import ReceptiveField, Role, Saved
from resgraph.ops.source import layer, unless
from resgraph.syntax import Call


class OptionA(Op):
    """Option A of He et al., CVPR 2016: every stride-th pixel, then zero channels at the end."""

    kind: ClassVar[str] = "option_a"
    also: ClassVar[tuple[str, ...]] = ("padshortcut",)
    role: ClassVar[Role] = Role.PLAIN
    helper: ClassVar[str] = '''\
class OptionA(nn.Module):
    """Identity shortcut across a change of shape: subsample, then zero-pad channels."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.extra = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, 0, self.extra))
'''

    channels: Channels = Field(
        description="Output channels; at least those of the input."
    )
    stride: Count = Field(default=1, description="Step of the subsampling.")

    def channels_out(self, channels: Sequence[Any]) -> Any:
        return self.channels

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        need_map(self, x)
        if self.channels < x[0]:
            raise OpError(
                codes.INVALID_ATTRIBUTE,
                f"option_a pads channels, and cannot go from {x[0]} down to {self.channels}",
                hint="a 1x1 conv can",
                field="channels",
            )
        return (self.channels, *(-(-side // self.stride) for side in x[1:]))

    def gain(self, *inputs: Shape) -> float | None:
        """1 where it keeps the shape, and so every element."""
        return 1.0 if inputs and self.shape(*inputs) == inputs[0] else None

    def never_negative(self, *inputs: bool) -> bool:
        return all(inputs)

    def receptive_field(self) -> ReceptiveField | None:
        return ReceptiveField(0, 0, self.stride)

    def saved(self, *inputs: Shape) -> Saved:
        return Saved()

    def torch_layer(self, *channels: Any) -> Call:
        stride = unless(1, self.stride)
        return layer("OptionA", channels[0], self.channels, stride=stride)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        (x,) = values
        (channels, height, width) = shapes[0]
        if self.stride > 1:
            steps = (self.stride, self.stride)
            ends = g.ints(height, width)
            x = g.node("Slice", x, g.ints(0, 0), ends, g.ints(2, 3), g.ints(*steps))
        if self.channels > channels:
            pads = g.ints(0, 0, 0, 0, 0, self.channels - channels, 0, 0)
            x = g.node("Pad", x, pads)
        return x
