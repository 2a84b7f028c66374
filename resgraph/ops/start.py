"""How a weight starts: one rule each, drawn for ONNX and printed for PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

from resgraph.ops.source import real
from resgraph.syntax import Call, Syntax, call, syntax


@dataclass(frozen=True)
class Init:
    """The numbers of a start: `constant` where it is not None, else random about 0."""

    constant: float | None = None
    std: float = 0.0
    """Of a normal distribution."""
    bound: float = 0.0
    """Of a uniform one, in [-bound, bound]."""


class Start(Protocol):
    """A rule of which the shape of the weight makes numbers."""

    note: str
    """Where it comes from, in a few words; empty where it needs none."""

    def init(self, shape: tuple[int, ...]) -> Init:
        """The numbers for a weight of that shape."""

    def torch(self, tensor: Syntax) -> Call:
        """The statement that starts `tensor` so."""


@dataclass(frozen=True)
class Constant:
    """Every element the same; an `Expr` until the op is resolved."""

    value: Any
    note = ""

    def init(self, shape: tuple[int, ...]) -> Init:
        return Init(constant=self.value)

    def torch(self, tensor: Syntax) -> Call:
        if self.value == 0:
            return call("nn.init.zeros_", tensor)
        return call("nn.init.constant_", tensor, real(self.value))


@dataclass(frozen=True)
class HeNormal:
    """He et al. 2015: normal with std = sqrt(2 / fan), the fan that of the outputs."""

    note = "He et al. 2015: std = sqrt(2 / (k * k * out))"

    def init(self, shape: tuple[int, ...]) -> Init:
        return Init(std=math.sqrt(2 / (shape[0] * prod(shape[2:]))))

    def torch(self, tensor: Syntax) -> Call:
        return call("nn.init.kaiming_normal_", tensor, mode=syntax("fan_out"))


@dataclass(frozen=True)
class FanInUniform:
    """PyTorch's own start of `nn.Linear`: uniform within 1 / sqrt(inputs)."""

    note = ""

    def init(self, shape: tuple[int, ...]) -> Init:
        return Init(bound=prod(shape[1:]) ** -0.5)

    def torch(self, tensor: Syntax) -> Call:
        return call("nn.init.kaiming_uniform_", tensor, a=real(5**0.5))
