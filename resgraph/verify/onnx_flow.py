"""An ONNX model as the graph of its steps, in the words that torch's calls are told in.

Each node becomes the call of torch that computes the same, so that one set of rules
(`labels.py`) says what is equal. A node that has no rule keeps its own type and attributes:
it equals itself and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resgraph.verify.calls import Call, Label
from resgraph.verify.flow import INPUT, Flow, Step, live
from resgraph.verify.labels import labels
from resgraph.verify.runtime import OnnxModel, OnnxNode
from resgraph.verify.trace import BATCH

Array = NDArray[Any]


def onnx_flow(model: OnnxModel, outputs: Sequence[str]) -> Flow:
    """The steps that reach these outputs of the model; `scope` is a node's name."""
    shapes = model.shapes(BATCH)
    reader = _Reader(dict(model.weights()), dict(model.constants()), shapes)
    for node in model.nodes():
        reader.read(node)
    last = [reader.values.get(name, INPUT) for name in outputs]
    steps, place = live(reader.steps, last)
    ends = tuple(place[i] for i in last)
    return Flow(tuple(steps), ends, "", shapes["input"][1:], names=tuple(outputs))


@dataclass
class _Reader:
    weights: dict[str, Array]
    constants: dict[str, Array]
    shapes: Mapping[str, tuple[int, ...]]
    steps: list[Step] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=lambda: {"input": INPUT})
    origins: dict[str, str] = field(default_factory=dict)
    """Another name of a tensor -> its name in the state_dict."""

    def read(self, node: OnnxNode) -> None:
        """Append the node's steps, and remember where its result is."""
        if node.op == "Constant":
            self.constants[node.outputs[0]] = np.asarray(
                next(iter(node.attributes.values()))
            )
            return
        if node.op == "Identity" and node.inputs[0] not in self.values:
            self._renamed(node.inputs[0], node.outputs[0])
            return
        found, roles = self._told(node)
        inputs = tuple(self.values[i] for i in node.inputs if i in self.values)
        weights = tuple(
            (role, self.origins.get(name, name), tuple(self.weights[name].shape))
            for role, name in roles
            if name in self.weights
        )
        value = inputs[0] if inputs else INPUT
        for k, label in enumerate(found):
            sources = inputs if k == 0 else (value,)
            value = self._step(label, sources, weights if k == 0 else (), node)
        self.values[node.outputs[0]] = value

    def _renamed(self, name: str, other: str) -> None:
        """A tensor of the file by another name."""
        if name in self.weights:
            self.weights[other] = self.weights[name]
            self.origins[other] = self.origins.get(name, name)
        elif name in self.constants:
            self.constants[other] = self.constants[name]

    def _step(
        self, label: Label, inputs: tuple[int, ...], weights: Any, node: OnnxNode
    ) -> int:
        shape = self.shapes.get(node.outputs[0], (0,))[1:]
        shape = shape if label.shape is None else label.shape
        step = Step(label.op, label.attributes, inputs, weights, node.name, shape)
        self.steps.append(step)
        return len(self.steps) - 1

    def _told(self, node: OnnxNode) -> tuple[list[Label], list[tuple[str, str]]]:
        """The labels of the node, and its tensors by their role in torch."""
        rule = _RULES.get(node.op)
        told = rule(node, self) if rule and self._is_shaped(node) else None
        if told is None:
            chosen = tuple(sorted((k, _plain(v)) for k, v in node.attributes.items()))
            constants = tuple(
                (name, str(self.constants[name].tolist()))
                for name in node.inputs
                if name in self.constants
            )
            label = Label(f"onnx.{node.op}", (*chosen, *constants))
            return [label], [(str(i), name) for i, name in enumerate(node.inputs)]
        name, arguments, roles = told
        shapes = tuple(self._shape(i) for i in node.inputs if self._is_value(i))
        after = self.shapes.get(node.outputs[0], ())
        return labels(
            Call(name, arguments, shapes, after, (None,) * len(shapes))
        ), roles

    def _is_shaped(self, node: OnnxNode) -> bool:
        """Whether ONNX has inferred the shapes that a rule may ask for, and none is empty."""
        values = [i for i in node.inputs if i in self.values]
        shapes = [self.shapes.get(name, ()) for name in (*values, node.outputs[0])]
        return all(shape and min(shape) > 0 for shape in shapes)

    def _is_value(self, name: str) -> bool:
        return name in self.values or name in self.weights

    def _shape(self, name: str) -> tuple[int, ...]:
        weight = self.weights.get(name)
        return self.shapes.get(name, ()) if weight is None else tuple(weight.shape)

    def number(self, name: str) -> float | None:
        """A constant of one number."""
        array = self.constants.get(name)
        return (
            float(array.reshape(-1)[0])
            if array is not None and array.size == 1
            else None
        )

    def ints(self, node: OnnxNode, place: int) -> list[int] | None:
        """A constant vector among the node's inputs."""
        name = node.inputs[place] if place < len(node.inputs) else ""
        array = self.constants.get(name)
        return None if array is None else [int(v) for v in array.reshape(-1)]


Told = tuple[str, dict[str, Any], list[tuple[str, str]]]
"""torch's function, its arguments (a tensor is None), and tensors by role."""


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return (
        tuple(value)
        if isinstance(value, Sequence) and not isinstance(value, str)
        else str(value)
    )


_NO_PADDING = ("auto_pad", b"NOTSET")
"""The attribute that says that padding is by numbers."""


def _known(node: OnnxNode, **usual: Any) -> dict[str, Any] | None:
    """The node's attributes over the usual ones; None where one is not among these."""
    given = {k: v for k, v in node.attributes.items() if (k, v) != _NO_PADDING}
    if not given.keys() <= usual.keys():
        return None
    return usual | {
        k: list(v) if isinstance(v, list | tuple) else v for k, v in given.items()
    }


def _sides(pads: Sequence[int]) -> tuple[int, ...]:
    """Padding as torch has it: two numbers, where both sides of an axis are equal."""
    top, left, bottom, right = pads
    return (top, left) if (top, left) == (bottom, right) else tuple(pads)


def _conv(node: OnnxNode, reader: _Reader) -> Told | None:
    weight = reader.weights.get(node.inputs[1])
    if weight is None:
        return None
    kernel = list(weight.shape[2:])
    given = _known(
        node,
        kernel_shape=kernel,
        strides=[1, 1],
        pads=[0] * 4,
        dilations=[1, 1],
        group=1,
    )
    if given is None or given["kernel_shape"] != kernel:
        return None
    arguments = {
        "input": None,
        "weight": None,
        "stride": tuple(given["strides"]),
        "padding": _sides(given["pads"]),
        "dilation": tuple(given["dilations"]),
        "groups": given["group"],
    }
    return (
        "conv2d",
        arguments,
        [*zip(("weight", "bias"), node.inputs[1:], strict=False)],
    )


def _batch_norm(node: OnnxNode, reader: _Reader) -> Told | None:
    given = _known(node, epsilon=1e-5, momentum=0.9, training_mode=0)
    if given is None or len(node.outputs) != 1:
        return None
    arguments = {
        "training": bool(given["training_mode"]),
        "eps": float(given["epsilon"]),
    }
    _, scale, bias, mean, variance = node.inputs
    roles = [
        ("running_mean", mean),
        ("running_var", variance),
        ("weight", scale),
        ("bias", bias),
    ]
    return "batch_norm", arguments, roles


def _gemm(node: OnnxNode, reader: _Reader) -> Told | None:
    given = _known(node, alpha=1.0, beta=1.0, transA=0, transB=0)
    if given != {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}:
        return None
    return "linear", {}, [*zip(("weight", "bias"), node.inputs[1:], strict=False)]


def _plainly(name: str) -> Callable[[OnnxNode, _Reader], Told | None]:
    def rule(node: OnnxNode, reader: _Reader) -> Told | None:
        return None if node.attributes else (name, {"input": None}, [])

    return rule


def _arithmetic(name: str) -> Callable[[OnnxNode, _Reader], Told | None]:
    def rule(node: OnnxNode, reader: _Reader) -> Told | None:
        first, second = (reader.number(i) for i in node.inputs)
        tensors = [i for i in node.inputs if i in reader.constants]
        count = sum(number is not None for number in (first, second))
        if count == 2 or count < len(tensors):
            return None  # of nothing but numbers, or a constant of several
        if first is not None:
            if name == "div":
                return None
            return (
                ("rsub" if name == "sub" else name),
                {"input": None, "other": first},
                [],
            )
        return name, {"input": None, "other": second}, []

    return rule


def _clip(node: OnnxNode, reader: _Reader) -> Told | None:
    """A clamp, whose ends are inputs, or attributes before opset 11."""
    ends = dict(zip(("min", "max"), node.inputs[1:], strict=False))
    numbers = {k: reader.number(name) for k, name in ends.items() if name}
    if None in numbers.values() or not node.attributes.keys() <= {"min", "max"}:
        return None
    return "clamp", {"input": None, **node.attributes, **numbers}, []


def _extreme(name: str) -> Callable[[OnnxNode, _Reader], Told | None]:
    """The larger or the smaller of two, of which one may be a number."""
    rule = _arithmetic(name)
    return lambda node, reader: rule(node, reader) if len(node.inputs) == 2 else None


def _concat(node: OnnxNode, reader: _Reader) -> Told | None:
    return "cat", {"tensors": None, "dim": node.attributes.get("axis", 0)}, []


def _pool(name: str, **usual: Any) -> Callable[[OnnxNode, _Reader], Told | None]:
    def rule(node: OnnxNode, reader: _Reader) -> Told | None:
        given = _known(
            node, kernel_shape=None, strides=[1, 1], pads=[0] * 4, ceil_mode=0, **usual
        )
        if given is None or len(node.outputs) != 1:
            return None
        if len(padding := _sides(given["pads"])) != 2:
            return None
        arguments = {
            "input": None,
            "kernel_size": tuple(given["kernel_shape"]),
            "stride": tuple(given["strides"]),
            "padding": padding,
            "ceil_mode": bool(given["ceil_mode"]),
        }
        if "count_include_pad" in given:
            arguments["count_include_pad"] = bool(given["count_include_pad"])
        elif given.get("dilations", [1, 1]) != [1, 1]:
            arguments["dilation"] = tuple(given["dilations"])
        return name, arguments, []

    return rule


def _global_pool(node: OnnxNode, reader: _Reader) -> Told | None:
    return "adaptive_avg_pool2d", {"input": None, "output_size": 1}, []


def _reshape(node: OnnxNode, reader: _Reader) -> Told | None:
    return "view", {"input": None}, []


def _slice(node: OnnxNode, reader: _Reader) -> Told | None:
    starts, ends, axes, steps = (reader.ints(node, k) for k in range(1, 5))
    if starts is None or ends is None or axes is None:
        return None
    index = [slice(None)] * 4
    for k, axis in enumerate(axes):
        stop = None if ends[k] >= 2**31 - 1 else ends[k]
        index[axis] = slice(starts[k], stop, steps[k] if steps else 1)
    return "getitem", {"input": None, "index": tuple(index)}, []


def _pad(node: OnnxNode, reader: _Reader) -> Told | None:
    pads = reader.ints(node, 1)
    if pads is None or node.attributes.get("mode", b"constant") not in (
        b"constant",
        "constant",
    ):
        return None
    value = (
        reader.number(node.inputs[2])
        if len(node.inputs) > 2 and node.inputs[2]
        else 0.0
    )
    if value is None or len(node.inputs) > 3:
        return None
    rank = len(pads) // 2
    if pads[0] or pads[rank]:  # of the images
        return None
    amounts = [pads[k] for axis in range(rank - 1, 0, -1) for k in (axis, axis + rank)]
    return "pad", {"input": None, "pad": tuple(amounts), "value": value}, []


_RULES: dict[str, Callable[[OnnxNode, _Reader], Told | None]] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
    "Relu": _plainly("relu"),
    "Sigmoid": _plainly("sigmoid"),
    "Identity": _plainly("clone"),
    "Add": _arithmetic("add"),
    "Sub": _arithmetic("sub"),
    "Mul": _arithmetic("mul"),
    "Div": _arithmetic("div"),
    "Max": _extreme("maximum"),
    "Min": _extreme("minimum"),
    "Clip": _clip,
    "Concat": _concat,
    "MaxPool": _pool("max_pool2d", dilations=[1, 1], storage_order=0),
    "AveragePool": _pool("avg_pool2d", count_include_pad=0),
    "GlobalAveragePool": _global_pool,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Slice": _slice,
    "Pad": _pad,
}
