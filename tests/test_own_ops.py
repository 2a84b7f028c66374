"""What an op states is all that decides: ops that resgraph has never seen, in both outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from resgraph.emit.torch_source import torch_source
from resgraph.emit.weights import drawn
from resgraph.graph import Graph
from resgraph.ops import OnnxBuilder, Op, Shape, Start, Weight
from resgraph.ops.base import Count, Numbers
from resgraph.ops.source import layer
from resgraph.ops.start import Constant, HeNormal
from resgraph.passes import analyse
from resgraph.syntax import Call, Syntax, call
from tests.helpers import SPECS, graph_from, graph_of, load


class Up(Op):
    """A transposed convolution that starts as He et al. have it."""

    kind: ClassVar[str] = "up"
    channels: Count

    def starts(self) -> Mapping[str, Start]:
        return {"weight": HeNormal(), "bias": Constant(0.25)}

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        weight = self.weight("weight", (inputs[0][0], self.channels, 1, 1))
        return (weight, self.weight("bias", (self.channels,)))

    def torch_layer(self, *channels: Any) -> Call:
        return layer("nn.ConvTranspose2d", channels[0], self.channels, 1)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("ConvTranspose", *values, g.weight("weight"), g.weight("bias"))


class Roll(Op):
    """A whole number that `forward` reads."""

    kind: ClassVar[str] = "roll"
    shift: Count

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        return call("torch.roll", *values, number("shift"), 2)


def with_op(graph: Graph, unit: str, name: str, op: Op) -> Graph:
    """The tiny network with another op in the place of one."""
    old = graph.units[unit]
    nodes = (replace(n, op=op) if n.name == name else n for n in old.ops)
    units = {**graph.units, unit: replace(old, nodes=tuple(nodes))}
    made, findings = analyse(replace(graph.program, blocks=units), [])
    assert not findings
    return made


def built(graph: Graph, folder: Path) -> tuple[str, torch.nn.Module]:
    text = torch_source(graph, folder)
    path = folder / "net.py"
    path.write_text(text, encoding="utf-8")
    module = load(path)
    return text, getattr(module, module.__all__[0])()


def test_both_outputs_start_a_weight_as_its_op_says(tmp_path: Path) -> None:
    graph = graph_of(SPECS / "tiny.yaml")
    channels = next(n for n in graph.units["body"].ops if n.name == "conv2").op.channels  # type: ignore[attr-defined]
    op = Up.model_validate({"channels": channels})
    graph = with_op(graph, "body", "conv2", op)
    torch.manual_seed(0)
    text, net = built(graph, tmp_path)
    assert text.count("for module in self.modules()") == 1
    assert "isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))" in text
    state, source = net.state_dict(), drawn(0)
    for prefix, instance in graph.parts():
        for place, weight in instance.weights:
            name = f"{prefix}{place}.{weight.name}"
            ours = np.asarray(source(name, weight), np.float64)
            theirs = state[name].double().numpy()
            assert ours.shape == theirs.shape
            if weight.init.constant is not None:
                assert (ours == weight.init.constant).all()
                assert (theirs == weight.init.constant).all()
            else:
                spread = weight.init.std or weight.init.bound / 3**0.5
                for drawn_values in (ours, theirs):
                    error = abs(drawn_values.std() / spread - 1)
                    assert error < 6 / drawn_values.size**0.5


@pytest.mark.parametrize("shift", [3, "width"])
def test_a_whole_number_in_forward_is_whole(shift: object, tmp_path: Path) -> None:
    graph = graph_of(SPECS / "tiny.yaml")
    made = with_op(graph, "body", "relu1", Roll.model_validate({"shift": shift}))
    text, net = built(made, tmp_path)
    read = "self.width" if shift == "width" else "3"
    assert f"torch.roll(self.bn1(self.conv1(x)), {read}, 2)" in text
    assert net.eval()(torch.zeros(1, *graph.input)).shape == (1, 10)


def test_a_layer_named_like_an_argument_adds_none(tmp_path: Path) -> None:
    text = (SPECS / "tiny.yaml").read_text()
    unit = "  pooled: {paths: {out: {from: x, ops: [{max_pool: {kernel: 2, name: in_channels_pool}}]}}}\n"
    text = text.replace("network:\n", f"{unit}network:\n", 1)
    text = text.replace("  head:", "    - [pooled]\n  head:")
    source = torch_source(graph_from(text, tmp_path), tmp_path)
    assert "self.in_channels_pool = nn.MaxPool2d(2)" in source
    assert "Pooled()" in source
