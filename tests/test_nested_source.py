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
ODD = sorted((SPECS / "odd").glob("*.yaml"))
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
    loaded = load_spec(Path("tests/own_ops/unet.yaml"), Sources())
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


# --- each thing that the language says ----------------------------------------------------


@pytest.mark.parametrize("spec", ODD, ids=[s.stem for s in ODD])
def test_odd(spec: Path, tmp_path: Path) -> None:
    graph = graph_of(spec)
    holds(graph, tmp_path)
    lines_hold(graph, tmp_path)
    ruff_finds_nothing(tmp_path)


def odd(name: str, folder: Path) -> str:
    return torch_source(graph_of(SPECS / "odd" / f"{name}.yaml"), folder)


def classes_in(text: str) -> list[str]:
    return [n.name for n in ast.parse(text).body if isinstance(n, ast.ClassDef)]


def test_positions_stay_in_loops(tmp_path: Path) -> None:
    """One class and one call, whatever the number of units."""
    text = odd("positions", tmp_path)
    assert classes_in(text) == ["Body", "Flat", "Positions"]
    flat = " ".join(text.split())
    assert "Body( 6 + 2 * index, width=8 + 2 * index, index=index, total=6," in flat
    assert "rate=0.1 * index / 4) for index in range(1, 3)" in flat
    assert "for index in range(1, 6)" in flat


def test_rows_of_units_are_formulas(tmp_path: Path) -> None:
    text = odd("rows_in_units", tmp_path)
    grows = (
        "*(Dense(in_channels + index * growth, growth=growth) for index in range(n))"
    )
    changes = "*(Wide(2 * width, width=2 * width) for _ in range(n))"
    assert grows in text
    assert changes in text
    assert "def __init__(self, in_channels: int, growth: int, n: int) -> None:" in text


def test_a_class_for_each_word_and_truth(tmp_path: Path) -> None:
    """Such parameters vanish; lists are arguments as numbers are."""
    text = odd("parameters_of_all_kinds", tmp_path)
    assert classes_in(text)[:-1] == ["Conv2", "BodyOn", "Body", "BodyOnDeep"]
    assert text.count("def __init__(self, in_channels: int, widths: list[int])") == 3
    assert "BodyOnDeep(6, widths=[4, 6])" in text


def test_units_that_are_written_alike_are_one_class(tmp_path: Path) -> None:
    """Whatever is left out of them, and why; a default that is a list is given."""
    text = odd("merges_left_out", tmp_path)
    assert classes_in(text)[:-1] == [
        *("Wide", "Never", "Late", "Apart", "Apart2"),
        "Scaled",
    ]
    assert "return torch.relu(f)  #" in text
    assert "Scaled(factors=[2, 3], index=index) for index in range(2)" in text


def test_no_two_things_of_one_name(tmp_path: Path) -> None:
    text = odd("colliding_names", tmp_path)
    assert len({*classes_in(text)}) == len(classes_in(text))
    assert "class TwoOutput2(NamedTuple):" in text
    assert "self.index2 = index" in text


PATHS = ("half", "double", "input", "forward", "index", "total", "unit", "range", "T")


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_a_local_variable(name: str, tmp_path: Path) -> None:
    graph = graph_from(PATH.format(name=name), tmp_path)
    holds(graph, tmp_path)
    ruff_finds_nothing(tmp_path)


PATH = """
resgraph: 1
title: A path of any name
units:
  body:
    paths:
      {name}: {{from: x, ops: [{{conv: {{kernel: 3, channels: in}}}}, {{scale: {{factor: index + total}}}}]}}
      out: {{from: [x, {name}], ops: [add]}}
  two:
    paths:
      {name}: {{from: x, ops: [bn]}}
    outputs: {{a: x, b: {name}}}
  one:
    inputs: [{name}, other]
    paths: {{out: {{from: [{name}, other], ops: [add]}}}}
network:
  input: [3, 4, 4]
  stages: [[{{body: , repeat: 3}}, two, one, two, one, body]]
  outputs: {{y: stage1}}
"""


def test_flags_only_where_instances_differ(tmp_path: Path) -> None:
    text = (SPECS / "nested/se_resnet20.yaml").read_text(encoding="utf-8")
    both = torch_source(graph_from(text, tmp_path), tmp_path)
    assert "h = self.h_conv(x) if self.has_h else x  #" in both
    start, units, end = text.partition("    - [{body: {width: 32, stride: 2}}")
    alike = f"{start}  head:{text.partition('  head:')[2]}"
    none = torch_source(graph_from(alike, tmp_path), tmp_path)
    assert units
    assert end
    assert "has_h" not in none
    assert "self.h_conv" not in none
    assert "return x + f" in none


# --- random programs ----------------------------------------------------------------------


def test_random_programs(tmp_path: Path) -> None:
    """Each constructs, runs and has the graph's tensors; ruff finds nothing in any."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate]  # a smaller one takes longer

    @settings(max_examples=30, phases=phases, suppress_health_check=list(HealthCheck))
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
    text, tree = source.text, ast.parse(source.text)
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    spans = {
        (n.lineno, n.lineno if isinstance(n, ast.If) else n.end_lineno): str(
            ast.get_source_segment(text, n)
        )
        for n in ast.walk(tree)
        if isinstance(n, ast.stmt)
    }
    for found in [f for group in source.lines.values() for f in group.values()]:
        for name, places in found.items():
            for first, last in places:
                (own,) = (
                    c for c in classes if c.lineno <= first <= (c.end_lineno or 0)
                )
                layered = f"self.{name} = " in str(ast.get_source_segment(text, own))
                assert not layered or f"self.{name}" in spans[first, last]
