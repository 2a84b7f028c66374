"""Where things stand: for every committed spec, every distinct unit, and random ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings

from resgraph.compiler import Compiler
from resgraph.diagnostics import SpecError
from resgraph.draw import Mark, beside, draw_network, draw_unit
from resgraph.draw.cells import parts
from resgraph.draw.figure import rows
from resgraph.graph import INPUT, Block, Graph, Instance
from resgraph.prove import decompose
from tests.conftest import ROOT
from tests.draw.common import check_geometry, classes, groups, on_one_another, parsed
from tests.prove.test_parts import random_units

SPECS = [
    *sorted((ROOT / "specs").glob("*.yaml")),
    *(ROOT / "tests/specs").glob("*.yaml"),
]
BAD = sorted((ROOT / "tests/bad").glob("*.yaml"))


def check_structure(instance: Instance, prefix: str = "") -> None:
    """Every op and every line once, and broken where `prove` says so."""
    root = parsed(draw_unit(instance, prefix=prefix))
    steps = [*instance.unit.steps()]
    names = [prefix + node.name for _, node, _ in steps]
    assert sorted(g.attrib["data-node"] for g in groups(root, "op")) == sorted(names)
    lines = [f"{i}>{node.name}" for _, node, inputs in steps for i in inputs]
    lines.append(f"{instance.unit.output}>out")
    edges = groups(root, "edge")
    drawn = sorted(g.attrib["data-edge"] for g in edges)
    assert drawn == sorted(prefix + line for line in lines)
    parts = decompose(instance)
    route = [INPUT, *(n.name for n in parts.route), "out"] if parts else []
    expected = {f"{prefix}{a}>{b}" for a, b in pairwise(route)}
    thick = [g for g in edges if "shortcut" in classes(g)]
    assert {g.attrib["data-edge"] for g in thick} == expected
    broken = parts.broken if parts else frozenset()
    ops = {g.attrib["data-node"] for g in groups(root, "op") if "broken" in classes(g)}
    assert ops == {prefix + name for name in broken}
    ends = [
        g.attrib["data-edge"].split(">")[1] for g in edges if "broken" in classes(g)
    ]
    assert sorted(ends) == sorted(broken)


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_committed_specs(spec: Path) -> None:
    seen: set[object] = set()
    for graph in Compiler().graphs(spec):
        check_geometry(draw_network(graph))
        for place in parts(graph):
            instance = place.instances[0]
            key = (instance.unit.name, tuple(instance.args.values()), instance.input)
            if key not in seen:
                seen.add(key)
                figure = draw_unit(instance, title=graph.title, subtitle="here")
                check_geometry(figure)
                assert not [*on_one_another(parsed(figure))]
                check_structure(instance, prefix="p-")
    assert seen


@settings(deadline=None, max_examples=150)
@given(unit=random_units())
def test_random_units(unit: Unit) -> None:
    last = unit.paths[-1]
    end = replace(last, nodes=(replace(last.nodes[0], name="end"),))
    unit = replace(unit, paths=(*unit.paths[:-1], end))
    instance = Instance(unit, {}, dict.fromkeys(unit.values.values(), (4, 8, 8)))
    check_geometry(draw_unit(instance))
    check_structure(instance)


@pytest.mark.parametrize("spec", BAD, ids=lambda path: path.stem)
def test_specs_with_findings(spec: Path) -> None:
    try:
        graphs, error = Compiler().drafts(spec)
    except SpecError:
        return
    assert error is not None
    for graph in graphs:
        check_geometry(draw_network(graph))
        for place in parts(graph):
            names = [node.name for _, node, _ in place.unit.steps()]
            if len({*names}) == len(names):  # else a name stands for two
                figure = draw_unit(
                    place.instances[0], marks={n: Mark("finding") for n in names}
                )
                check_geometry(figure)
                assert len(groups(parsed(figure), "mark-finding")) == len(names)


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
    return next(p.instances[0] for p in places(graph) if p.unit.name == "body")
