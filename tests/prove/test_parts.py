"""Units taken apart, beside brute force on small graphs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from resgraph.diagnostics import Span
from resgraph.graph import INPUT, OUTPUT, Block, Instance, Node
from resgraph.graph import Path as Chain
from resgraph.ops import OPS, Role
from resgraph.prove import Level, decompose, prove
from resgraph.prove.parts import is_identity, longest, passed_by_all
from resgraph.prove.sites import sites
from tests.conftest import ROOT
from tests.helpers import SPECS, graph_from, graph_of, unit_graph
from tests.prove.common import TINY, warnings


def test_decompose_names_the_parts() -> None:
    graph = graph_of(ROOT / "specs/preact_bottleneck.yaml")
    entry, body = (run.instances[0] for run in graph.stages[0][1])
    parts = decompose(entry)
    assert parts is not None
    assert (parts.y.name, parts.split, parts.h_value) == ("out_add", "a_relu", "h_conv")
    assert [node.name for node in parts.before] == ["a_bn", "a_relu"]
    assert [node.name for node in parts.h] == ["h_conv"]
    assert parts.F_values == ("conv3",)
    assert not parts.is_identity_before
    assert not parts.is_identity_h
    assert parts.is_identity_f
    parts = decompose(body)
    assert parts is not None
    assert parts.h_value == INPUT
    assert (parts.h, parts.f, parts.is_identity) == ((), (), True)


def test_shapes_decide_whether_option_a_is_the_identity() -> None:
    graph = graph_of(SPECS / "tiny.yaml")
    (keeps,), (changes,) = (runs for _, runs in graph.stages)
    assert [n.name for n in _breaks_h(keeps.instances[0])] == []
    assert [n.name for n in _breaks_h(changes.instances[0])] == ["h_option_a"]
    unknown = replace(keeps.instances[0], shapes={})
    assert [n.name for n in _breaks_h(unknown)] == ["h_option_a"]


def _breaks_h(unit: Instance) -> tuple[Node, ...]:
    parts = decompose(unit)
    assert parts is not None
    return parts.breaks_h


def test_no_addition_is_a_verdict_of_its_own(tmp_path: Path) -> None:
    zoo = graph_of(SPECS / "zoo.yaml")
    dense = next(s.instance for s in sites(zoo) if s.call.block == "dense")
    assert decompose(dense) is None
    told = [f for f in prove(zoo) if "no addition that every path passes" in f.message]
    assert [f.where for f in told] == [("stage2.5",)]
    kept = [f for f in prove(zoo) if "a dense connection" in f.message]
    assert [f.where for f in kept] == [("stage2.0",)]
    plain = TINY.replace(
        "      h: {from: x, ops: [{option_a: {channels: width, stride: stride}}]}\n", ""
    )
    plain = plain.replace(
        "out: {from: [h, F], ops: [add, relu]}", "out: {from: F, ops: [relu]}"
    )
    (told_, *_) = [
        f for f in prove(graph_from(plain, tmp_path)) if "no addition" in f.message
    ]
    assert told_.level is Level.FACT
    assert warnings(graph_from(plain, tmp_path)) == []


HERE = Span("x.yaml", 1, 1, 1, 2)
KINDS: list[tuple[str, dict[str, object]]] = [
    ("relu", {}),
    ("bn", {}),
    ("identity", {}),
    ("scale", {"factor": 1}),
    ("scale", {"factor": 0.5}),
    ("dropout", {"rate": 0}),
    ("conv", {"kernel": 3, "channels": 4}),
    ("mul", {}),
    ("concat", {}),
    ("add", {}),
]


@st.composite
def random_units(draw: st.DrawFn) -> Instance:
    """A unit of up to ten ops, each reading earlier values, all of them reaching `out`."""
    values, nodes, unread = [INPUT], list[Node](), set[str]()
    for i in range(draw(st.integers(1, 9))):
        kind, attributes = draw(st.sampled_from(KINDS))
        count = 1 if OPS[kind].inputs[1] == 1 else draw(st.integers(2, 3))
        pick = st.sampled_from([*values[-5:], INPUT])
        sources = tuple(draw(pick) for _ in range(count))
        nodes.append(_node(f"v{i}", kind, attributes, sources))
        unread = (unread - {*sources}) | {f"v{i}"}
        values.append(f"v{i}")
    last = tuple(v for v in values if v in unread)
    kind = draw(st.sampled_from(["add", "concat"])) if len(last) > 1 else "identity"
    if draw(st.booleans()):
        last, kind = (INPUT, *last), "add"
    nodes.append(_node(OUTPUT, kind, {}, last))
    paths = (Chain(n.name, n.inputs, HERE, (HERE,) * len(n.inputs)) for n in nodes)
    return Instance(Block("u", "", (), tuple(paths), tuple(nodes), HERE), {}, {})


def _node(
    name: str, kind: str, attributes: dict[str, object], sources: tuple[str, ...]
) -> Node:
    op = OPS[kind].model_validate(attributes)
    return Node(name, sources, HERE, {}, name, op=op)


def carries(node: Node) -> bool:
    """The oracle's own list of what passes a value on unchanged."""
    op = node.op
    return op.kind in ("identity", "add") or op.attributes() in (
        {"factor": 1},
        {"rate": 0},
    )


def gates(value: str, reader: str, view: nx.MultiDiGraph) -> bool:
    """The oracle's own search for values that multiply what they are computed from."""
    if reader == OUTPUT or view.nodes[reader]["node"].op.kind != "mul":
        return False
    others = {*view.predecessors(reader)} - {value, INPUT}
    return bool(others & nx.ancestors(view, value))


@settings(deadline=None, max_examples=300)
@given(unit=random_units())
def test_verdicts_equal_a_search_over_all_paths(unit: Instance) -> None:
    view = unit_graph(unit.block)
    nodes = {name: view.nodes[name]["node"] for name in view if name != INPUT}
    order = list(nodes)
    paths = [p[1:] for p in nx.all_simple_paths(view, INPUT, OUTPUT)]
    assert is_identity(unit) == any(all(carries(nodes[n]) for n in p) for p in paths)
    shared = set.intersection(*map(set, paths))
    expected = [n for n in order if n in shared and not carries(nodes[n])]
    assert [node.name for node in passed_by_all(unit)] == expected
    weights = [sum(nodes[n].op.kind == "conv" for n in p) for p in paths]
    ungated = [
        weight
        for weight, path in zip(weights, paths, strict=True)
        if not any(gates(a, b, view) for a, b in pairwise(path))
    ]
    assert longest(unit) == max(ungated)
    parts = decompose(unit)
    sums = [n for n in order if n in shared and nodes[n].op.kind == "add"]
    assert (parts.y.name if parts else None) == (sums[-1] if sums else None)
    if parts is None:
        return
    assert parts.is_identity == is_identity(unit)
    y = parts.y.name
    after = {node.name for node in parts.f}
    assert after == nx.descendants(view, y)
    route = [node.name for node in parts.route]
    assert route in paths
    assert sum(nodes[n].op.kind == "conv" for n in route[: route.index(y)]) == min(
        sum(nodes[n].op.kind == "conv" for n in p[: p.index(y)]) for p in paths
    )
    parted = (parts.before, parts.h, parts.F, (parts.y,), parts.f)
    assert {node.name for part in parted for node in part} == set(nodes)


def test_every_op_states_its_role() -> None:
    for op in OPS.values():
        assert op.role is not Role.UNKNOWN, f"{op.kind} states no role"
