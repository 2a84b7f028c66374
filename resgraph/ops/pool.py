"""Pooling and flattening."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

from pydantic import Field

from resgraph import codes
from resgraph.ops.base import (
    Count,
    Flag,
    Numbers,
    OnnxBuilder,
    Op,
    OpError,
    Shape,
    Size,
    need_map,
    window,
)
from resgraph.ops.facts import WHOLE, ReceptiveField, Role, Saved
from resgraph.ops.source import layer, unless
from resgraph.syntax import Call, Syntax, call


class _Pool(Op):
    role: ClassVar[Role] = Role.PLAIN

    kernel: Count = Field(description="Side of the square window.")
    stride: Count | None = Field(
        default=None, description="Step of the window; by default its side."
    )
    padding: Size = Field(default=0, description="Padding on each side.")

    _torch: ClassVar[str]
    _onnx: ClassVar[str]
    _onnx_attributes: ClassVar[dict[str, int]] = {}

    @property
    def _stride(self) -> int:
        return self.kernel if self.stride is None else self.stride

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        need_map(self, x)
        if 2 * self.padding > self.kernel:
            raise OpError(
                codes.INVALID_ATTRIBUTE,
                f"padding {self.padding} is more than half the window of {self.kernel}",
                field="padding",
            )
        return (x[0], *window(self, x, self.kernel, self._stride, self.padding))

    def never_negative(self, *inputs: bool) -> bool:
        return all(inputs)

    def receptive_field(self) -> ReceptiveField | None:
        return ReceptiveField(
            -self.padding, self.kernel - 1 - self.padding, self._stride
        )

    def torch_layer(self, *channels: Any) -> Call:
        stride = None if self.stride is None else unless(self.kernel, self.stride)
        return layer(
            self._torch, self.kernel, stride=stride, padding=unless(0, self.padding)
        )

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node(
            self._onnx,
            *values,
            kernel_shape=[self.kernel] * 2,
            strides=[self._stride] * 2,
            pads=[self.padding] * 4,
            **self._onnx_attributes,
        )


class MaxPool(_Pool):
    """The largest of each window."""

    kind: ClassVar[str] = "max_pool"
    also: ClassVar[tuple[str, ...]] = (
        "maxpool",
        "maxpool2d",
        "maxpooling",
        "maxpooling2d",
    )
    _torch: ClassVar[str] = "nn.MaxPool2d"
    _onnx: ClassVar[str] = "MaxPool"

    def saved(self, *inputs: Shape) -> Saved:
        """The input, and an int64 index for each element of the output."""
        return Saved(inputs=True, bytes=8 * prod(self.shape(*inputs)))


class AvgPool(_Pool):
    """The mean of each window, the padding's zeros counted."""

    kind: ClassVar[str] = "avg_pool"
    also: ClassVar[tuple[str, ...]] = (
        "avgpool",
        "avgpool2d",
        "averagepool",
        "averagepooling",
        "averagepooling2d",
    )
    _torch: ClassVar[str] = "nn.AvgPool2d"
    _onnx: ClassVar[str] = "AveragePool"
    _onnx_attributes: ClassVar[dict[str, int]] = {"count_include_pad": 1}

    def saved(self, *inputs: Shape) -> Saved:
        return Saved(inputs=True)


class GlobalAvgPool(Op):
    """The mean of each map: [C, H, W] to the vector [C], or to [C, 1, 1] with keepdim."""

    kind: ClassVar[str] = "global_avg_pool"
    also: ClassVar[tuple[str, ...]] = (
        "gap",
        "globalaveragepool",
        "globalaveragepooling",
        "globalaveragepooling2d",
    )
    role: ClassVar[Role] = Role.PLAIN

    keepdim: Flag = Field(default=False, description="Keep a [C, 1, 1] map.")

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        need_map(self, x)
        return (x[0], 1, 1) if self.keepdim else (x[0],)

    def never_negative(self, *inputs: bool) -> bool:
        return all(inputs)

    def receptive_field(self) -> ReceptiveField | None:
        return WHOLE

    def saved(self, *inputs: Shape) -> Saved:
        return Saved()

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        pooled = call("functional.adaptive_avg_pool2d", *values, 1)
        return pooled if self.keepdim else call("torch.flatten", pooled, 1)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        pooled = g.node("GlobalAveragePool", *values)
        return pooled if self.keepdim else g.node("Flatten", pooled, axis=1)


class Flatten(Op):
    """A map as one vector of C * H * W."""

    kind: ClassVar[str] = "flatten"
    role: ClassVar[Role] = Role.PLAIN

    def shape(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)

    def never_negative(self, *inputs: bool) -> bool:
        return all(inputs)

    def receptive_field(self) -> ReceptiveField | None:
        """The linear layer behind it sees all of the vector."""
        return WHOLE

    def saved(self, *inputs: Shape) -> Saved:
        return Saved(view=True)

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        return call("torch.flatten", *values, 1)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("Flatten", *values, axis=1)
