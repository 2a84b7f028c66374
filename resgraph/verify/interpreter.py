"""A graph executed node by node: the network that the spec means, without any emitted file.

It knows units, paths and shapes from the IR and the ops from their own classes; how the
emitter groups, chains and names things is no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from resgraph.graph import INPUT, Graph, Instance
from resgraph.ops import Op
from resgraph.ops.source import real, whole
from resgraph.syntax import Literal, Name, Syntax


@dataclass(frozen=True)
class Call:
    """A node: what it computes from its layer and the named values, and how to make the layer."""

    name: str
    inputs: tuple[str, ...]
    function: Callable[..., Tensor]
    layer: Callable[[], nn.Module] | None


@dataclass(frozen=True)
class Part:
    """A unit instance at its place, and its nodes."""

    prefix: str
    output: str
    calls: tuple[Call, ...]

    def __deepcopy__(self, memo: dict[int, Any]) -> Part:
        return self  # constant: a copy of the network shares it


class Interpreter(nn.Module):
    """[N, *graph.input] -> logits [N, classes]; names as in the graph and its state_dict.

    Weights start as torch starts them: they are meant to be loaded. With `single`, the ops'
    numbers (a BN's eps, the factor of a scale) are as float32 holds them, and ONNX with it.
    """

    def __init__(self, graph: Graph, single: bool = False) -> None:
        super().__init__()
        self.scopes: list[str] = []  # the tracer's, while it runs
        self.parts: list[Part] = []
        compiled: dict[int, tuple[Call, ...]] = {}
        for prefix, instance in graph.parts():
            if id(instance) not in compiled:
                compiled[id(instance)] = tuple(_calls(instance, single))
            calls = compiled[id(instance)]
            self.parts.append(Part(prefix, instance.unit.output, calls))
            for call in calls:
                if call.layer is not None:
                    self._add(f"{prefix}{call.name}", call.layer())

    def _add(self, path: str, layer: nn.Module) -> None:
        """Register a layer under its dotted path."""
        *folders, name = path.split(".")
        home: nn.Module = self
        for folder in folders:
            if folder not in home._modules:
                home.add_module(folder, nn.Module())
            home = home.get_submodule(folder)
        home.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = self.compute(part, x)[part.output]
        return x

    def compute(self, part: Part, x: Tensor) -> dict[str, Tensor]:
        """Every value of a part that is given x, by the name of its node."""
        values = {INPUT: x}
        home: nn.Module = self
        for folder in part.prefix.split(".")[:-1]:
            home = home._modules.get(folder) or home
        for call in part.calls:
            self.scopes.append(f"{part.prefix}{call.name}")
            layer = home._modules.get(call.name) if call.layer else None
            values[call.name] = call.function(layer, *(values[i] for i in call.inputs))
            self.scopes.pop()
        return values


def _calls(instance: Instance, single: bool) -> Iterator[Call]:
    for _, node, inputs in instance.unit.steps():
        names = _namespace(node.op.helper)
        channels = [instance.shapes[i][0] for i in inputs]
        made = node.op.torch_layer(*channels)
        make = None if made is None else partial(_layer, str(made), names, single)
        values = [Name(f"v{i}") for i in range(len(inputs))]
        number = partial(_number, node.op, single)
        body = node.op.torch_call(Name("layer"), *values, number=number)
        function = eval(f"lambda layer, {', '.join(map(str, values))}: {body}", names)
        yield Call(node.name, inputs, function, make)


def _layer(text: str, names: dict[str, Any], single: bool) -> nn.Module:
    layer: nn.Module = eval(text, names)
    if single and isinstance(layer, nn.BatchNorm2d):
        layer.eps = float(np.float32(layer.eps))
    return layer


def _number(op: Op, single: bool, name: str) -> Syntax:
    value = getattr(op, name)
    if op.numbers()[name].whole:
        return whole(value)
    return Literal(float(np.float32(float(value)))) if single else real(value)


def _namespace(helper: str = "") -> dict[str, Any]:
    """What an op's text may name: torch, as in a generated file, and its helper class."""
    names: dict[str, Any] = {
        "torch": torch,
        "nn": nn,
        "functional": functional,
        "Tensor": Tensor,
    }
    exec(helper, names)
    return names
