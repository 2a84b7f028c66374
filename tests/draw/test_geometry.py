"""Where things stand: for every committed spec, every distinct unit, and random ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from resgraph import codes
from resgraph.compiler import Compiler
from resgraph.diagnostics import Code, SpecError
from resgraph.draw import Mark, beside, draw_network, draw_unit
from resgraph.draw.cells import Cell, cells, parts, results
from resgraph.draw.choice import marks, part_marks
from resgraph.draw.figure import rows
from resgraph.draw.look import Look
from resgraph.explain import FILE, Given, specs
from resgraph.graph import Graph, Instance
from resgraph.prove.parts import shortcuts
from tests.conftest import ROOT
from tests.draw.common import check_geometry, classes, groups, on_one_another, parsed
from tests.programs import programs

SPECS = [
    *sorted((ROOT / "specs").glob("*.yaml")),
    *sorted((ROOT / "tests/specs").rglob("*.yaml")),
]
BAD = sorted((ROOT / "tests/bad").glob("*.yaml"))
EXAMPLES = [code for code in codes.CODES.values() if code.example]
FOLDINGS = (None, ("all",), ())
"""What is unfolded: the small ones, everything, nothing."""


def shown(
    instance: Instance, unfold: Collection[str] | None, inside: str = ""
) -> Iterator[tuple[str, Instance, Cell]]:
    """Every cell that is drawn, frames among them, with the prefix of what it is in."""
    found = cells(instance)
    unfolded = Look(unfold=unfold).unfolded(found)
    for cell in found:
        yield inside, instance, cell
        if cell.name in unfolded:
            yield from shown(cell.instances[0], unfold, inside + cell.prefix)


def lines(instance: Instance, inside: str) -> Iterator[str]:
    """The lines of one block, by the values that they carry."""
    for cell in cells(instance):
        yield from (f"{inside}{value}>{cell.name}" for value in cell.reads)
    for name, value in results(instance).items():
        yield f"{inside}{value}>{name}"


def check_structure(
    instance: Instance, prefix: str = "", unfold: Collection[str] | None = None
) -> None:
    """Every cell and every line once, and broken where `prove` says so."""
    root = parsed(draw_unit(instance, prefix=prefix, unfold=unfold))
    drawn = [*shown(instance, unfold)]
    frames = {inside for inside, _, _ in drawn} - {""}
    names = {f"{inside}{cell.name}": cell for inside, _, cell in drawn}
    found = [g.attrib["data-node"] for t in ("op", "call") for g in groups(root, t)]
    boxes = [name for name in names if f"{name}." not in frames]
    assert sorted(found) == sorted(prefix + name for name in boxes)
    told = {g.attrib["data-node"] for g in groups(root, "frame")}
    assert told == {prefix + frame.removesuffix(".") for frame in frames}
    edges = groups(root, "edge")
    blocks = {inside: block for inside, block, _ in drawn} or {"": instance}
    expected = [
        line for inside, block in blocks.items() for line in lines(block, inside)
    ]
    assert sorted(g.attrib["data-edge"] for g in edges) == sorted(
        prefix + line for line in expected
    )
    check_shortcuts(instance, {name: names[name] for name in boxes}, root, prefix)


def check_shortcuts(
    instance: Instance, boxes: dict[str, Cell], root: object, prefix: str
) -> None:
    """Red is what breaks a shortcut; the thick lines lead along the shortcuts."""
    ways = shortcuts(instance)
    broken = {layer for way in ways for layer in way.broken}
    red = {
        g.attrib["data-node"].removeprefix(prefix)
        for tag in ("op", "call")
        for g in groups(root, tag)  # type: ignore[arg-type]
        if "broken" in classes(g)
    }
    assert red == {n for n in boxes if any(_is_in(layer, n, boxes) for layer in broken)}
    edges = groups(root, "edge")  # type: ignore[arg-type]
    thick = [g for g in edges if "shortcut" in classes(g)]
    if all(cell.node for cell in boxes.values()) and all(
        "." not in name for name in boxes
    ):
        steps = {
            step
            for way in ways
            for step in pairwise([way.x, *(n.name for n in way.route)])
        }
        drawn = {g.attrib["data-edge"].removeprefix(prefix) for g in thick}
        assert {f"{a}>{b}" for a, b in steps} <= drawn
        assert len(drawn - {f"{a}>{b}" for a, b in steps}) <= len(ways)
    assert bool(thick) == bool(ways)
    ends = {
        g.attrib["data-edge"].split(">")[1] for g in edges if "broken" in classes(g)
    }
    assert ends == {
        name.split(".")[-1] if boxes[name].node else name for name in red
    } or (any("." in name for name in red))


def _is_in(layer: str, name: str, boxes: dict[str, Cell]) -> bool:
    """Whether the layer is what the box shows, or in it."""
    cell = boxes[name]
    inside = name.removesuffix(cell.name)
    return layer.startswith(inside) and cell.holds(layer.removeprefix(inside))


def instances(graph: Graph) -> Iterator[Instance]:
    """Each distinct one, those within others among them."""
    seen, left = set[int](), [graph.network]
    while left:
        instance = left.pop()
        for runs in instance.runs.values():
            for run in runs:
                if id(run.instances[0]) not in seen:
                    seen.add(id(run.instances[0]))
                    left.append(run.instances[0])
                    yield run.instances[0]


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_committed_specs(spec: Path) -> None:
    seen: set[object] = set()
    for graph in Compiler().graphs(spec):
        check_geometry(draw_network(graph))
        for instance in instances(graph):
            key = (
                instance.block.name,
                *map(str, instance.args.values()),
                instance.input,
            )
            if key not in seen:
                seen.add(key)
                check_unit(instance, graph.title)
    assert seen


def check_unit(instance: Instance, title: str) -> None:
    """Its geometry and its structure, folded and unfolded."""
    for unfold in FOLDINGS[: 3 if instance.runs else 1]:
        figure = draw_unit(instance, title=title, subtitle="here", unfold=unfold)
        check_geometry(figure)
        assert not [pair for pair in on_one_another(parsed(figure)) if not _swap(*pair)]
        check_structure(instance, "p-", unfold)


def _swap(a: str, b: str) -> bool:
    """Whether both lead from one unit to another one that reads them in the other order.

    Where such lines begin and end in two columns, they share a short piece of one.
    """
    (one, end), (other, last) = a.split(">"), b.split(">")
    return end == last and one.rpartition(".")[0] == other.rpartition(".")[0]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(text=programs())
def test_random_programs(text: str) -> None:
    for graph in graphs_of(text):
        check_geometry(draw_network(graph))
        for instance in instances(graph):
            check_unit(instance, "random")


VALUES = """resgraph: 1
title: Stages of several values, side by side
units:
  two:
    inputs: [high, low]
    paths: {a: {from: high, ops: [relu]}, b: {from: low, ops: [relu]}}
    outputs: {high_resolution: a, low_resolution: b}
network:
  input: [3, 32, 32]
  stages:
    c1: {from: [x, x], units: [two, two]}
    c2: {from: [c1.high_resolution, c1.low_resolution], units: [two, two]}
    c3: {from: [c1.low_resolution, OTHER], units: [two, two]}
  outputs: {a: c2.high_resolution, b: c3.low_resolution, c: c3.high_resolution}
"""


@pytest.mark.parametrize("other", ["c1.high_resolution", "c2.low_resolution"])
def test_shapes_of_several_values(other: str) -> None:
    (graph,) = graphs_of(VALUES.replace("OTHER", other))
    check_geometry(draw_network(graph))


def graphs_of(text: str) -> Sequence[Graph]:
    return Compiler(Given({FILE: text})).graphs(Path(FILE))


@pytest.mark.parametrize("spec", BAD, ids=lambda path: path.stem)
def test_specs_with_findings(spec: Path) -> None:
    try:
        graphs, error = Compiler().drafts(spec)
    except SpecError:
        return
    assert error is not None
    for graph in graphs:
        check_geometry(draw_network(graph))
        for cell in parts(graph):
            if cell.instance is None:
                continue
            found = [f"{i}{c.name}" for i, _, c in shown(cell.instance, ("all",))]
            names = [name for name in found if not _is_frame(name, found)]
            if len({*names}) == len(names):  # else a name stands for two
                marks = {name: Mark("finding") for name in names}
                figure = draw_unit(cell.instance, marks=marks, unfold=("all",))
                check_geometry(figure)
                assert len(groups(parsed(figure), "mark-finding")) == len(names)


@pytest.mark.parametrize("code", EXAMPLES, ids=lambda code: code.name)
def test_examples_of_findings(code: Code) -> None:
    """Each is drawn as far as it goes, what is wrong marked; mended, it is drawn whole."""
    assert code.example is not None
    wrong, right = specs(code.example)
    for text in (wrong, right):
        try:
            graphs, error = Compiler(Given({FILE: text})).drafts(Path(FILE))
        except SpecError:
            continue
        found = error.diagnostics if error else []
        for graph in graphs:
            told = parts(graph)
            check_geometry(draw_network(graph, marks=part_marks(told, found)))
            for cell in told:
                if cell.instance is not None:
                    marked = marks(cell.instance, found)
                    check_geometry(draw_unit(cell.instance, marks=marked))


def _is_frame(name: str, found: Sequence[str]) -> bool:
    return any(other.startswith(f"{name}.") for other in found)


def test_side_by_side(tmp_path: Path) -> None:
    figures = [
        draw_unit(_body(ROOT / f"specs/{name}.yaml"))
        for name in ("original_basic", "preact_basic")
    ]
    both = beside(figures)
    check_geometry(both)
    assert both.width == sum(figure.width for figure in figures)
    first = [box for box in both.boxes if box.name == "x" and box.kind == "end"]
    assert len({box.y for box in first}) == 1
    many = rows(figures * 4, across=1000)
    check_geometry(many)
    assert many.width <= 1000
    assert len(many.boxes) == 4 * len(both.boxes)


def test_depth_does_not_matter() -> None:
    small, deep = (
        graph_of(ROOT / "specs/preact_bottleneck.yaml", depth) for depth in (29, 1001)
    )
    assert len(draw_network(small).boxes) == len(draw_network(deep).boxes)


def graph_of(spec: Path, depth: int) -> Graph:
    from resgraph.settings import parse_settings

    return Compiler().graphs(spec, None, parse_settings([f"depth={depth}"]))[0]


def _body(spec: Path) -> Instance:
    graph = Compiler().graphs(spec)[0]
    return next(p.instances[0] for p in parts(graph) if p.unit == "body")
