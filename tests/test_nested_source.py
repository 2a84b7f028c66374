"""Generated source of blocks within blocks: what it computes, and how it reads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from torch import nn

from resgraph.emit.torch_source import module_source, torch_source
from resgraph.graph import Graph, Node
from resgraph.graph.build import Builder
from resgraph.names import class_name
from resgraph.ops import Op, Shape, Start, Weight
from resgraph.ops.base import Count
from resgraph.ops.source import layer
from resgraph.ops.start import Constant, HeNormal
from resgraph.passes import analyse
from resgraph.spec import Sources
from resgraph.spec import load as load_spec
from resgraph.syntax import Call
from tests.helpers import SPECS, graph_from, graph_of, load
from tests.programs import programs

NESTED = sorted((SPECS / "nested").glob("*.yaml"))
RUFF = [sys.executable, "-m", "ruff"]


def network_of(graph: Graph, folder: Path) -> nn.Module:
    """The network of the generated file, constructed."""
    path = folder / f"{graph.name}.py"
    path.write_text(torch_source(graph, folder), encoding="utf-8")
    made: nn.Module = getattr(load(path), class_name(graph.name))()
    return made.eval()


def holds(graph: Graph, folder: Path) -> str:
    """The module has the graph's tensors in its order, and makes values of its shapes."""
    network = network_of(graph, folder)
    wanted = [
        (f"{layer}.{weight.name}", weight.shape)
        for layer, weight in graph.network.weights
    ]
    state = network.state_dict()
    made = [(n, tuple(t.shape)) for n, t in state.items() if "num_batches" not in n]
    assert made == wanted
    with torch.no_grad():
        result = network(torch.zeros(2, *graph.input))
    outputs = graph.network.outputs
    values = {"": result} if len(outputs) == 1 else result._asdict()
    shapes = [tuple(value.shape[1:]) for value in values.values()]
    assert shapes == [*outputs.values()]
    assert len(outputs) == 1 or [*values] == [*outputs]
    return torch_source(graph, folder)


def ruff_finds_nothing(folder: Path) -> None:
    for arguments in (["check", "--quiet"], ["format", "--diff"]):
        command = [*RUFF, *arguments, "--isolated", "--no-cache", str(folder)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


# --- golden -------------------------------------------------------------------------------


class UpConv(Op):
    """An op of one's own: the learned upsampling of U-Net."""

    kind: ClassVar[str] = "up_conv"
    channels: Count

    def channels_out(self, channels: Sequence[Any]) -> Any:
        return self.channels

    def shape(self, *inputs: Shape) -> Shape:
        return (self.channels, *(2 * side for side in inputs[0][1:]))

    def starts(self) -> Mapping[str, Start]:
        return {"weight": HeNormal(), "bias": Constant(0)}

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        weight = self.weight("weight", (inputs[0][0], self.channels, 2, 2))
        return (weight, self.weight("bias", (self.channels,)))

    def multiply_adds(self, *inputs: Shape) -> int:
        channels, height, width = inputs[0]
        return 4 * channels * self.channels * height * width

    def torch_layer(self, *channels: Any) -> Call:
        return layer("nn.ConvTranspose2d", channels[0], self.channels, 2, stride=2)


@pytest.mark.parametrize("spec", NESTED, ids=[s.stem for s in NESTED])
def test_golden(
    spec: Path, root: Path, golden: Callable[[str, str], None], tmp_path: Path
) -> None:
    graph = graph_of(spec.relative_to(root))
    holds(graph, tmp_path)
    lines_hold(graph, tmp_path)
    golden(f"source/{graph.name}.py", torch_source(graph, root / "generated"))


def test_golden_of_a_unet(
    root: Path, golden: Callable[[str, str], None], tmp_path: Path
) -> None:
    loaded = load_spec(Path("tests/specs/own_ops/unet.yaml"), Sources())
    program = Builder(loaded, "unet", {}).build()
    up = program.blocks["up"]
    nodes = tuple(
        replace(n, op=UpConv.model_validate({"channels": n.op.channels}))  # type: ignore[attr-defined]
        if isinstance(n, Node) and n.op.kind == "conv"
        else n
        for n in up.nodes
    )
    blocks = {**program.blocks, "up": replace(up, nodes=nodes)}
    graph, findings = analyse(replace(program, blocks=blocks), [])
    assert not findings
    holds(graph, tmp_path)
    golden(f"source/{graph.name}.py", torch_source(graph, root / "generated"))


# --- random programs ----------------------------------------------------------------------


def test_random_programs(tmp_path: Path) -> None:
    """Each constructs, runs and has the graph's tensors; ruff finds nothing in any."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate]  # a smaller one takes longer

    @settings(max_examples=60, phases=phases, suppress_health_check=list(HealthCheck))
    @given(text=programs())
    def check(text: str) -> None:
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        folder.mkdir()
        graph = graph_from(text, folder)
        holds(graph, folder)
        lines_hold(graph, folder)

    check()
    ruff_finds_nothing(tmp_path)


def lines_hold(graph: Graph, folder: Path) -> None:
    """The lines of an op are those of statements, read as Python, that make or use it."""
    source = module_source(graph, folder)
    text = source.text
    spans = {
        (n.lineno, n.end_lineno): str(ast.get_source_segment(text, n))
        for n in ast.walk(ast.parse(text))
        if isinstance(n, ast.stmt)
    }
    for found in [f for group in source.lines.values() for f in group.values()]:
        for name, places in found.items():
            for first, last in places:
                layered = f"self.{name}" in text
                assert not layered or f"self.{name}" in spans[first, last]
