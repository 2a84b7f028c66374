"""The ops with weights: convolution, batch normalisation, linear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from resgraph import codes
from resgraph.expr import Expr, exact, show
from resgraph.ops.base import (
    Channels,
    Count,
    Flag,
    Fractional,
    OnnxBuilder,
    Op,
    OpError,
    Positive,
    Real,
    Shape,
    Size,
    Weight,
    form,
    need_map,
    window,
)
from resgraph.ops.facts import POINT, WHOLE, ReceptiveField, Role, Saved
from resgraph.ops.source import layer, real, unless, whole
from resgraph.ops.start import Constant, FanInUniform, HeNormal, Start
from resgraph.syntax import Call, infix


class Conv(Op):
    """2-d convolution; 'same' padding unless told, no bias unless told."""

    kind: ClassVar[str] = "conv"
    also: ClassVar[tuple[str, ...]] = ("conv2d", "convolution", "convolution2d")
    role: ClassVar[Role] = Role.WEIGHT
    rereads: ClassVar[bool] = True

    kernel: Count = Field(description="Side of the square kernel.")
    channels: Channels = Field(description="Output channels.")
    stride: Count = Field(default=1, description="Step of the kernel.")
    padding: Size | None = Field(
        default=None,
        description="Zeros on each side; by default what keeps the map's size at stride 1.",
    )
    dilation: Count = Field(default=1, description="Spacing of the kernel's taps.")
    groups: Channels = Field(
        default=1, description="Groups of channels, convolved apart."
    )
    bias: Flag = Field(default=False, description="Add a bias per channel.")
    bias_init: Real = Field(default=0, description="Start of the bias; needs bias.")

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

    def mixes(self, *inputs: Shape) -> bool:
        """Not where it is depthwise."""
        return self.groups < inputs[0][0] or inputs[0][0] == 1

    def receptive_field(self) -> ReceptiveField | None:
        padding = self._padding()
        last = self.dilation * (self.kernel - 1) - padding
        return ReceptiveField(-padding, last, self.stride)

    def _check_groups(self, channels: int) -> None:
        for count, what in ((channels, "input"), (self.channels, "output")):
            if count % self.groups:
                raise OpError(
                    codes.INVALID_ATTRIBUTE,
                    f"{self.groups} groups do not divide the {count} {what} channels",
                    field="groups",
                )

    def _padding(self) -> Any:
        """The padding on each side, as a number or as an expression of the unit's parameters."""
        if self.padding is not None:
            return self.padding
        if isinstance(self.kernel, Expr) or isinstance(self.dilation, Expr):
            taps = infix("-", whole(self.kernel), 1)
            far = taps if self.dilation == 1 else infix("*", whole(self.dilation), taps)
            return infix("//", far, 2)
        reach = self.dilation * (self.kernel - 1)
        if reach % 2:
            raise OpError(
                codes.INVALID_ATTRIBUTE,
                f"a kernel of {self.kernel} has no centre to pad around",
                hint="give padding, or an odd kernel",
                field="kernel",
            )
        return reach // 2

    def starts(self) -> Mapping[str, Start]:
        bias = {"bias": Constant(self.bias_init)} if self.bias else {}
        return {"weight": HeNormal(), **bias}

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        k, out = self.kernel, self.channels
        shape = (out, inputs[0][0] // self.groups, k, k)
        weight = self.weight("weight", shape)
        return (weight, self.weight("bias", (out,))) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        (x,) = inputs
        taps = self.kernel**2 * (x[0] // self.groups)
        _, height, width = self.shape(x)
        return taps * self.channels * height * width

    def saved(self, *inputs: Shape) -> Saved:
        return Saved(inputs=True)

    def torch_layer(self, *channels: Any) -> Call:
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
    torch_starts: ClassVar[Mapping[str, Start]] = {
        "weight": Constant(1.0),
        "bias": Constant(0.0),
        "running_mean": Constant(0.0),
        "running_var": Constant(1.0),
    }

    eps: Positive = Field(default=1e-5, description="Added to the variance.")
    momentum: Fractional = Field(
        default=0.1, description="Share of a batch in the running statistics."
    )
    gamma_init: Real = Field(
        default=1,
        description="Start of the scale; at 0 a unit begins as its shortcut.",
    )

    def conventions(self) -> Mapping[str, tuple[str, str]]:
        """Keras, TensorFlow and JAX give the share that the running statistics keep."""
        if isinstance(self.momentum, Expr) or self.momentum < 0.5:
            return {}
        kept = show(1 - exact(self.momentum))
        what = f"a momentum of {self.momentum} keeps {kept} of the running statistics"
        return {"momentum": (what, f"where that much was to be kept: momentum: {kept}")}

    def shape(self, *inputs: Shape) -> Shape:
        need_map(self, inputs[0])
        return inputs[0]

    def receptive_field(self) -> ReceptiveField | None:
        """A position by itself: its channel's statistics are constants at inference."""
        return POINT

    def starts(self) -> Mapping[str, Start]:
        return {**self.torch_starts, "weight": Constant(self.gamma_init)}

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        shape = (inputs[0][0],)
        return (
            self.weight("weight", shape),
            self.weight("bias", shape),
            self.weight("running_mean", shape, trainable=False),
            self.weight("running_var", shape, trainable=False),
        )

    def saved(self, *inputs: Shape) -> Saved:
        """The input, and the batch's mean and deviation per channel in float32."""
        return Saved(inputs=True, fixed=8 * inputs[0][0])

    def torch_layer(self, *channels: Any) -> Call:
        return layer(
            "nn.BatchNorm2d",
            channels[0],
            eps=None if self.eps == 1e-5 else real(self.eps),
            momentum=None if self.momentum == 0.1 else real(self.momentum),
        )

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        tensors = [g.weight(w.name) for w in self.weights(*shapes)]
        return g.node("BatchNormalization", *values, *tensors, epsilon=float(self.eps))


class Linear(Op):
    """Fully connected layer on a vector; PyTorch's start for the weight, 0 for the bias."""

    kind: ClassVar[str] = "linear"
    also: ClassVar[tuple[str, ...]] = ("fc", "dense", "gemm", "fullyconnected")
    role: ClassVar[Role] = Role.WEIGHT
    torch_starts: ClassVar[Mapping[str, Start]] = {"weight": FanInUniform()}

    features: Channels = Field(description="Output features.")
    bias: Flag = Field(default=True, description="Add a bias per feature.")

    def channels_out(self, channels: Sequence[Any]) -> Any:
        return self.features

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if len(x) != 1:
            raise OpError(
                codes.WRONG_RANK,
                f"linear needs a vector, and gets {form(x)}",
                hint=f"put {'global_avg_pool or ' * (len(x) == 3)}flatten before it",
            )
        return (self.features,)

    def receptive_field(self) -> ReceptiveField | None:
        return WHOLE

    def starts(self) -> Mapping[str, Start]:
        bias = {"bias": Constant(0.0)} if self.bias else {}
        return {**self.torch_starts, **bias}

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        weight = self.weight("weight", (self.features, inputs[0][0]))
        return (
            (weight, self.weight("bias", (self.features,))) if self.bias else (weight,)
        )

    def multiply_adds(self, *inputs: Shape) -> int:
        return inputs[0][0] * self.features

    def saved(self, *inputs: Shape) -> Saved:
        return Saved(inputs=True)

    def torch_layer(self, *channels: Any) -> Call:
        return layer(
            "nn.Linear", channels[0], self.features, bias=None if self.bias else False
        )

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        tensors = [g.weight(w.name) for w in self.weights(*shapes)]
        return g.node("Gemm", *values, *tensors, transB=1)
