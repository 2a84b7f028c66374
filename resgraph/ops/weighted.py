"""The ops with weights: convolution, batch normalisation, linear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, StrictBool

from resgraph import codes
from resgraph.expr import Expr
from resgraph.ops.base import (
    Count,
    Fractional,
    Init,
    OnnxBuilder,
    Op,
    OpError,
    Positive,
    Real,
    Shape,
    Size,
    Weight,
    layer,
    need_map,
    source,
    unless,
    window,
    words,
)
from resgraph.ops.facts import POINT, WHOLE, Reach, Role, Saved


class Conv(Op):
    """2-d convolution; 'same' padding unless told, no bias unless told."""

    kind: ClassVar[str] = "conv"
    also: ClassVar[tuple[str, ...]] = ("conv2d", "convolution", "convolution2d")
    role: ClassVar[Role] = Role.WEIGHT
    on_shortcut: ClassVar[str] = "a convolution, as in Fig. 2e"
    rereads: ClassVar[bool] = True

    kernel: Count = Field(description="Side of the square kernel.")
    channels: Count = Field(description="Output channels.")
    stride: Count = Field(default=1, description="Step of the kernel.")
    padding: Size | None = Field(
        default=None,
        description="Zeros on each side; by default what keeps the map's size at stride 1.",
    )
    dilation: Count = Field(default=1, description="Spacing of the kernel's taps.")
    groups: Count = Field(default=1, description="Groups of channels, convolved apart.")
    bias: StrictBool = Field(default=False, description="Add a bias per channel.")
    bias_init: Real = Field(default=0, description="Start of the bias; needs bias.")

    def label(self) -> str:
        return words(
            f"{self.kernel}x{self.kernel} conv",
            self.channels,
            stride=(self.stride, 1),
            dilation=(self.dilation, 1),
            groups=(self.groups, 1),
        )

    def channels_out(self, channels: Sequence[Any]) -> Any:
        return self.channels

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        need_map(self, x)
        self._check_groups(x[0])
        if self.bias_init != 0 and not self.bias:
            raise OpError(
                codes.INVALID_ATTRIBUTE,
                "bias_init without a bias",
                "add bias: true",
                field="bias_init",
            )
        reach = self.dilation * (self.kernel - 1) + 1
        return (self.channels, *window(self, x, reach, self.stride, self._padding()))

    def slope(self, *others: str) -> str:
        return "the weight matrix W"

    def mixes(self, *inputs: Shape) -> bool:
        """Not where it is depthwise."""
        return self.groups < inputs[0][0] or inputs[0][0] == 1

    def reach(self) -> Reach | None:
        padding = self._padding()
        last = self.dilation * (self.kernel - 1) - padding
        return Reach(-padding, last, self.stride)

    def _check_groups(self, channels: int) -> None:
        for count, what in ((channels, "input"), (self.channels, "output")):
            if count % self.groups:
                raise OpError(
                    codes.INVALID_ATTRIBUTE,
                    f"{self.groups} groups do not divide the {count} {what} channels",
                    field="groups",
                )

    def _padding(self) -> Any:
        """The padding on each side, as a number or as source text of the unit's parameters."""
        if self.padding is not None:
            return self.padding
        if isinstance(self.kernel, Expr) or isinstance(self.dilation, Expr):
            taps = f"(({self.kernel}) - 1)"
            far = taps if self.dilation == 1 else f"({self.dilation}) * {taps}"
            return Expr.parse(f"{far} // 2")
        reach = self.dilation * (self.kernel - 1)
        if reach % 2:
            raise OpError(
                codes.INVALID_ATTRIBUTE,
                f"a kernel of {self.kernel} has no centre to pad around",
                hint="give padding, or an odd kernel",
                field="kernel",
            )
        return reach // 2

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        k, out = self.kernel, self.channels
        shape = (out, inputs[0][0] // self.groups, k, k)
        weight = Weight("weight", shape, Init.he(k * k * out))
        bias = Weight("bias", (out,), Init(constant=self.bias_init))
        return (weight, bias) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        (x,) = inputs
        taps = self.kernel**2 * (x[0] // self.groups)
        _, height, width = self.shape(x)
        return taps * self.channels * height * width

    def saved(self, *inputs: Shape) -> Saved:
        return Saved(inputs=True)

    def torch_layer(self, *channels: Any) -> str:
        return layer(
            "nn.Conv2d",
            channels[0],
            self.channels,
            self.kernel,
            stride=unless(1, self.stride),
            padding=unless(0, self._padding()),
            dilation=unless(1, self.dilation),
            groups=unless(1, self.groups),
            bias=None if self.bias else False,
        )

    def torch_init(self, layer: str) -> list[str]:
        if not self.bias:
            return []
        if self.bias_init == 0:
            return [f"nn.init.zeros_({layer}.bias)"]
        return [f"nn.init.constant_({layer}.bias, {source(self.bias_init, False)})"]

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        tensors = [g.weight(w.name) for w in self.weights(*shapes)]
        return g.node(
            "Conv",
            *values,
            *tensors,
            kernel_shape=[self.kernel] * 2,
            strides=[self.stride] * 2,
            pads=[self._padding()] * 4,
            dilations=[self.dilation] * 2,
            group=self.groups,
        )


class Bn(Op):
    """Batch normalisation over each channel, with PyTorch's eps and momentum unless told."""

    kind: ClassVar[str] = "bn"
    also: ClassVar[tuple[str, ...]] = (
        "batchnorm",
        "batchnorm2d",
        "batchnormalization",
    )
    role: ClassVar[Role] = Role.NORM
    after_addition: ClassVar[str] = (
        "BN alters the signal that the shortcut brings, as in Fig. 4b"
    )

    eps: Positive = Field(default=1e-5, description="Added to the variance.")
    momentum: Fractional = Field(
        default=0.1, description="Share of a batch in the running statistics."
    )

    def label(self) -> str:
        return "BN"

    def shape(self, *inputs: Shape) -> Shape:
        need_map(self, inputs[0])
        return inputs[0]

    def slope(self, *others: str) -> str:
        return "gamma / sigma of each channel"

    def reach(self) -> Reach | None:
        """A position by itself: its channel's statistics are constants at inference."""
        return POINT

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        shape = (inputs[0][0],)
        zero, one = Init(constant=0.0), Init(constant=1.0)
        return (
            Weight("weight", shape, one),
            Weight("bias", shape, zero),
            Weight("running_mean", shape, zero, trainable=False),
            Weight("running_var", shape, one, trainable=False),
        )

    def saved(self, *inputs: Shape) -> Saved:
        """The input, and the batch's mean and deviation per channel in float32."""
        return Saved(inputs=True, fixed=8 * inputs[0][0])

    def torch_layer(self, *channels: Any) -> str:
        return layer(
            "nn.BatchNorm2d",
            channels[0],
            eps=None if self.eps == 1e-5 else source(self.eps, whole=False),
            momentum=None
            if self.momentum == 0.1
            else source(self.momentum, whole=False),
        )

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        tensors = [g.weight(w.name) for w in self.weights(*shapes)]
        return g.node("BatchNormalization", *values, *tensors, epsilon=float(self.eps))


class Linear(Op):
    """Fully connected layer on a vector; PyTorch's start for the weight, 0 for the bias."""

    kind: ClassVar[str] = "linear"
    also: ClassVar[tuple[str, ...]] = ("fc", "dense", "gemm", "fullyconnected")
    role: ClassVar[Role] = Role.WEIGHT

    features: Count = Field(description="Output features.")
    bias: StrictBool = Field(default=True, description="Add a bias per feature.")

    def label(self) -> str:
        return words("linear", self.features)

    def channels_out(self, channels: Sequence[Any]) -> Any:
        return self.features

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if len(x) != 1:
            raise OpError(
                codes.WRONG_RANK,
                f"linear needs a vector, and gets the map {list(x)}",
                hint="put global_avg_pool or flatten before it",
            )
        return (self.features,)

    def slope(self, *others: str) -> str:
        return "the weight matrix W"

    def reach(self) -> Reach | None:
        return WHOLE

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        width = inputs[0][0]
        weight = Weight("weight", (self.features, width), Init.uniform(width**-0.5))
        bias = Weight("bias", (self.features,), Init(constant=0.0))
        return (weight, bias) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        return inputs[0][0] * self.features

    def saved(self, *inputs: Shape) -> Saved:
        return Saved(inputs=True)

    def torch_layer(self, *channels: Any) -> str:
        return layer(
            "nn.Linear", channels[0], self.features, bias=None if self.bias else False
        )

    def torch_init(self, layer: str) -> list[str]:
        return [f"nn.init.zeros_({layer}.bias)"] if self.bias else []

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        tensors = [g.weight(w.name) for w in self.weights(*shapes)]
        return g.node("Gemm", *values, *tensors, transB=1)
