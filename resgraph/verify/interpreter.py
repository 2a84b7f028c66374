"""A graph executed node by node: the network that the spec means, without any emitted file.

It knows units, paths and shapes from the IR and the ops from their own classes; how the
emitter groups, chains and names things is no part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from resgraph.graph import Graph, Instance
from resgraph.graph.typed import row_parts
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
    """An instance at its place, and its nodes, those of its rows among them."""

    prefix: str
    instance: Instance
    calls: tuple[Call, ...]

    def __deepcopy__(self, memo: dict[int, Any]) -> Part:
        return self  # constant: a copy of the network shares it


@dataclass(frozen=True)
class Parts:
    """A row of the network: its parts, each computed from what the one before it makes."""

    inputs: tuple[str, ...]
    results: tuple[str, ...]
    parts: tuple[Part, ...]

    def __deepcopy__(self, memo: dict[int, Any]) -> Parts:
        return self


Watch = Callable[[Part, dict[str, Tensor]], None]
"""Is told of each part, with every value in it by the name of its node."""


class Interpreter(nn.Module):
    """[N, *graph.input] -> the network's outputs; names as in the graph and its state_dict.

    One output is a tensor, several are a dict of tensors by name. Weights start as torch
    starts them: they are meant to be loaded. With `single`, the ops' numbers (a BN's eps, the
    factor of a scale) are as float32 holds them, and ONNX with it.
    """

    # Names with '_' are no layer's.

    def __init__(self, graph: Graph, single: bool = False) -> None:
        super().__init__()
        self._inputs = graph.network.block.inputs
        self._outputs = dict(graph.outputs)
        self._scopes: list[str] = []  # the tracer's, while it runs
        self._watch: Watch | None = None
        known: dict[int, Part] = {}
        self._rows = tuple(
            Parts(
                row.inputs,
                graph.network.values(row),
                tuple(
                    self._part(prefix, instance, single, known)
                    for prefix, instance in row_parts(row, graph.network.runs[row.name])
                ),
            )
            for row in graph.network.block.rows
        )

    def _part(
        self, prefix: str, instance: Instance, single: bool, known: dict[int, Part]
    ) -> Part:
        """The part with its layers registered; equal instances have the same calls."""
        if (
            id(instance) not in known
        ):  # the part keeps the instance, so the id is its own
            calls = tuple(_calls(instance.flat, single))
            known[id(instance)] = Part(prefix, instance, calls)
        part = replace(known[id(instance)], prefix=prefix)
        for call in part.calls:
            if call.layer is not None:
                self._add(f"{prefix}{call.name}", call.layer())
        return part

    def _add(self, path: str, layer: nn.Module) -> None:
        """Register a layer under its dotted path."""
        *folders, name = path.split(".")
        home: nn.Module = self
        for folder in folders:
            if folder not in home._modules:
                home.add_module(folder, nn.Module())
            home = home.get_submodule(folder)
        home.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        values = dict.fromkeys(self._inputs, x)
        for row in self._rows:
            given = tuple(values[name] for name in row.inputs)
            for part in row.parts:
                given = self._computed(part, given)
            values |= zip(row.results, given, strict=True)
        outputs = {name: values[v] for name, v in self._outputs.items()}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def _computed(self, part: Part, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The outputs of a part that is given these inputs."""
        block = part.instance.flat.block
        values = dict(zip(block.inputs, given, strict=True))
        for call in part.calls:
            name = f"{part.prefix}{call.name}"
            self._scopes.append(name)
            layer = self.get_submodule(name) if call.layer else None
            values[call.name] = call.function(layer, *(values[i] for i in call.inputs))
            self._scopes.pop()
        if self._watch is not None:
            self._watch(part, values)
        return tuple(values[value] for value in block.results.values())


@contextmanager
def watched(network: Interpreter, watch: Watch) -> Iterator[None]:
    """Have the network tell of its parts, for a while."""
    network._watch = watch
    try:
        yield
    finally:
        network._watch = None


def _calls(instance: Instance, single: bool) -> Iterator[Call]:
    for node in instance.steps:
        inputs = node.inputs
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


def _namespace(helper: str) -> dict[str, Any]:
    """What an op's text may name: torch, as in a generated file, and its helper class."""
    names: dict[str, Any] = {
        "torch": torch,
        "nn": nn,
        "functional": functional,
        "Tensor": Tensor,
    }
    exec(helper, names)
    return names
