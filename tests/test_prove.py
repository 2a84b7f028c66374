"""`prove`: known verdicts on the committed specs, brute force on small graphs, mistakes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.compiler import Compiler, parse_settings
from resgraph.diagnostics import Span
from resgraph.graph import INPUT, OUTPUT, Graph, Instance, Node, Unit, unit_graph
from resgraph.graph import Path as Chain
from resgraph.ops import OPS, Role
from resgraph.prove import Finding, Level, Topic, decompose, prove
from resgraph.prove.depth import named_depth
from resgraph.prove.gradient import _product
from resgraph.prove.parts import is_identity, longest, passed_by_all
from resgraph.prove.report import report
from tests.conftest import ROOT
from tests.helpers import SPECS, graph_from, graph_of

COMMITTED = sorted((ROOT / "specs").glob("*.yaml"))
TINY = (SPECS / "tiny.yaml").read_text()
PREACT = """\
resgraph: 1
title: Small
units:
  body:
    params: [width]
    paths:
      F:
        from: x
        ops:
          - bn
          - relu
          - conv: {kernel: 3, channels: width}
          - bn
          - relu
          - conv: {kernel: 3, channels: width}
      out: {from: [x, F], ops: [add]}
  entry:
    params: [width, {stride: 1}]
    paths:
      a: {from: x, ops: [bn, relu]}
      h: {from: a, ops: [{conv: {kernel: 1, channels: width, stride: stride}}]}
      F:
        from: a
        ops:
          - conv: {kernel: 3, channels: width, stride: stride}
          - bn
          - relu
          - conv: {kernel: 3, channels: width}
      out: {from: [h, F], ops: [add]}
network:
  params: {depth: 14, classes: 10, n: (depth - 2) / 6}
  input: [3, 16, 16]
  stem: [{conv: {kernel: 3, channels: 8}}]
  stages:
    - [{entry: {width: 8}}, {body: {width: 8}, repeat: n - 1}]
    - [{entry: {width: 16, stride: 2}}, {body: {width: 16}, repeat: n - 1}]
    - [{entry: {width: 32, stride: 2}}, {body: {width: 32}, repeat: n - 1}]
  head: [bn, relu, global_avg_pool, {linear: {features: classes}}]
"""


def suspects(graph: Graph) -> list[Finding]:
    return [finding for finding in prove(graph) if finding.level is Level.SUSPECT]


def of(graph: Graph, topic: Topic, level: Level) -> list[Finding]:
    return [f for f in prove(graph) if (f.topic, f.level) == (topic, level)]


# --- the committed specs --------------------------------------------------------------


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_golden(path: Path, root: Path, golden: Callable[[str, str], None]) -> None:
    compiler = Compiler()
    graph = compiler.graphs(path.relative_to(root))[0]
    text = report([(graph, prove(graph))], compiler.sources.texts)
    golden(f"prove/{path.stem}.txt", f"{text}\n")


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_no_committed_network_is_suspect(path: Path) -> None:
    for graph in Compiler().graphs(path):
        assert suspects(graph) == []


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_depth_is_that_of_the_name(path: Path) -> None:
    for graph in Compiler().graphs(path):
        (finding,) = of(graph, Topic.DEPTH, Level.FACT)
        named = re.search(r"\d+", graph.name)
        assert named is not None
        assert finding.message.startswith(f"{named[0]} weight layers")


# Per spec: units on the identity path, of how many; what breaks it where it breaks.
VERDICTS = {
    "bn_after_add_basic": (0, 54, {"h_option_a", "out_bn", "out_relu"}),
    "bn_after_add_bottleneck": (0, 54, {"h_conv", "out_bn", "out_relu"}),
    "constant_scaling": (0, 54, {"h_option_a", "h_scale", "out_relu"}),
    "conv_shortcut": (0, 54, {"h_conv", "out_relu"}),
    "dropout_shortcut": (0, 54, {"h_option_a", "h_dropout", "out_relu"}),
    "exclusive_gating": (0, 54, {"s_option_a", "h_mul", "out_relu"}),
    "original_1layer": (0, 108, {"h_option_a", "out_relu"}),
    "original_basic": (0, 9, {"h_option_a", "out_relu"}),
    "original_bottleneck": (0, 54, {"h_conv", "h_bn", "out_relu"}),
    "original_bottleneck_cifar100": (0, 54, {"h_conv", "h_bn", "out_relu"}),
    "preact_1layer": (105, 108, {"a_bn", "a_relu", "h_option_a"}),
    "preact_basic": (6, 9, {"a_bn", "a_relu", "h_option_a"}),
    "preact_bottleneck": (51, 54, {"a_bn", "a_relu", "h_conv"}),
    "preact_bottleneck_cifar100": (51, 54, {"a_bn", "a_relu", "h_conv"}),
    "relu_before_add_basic": (52, 54, {"h_option_a"}),
    "relu_before_add_bottleneck": (51, 54, {"h_conv", "h_bn"}),
    "relu_only_preact_basic": (51, 54, {"a_relu", "h_option_a"}),
    "relu_only_preact_bottleneck": (51, 54, {"a_relu", "h_conv"}),
    "shortcut_gating": (0, 54, {"s_option_a", "h_mul", "out_relu"}),
}


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_known_verdicts(path: Path) -> None:
    kept, total, breaking = VERDICTS[path.stem]
    graph = graph_of(path)
    holds = [
        f.message
        for topic in (Topic.IDENTITY, Topic.GRADIENT)
        for f in of(graph, topic, Level.HOLDS)
        if "Eq." in f.message
    ]
    counts = [f"({kept} of {total} units)"] * (2 if kept else 0)
    assert re.findall(r"\(\d+ of \d+ units\)", " ".join(holds)) == counts
    assert all("Eq. (4)" in holds[0] and "Eq. (5)" in holds[1] for _ in counts[:1])
    where = {
        name.split(".")[-1]
        for finding in of(graph, Topic.IDENTITY, Level.BROKEN)
        for name in finding.where
        if name.count(".") == 2
    }
    assert where == breaking


def test_only_relu_before_addition_makes_x_grow() -> None:
    growing = {
        path.stem
        for path in COMMITTED
        if any("only grows" in f.message for f in prove(graph_of(path)))
    }
    assert growing == {"relu_before_add_basic", "relu_before_add_bottleneck"}


@pytest.mark.parametrize(
    ("spec", "network", "text"),
    [
        ("constant_scaling", "resnet110_scale_05_05", "0.5^18 = 3.8e-06"),
        ("constant_scaling", "resnet110_scale_0_1", "0^18 = 0"),
        ("shortcut_gating", None, "multiplied over the units: (1 - g) at h_mul"),
        ("exclusive_gating", None, "multiplied over the units: (1 - g) at h_mul"),
        ("conv_shortcut", None, "the weight matrix W at h_conv"),
        ("dropout_shortcut", None, "2 with probability 0.5, else 0, at h_dropout"),
        ("original_basic", None, "the ReLU mask [input > 0] at out_relu"),
        ("original_basic", None, "rarely at 164 layers, more often at 1000"),
        ("bn_after_add_basic", None, "BN alters the signal"),
        ("preact_basic", None, "h_option_a"),
    ],
)
def test_what_stands_in_place_of_the_1(
    spec: str, network: str | None, text: str
) -> None:
    graph = graph_of(ROOT / "specs" / f"{spec}.yaml", network=network)
    messages = [f.message for f in of(graph, Topic.GRADIENT, Level.BROKEN)]
    assert any(text in message for message in messages), messages


def test_products_of_powers() -> None:
    assert _product([(0.5, 17)]) == "7.6e-06"
    assert _product([(2.0, 3), (0.5, 3)]) == "1"
    assert _product([(-0.5, 3)]) == "-0.12"
    assert _product([(0.5, 5000)]) == "1e-1505"
    assert _product([(0.0, 3), (0.5, 1)]) == "0"


def test_what_every_gradient_must_pass() -> None:
    def passed(spec: str) -> list[tuple[str, str]]:
        facts = of(graph_of(ROOT / f"specs/{spec}.yaml"), Topic.GRADIENT, Level.FACT)
        pattern = re.compile(r"must pass (.*): (.*)$")
        return [found.groups() for f in facts if (found := pattern.search(f.message))]

    assert passed("original_basic") == [
        ("out_relu", "7 times"),
        ("out_relu", "2 times"),
    ]
    ((names, times),) = passed("preact_bottleneck")
    assert re.findall(r"[a-z]_\w+", names) == ["a_bn", "a_relu"]
    assert times == "3 times"
    assert passed("relu_before_add_basic") == []


def test_cost_does_not_depend_on_depth() -> None:
    deep = graph_of(ROOT / "specs/preact_bottleneck.yaml", "depth=9000002")
    (fact,) = of(deep, Topic.DEPTH, Level.FACT)
    assert fact.message.startswith("9000002 weight layers")
    assert "(2999997 of 3000000 units)" in prove(deep)[1].message


# --- the unit taken apart -------------------------------------------------------------


def test_decompose_names_the_parts() -> None:
    graph = graph_of(ROOT / "specs/preact_bottleneck.yaml")
    entry, body = (run.instances[0] for run in graph.runs[0])
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
    (keeps,), (changes,) = graph.runs
    assert [n.name for n in _breaks_h(keeps.instances[0])] == []
    assert [n.name for n in _breaks_h(changes.instances[0])] == ["h_option_a"]
    assert [n.name for n in _breaks_h(graph.units["body"])] == ["h_option_a"]


def _breaks_h(unit: Unit | Instance) -> tuple[Node, ...]:
    parts = decompose(unit)
    assert parts is not None
    return parts.breaks_h


def test_no_addition_is_a_verdict_of_its_own(tmp_path: Path) -> None:
    zoo = graph_of(SPECS / "zoo.yaml")
    assert decompose(zoo.units["dense"]) is None
    told = [f for f in prove(zoo) if "no addition that every path passes" in f.message]
    assert [f.where for f in told] == [("stage2.0",), ("stage2.5",)]
    plain = TINY.replace(
        "      h: {from: x, ops: [{option_a: {channels: width, stride: stride}}]}\n", ""
    )
    plain = plain.replace(
        "out: {from: [h, F], ops: [add, relu]}", "out: {from: F, ops: [relu]}"
    )
    (told_, *_) = [
        f for f in prove(graph_from(plain, tmp_path)) if "no addition" in f.message
    ]
    assert told_.level is Level.BROKEN
    assert suspects(graph_from(plain, tmp_path)) == []


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
def random_units(draw: st.DrawFn) -> Unit:
    """A unit of up to ten ops, each reading earlier values, all of them reaching `out`."""
    values, chains, unread = [INPUT], list[Chain](), set[str]()
    for i in range(draw(st.integers(1, 9))):
        kind, attributes = draw(st.sampled_from(KINDS))
        count = 1 if OPS[kind].inputs[1] == 1 else draw(st.integers(2, 3))
        pick = st.sampled_from([*values[-5:], INPUT])
        sources = tuple(draw(pick) for _ in range(count))
        chains.append(_chain(f"v{i}", kind, attributes, sources))
        unread = (unread - {*sources}) | {f"v{i}"}
        values.append(f"v{i}")
    last = tuple(v for v in values if v in unread)
    kind = draw(st.sampled_from(["add", "concat"])) if len(last) > 1 else "identity"
    if draw(st.booleans()):
        last, kind = (INPUT, *last), "add"
    chains.append(_chain(OUTPUT, kind, {}, last))
    return Unit("u", "", (), tuple(chains), HERE)


def _chain(
    name: str, kind: str, attributes: dict[str, object], sources: tuple[str, ...]
) -> Chain:
    op = OPS[kind].model_validate(attributes)
    return Chain(
        name, sources, (Node(name, op, HERE, {}),), HERE, (HERE,) * len(sources)
    )


def carries(node: Node) -> bool:
    """The oracle's own list of what passes a value on unchanged."""
    op = node.op
    return op.kind in ("identity", "add") or op.attributes() in (
        {"factor": 1},
        {"rate": 0},
    )


@settings(deadline=None, max_examples=300)
@given(unit=random_units())
def test_verdicts_equal_a_search_over_all_paths(unit: Unit) -> None:
    view = unit_graph(unit)
    nodes = {name: view.nodes[name]["node"] for name in view if name != INPUT}
    order = list(nodes)
    paths = [p[1:] for p in nx.all_simple_paths(view, INPUT, OUTPUT)]
    assert is_identity(unit) == any(all(carries(nodes[n]) for n in p) for p in paths)
    shared = set.intersection(*map(set, paths))
    expected = [n for n in order if n in shared and not carries(nodes[n])]
    assert [node.name for node in passed_by_all(unit)] == expected
    weights = [sum(nodes[n].op.kind == "conv" for n in p) for p in paths]
    assert longest(unit) == max(weights)
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


# --- receptive field ------------------------------------------------------------------


def taps(node: Node, position: int) -> set[int]:
    """The positions that an op reads for one of its output's, along one side."""
    op: Any = node.op
    match op.kind:
        case "conv":
            padding = op.padding
            if padding is None:
                padding = op.dilation * (op.kernel - 1) // 2
            start = position * op.stride - padding
            return {start + k * op.dilation for k in range(op.kernel)}
        case "max_pool" | "avg_pool":
            start = position * (op.stride or op.kernel) - op.padding
            return {start + k for k in range(op.kernel)}
        case "option_a":
            return {position * op.stride}
    return {position}


def seen(parts: list[Instance], position: int) -> tuple[int, int]:
    """The first and last input pixel that a position at the end of the parts reads."""
    needed = {position}
    for instance in reversed(parts):
        unit = instance.unit
        wanted = {name: set[int]() for name in instance.shapes}
        wanted[unit.output] |= needed
        for _, node, inputs in reversed([*unit.steps()]):
            for value in inputs:
                for p in wanted[node.name]:
                    wanted[value] |= taps(node, p)
        needed = wanted[INPUT]
    return min(needed), max(needed)


def check_field(graph: Graph) -> None:
    """Hold the fields at every stage's exit against the unrolled network's."""
    everything = list(graph.parts())
    told = [f.message for f in of(graph, Topic.FIELD, Level.FACT)]
    assert told
    for number, stage in enumerate(graph.runs, 1):
        ending = max(
            i for i, (p, _) in enumerate(everything) if p.startswith(f"stage{number}.")
        )
        parts = [instance for _, instance in everything[: ending + 1]]
        first, last = seen(parts, 0)
        (message,) = [m for m in told if f"at the exit of stage{number}" in m]
        assert f": {last - first + 1} x {last - first + 1} pixels" in message
        covers = [
            [low <= 0 and high >= pixels - 1 for low, high in intervals]
            for side, pixels in zip(
                stage[-1].instances[-1].output[1:], graph.input[1:], strict=True
            )
            for intervals in [[seen(parts, p) for p in range(side)]]
        ]
        who = (
            "every"
            if all(map(all, covers))
            else "some"
            if all(map(any, covers))
            else "no"
        )
        assert f"; {who} position" in message, (message, covers)


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_receptive_field_of_shallow_networks(path: Path) -> None:
    depth = 29 if "bottleneck" in path.stem else 14
    check_field(graph_of(path, f"depth={depth}"))


FIELD = """\
resgraph: 1
title: Windows
units:
  body:
    params: [k, d, s, p]
    paths:
      h: {{from: x, ops: [{{option_a: {{channels: 4, stride: s}}}}]}}
      F:
        from: x
        ops:
          - conv: {{kernel: k, channels: 4, dilation: d, stride: s}}
          - relu
          - conv: {{kernel: {k2}, channels: 4}}
      out: {{from: [h, F], ops: [add]}}
network:
  params: {{classes: 3}}
  input: [3, {side}, 19]
  stem: [{{conv: {{kernel: 3, channels: 4, padding: {pad}}}}}, {{{pool}: {{kernel: 3, stride: {ps}, padding: 1}}}}]
  stages:
    - [{{body: {{k: {k1}, d: {d}, s: 1, p: 0}}, repeat: {n}}}]
    - [{{body: {{k: 3, d: 1, s: {s}, p: 0}}}}, {{body: {{k: {k1}, d: 1, s: 1, p: 0}}, repeat: 2}}]
  head: [global_avg_pool, {{linear: {{features: classes}}}}]
"""


@settings(deadline=None, max_examples=40)
@given(
    k1=st.sampled_from([1, 3, 5]),
    k2=st.sampled_from([1, 3]),
    d=st.integers(1, 2),
    s=st.integers(1, 3),
    ps=st.integers(1, 2),
    pad=st.integers(0, 2),
    n=st.integers(1, 3),
    side=st.integers(12, 24),
    pool=st.sampled_from(["max_pool", "avg_pool"]),
)
def test_receptive_field_of_any_windows(
    tmp_path_factory: pytest.TempPathFactory, **values: object
) -> None:
    text = FIELD.format(**values).replace(", p]", "]").replace(", p: 0", "")
    check_field(graph_from(text, tmp_path_factory.mktemp("field")))


def test_branches_of_different_strides_are_told_as_unknown(tmp_path: Path) -> None:
    text = TINY.replace("input: [3, 16, 16]", "input: [3, 2, 2]").replace(
        "option_a: {channels: width, stride: stride}",
        "conv: {kernel: 2, channels: width, padding: 0}",
    )
    text = text.replace("    - [{body: {width: 8}, repeat: n}]\n", "")
    text = text.replace("depth: 8, classes: 10, n: (depth - 2) / 6", "classes: 10")
    told = [f.message for f in of(graph_from(text, tmp_path), Topic.FIELD, Level.FACT)]
    assert "not known, since out_add merges branches of different strides" in told[0]


# --- mistakes -------------------------------------------------------------------------

ACTIVATED = "      a: {from: x, ops: [bn, relu]}\n"
H_OF_A = "h: {from: a, ops: [{conv:"
HEAD = "head: [bn, relu, global_avg_pool, {linear: {features: classes}}]"
STEM = "stem: [{conv: {kernel: 3, channels: 8}}]"

MISTAKES = {
    "nothing": (PREACT, []),
    "a stem that activates before a pre-activation entry": (
        PREACT.replace(STEM, STEM.replace("}}]", "}}, bn, relu]")),
        [("stage1.0.a_bn", "a_bn normalises what is normalised already")],
    ),
    "a stem with a ReLU alone before BN ReLU": (
        PREACT.replace(STEM, STEM.replace("}}]", "}}, relu]")),
        [("stage1.0.a_relu", "a_relu activates again")],
    ),
    "through a pooling": (
        PREACT.replace(
            STEM, STEM.replace("}}]", "}}, bn, relu, {max_pool: {kernel: 2}}]")
        ),
        [("stage1.0.a_bn", "a_bn normalises what is normalised already")],
    ),
    "a forgotten tail": (
        PREACT.replace(HEAD, HEAD.replace("bn, relu, ", "")),
        [("head_global_avg_pool", "is followed by an extra one")],
    ),
    "a tail of BN alone": (
        PREACT.replace(HEAD, HEAD.replace("bn, relu, ", "bn, ")),
        [("head_global_avg_pool", "is followed by an extra one")],
    ),
    "a tail behind the pooling": (
        PREACT.replace(
            HEAD, HEAD.replace("bn, relu, global_avg_pool", "global_avg_pool, relu")
        ),
        [("head_global_avg_pool", "is followed by an extra one")],
    ),
    "a forgotten tail and two linear layers": (
        PREACT.replace(
            HEAD,
            HEAD.replace("bn, relu, ", "").replace(
                "{lin", "{linear: {features: 9}}, {lin", 1
            ),
        ),
        [
            ("head_global_avg_pool", "is followed by an extra one"),
            ("head_linear2", "no activation since the last weight layer"),
        ],
    ),
    "a projection from x": (
        PREACT.replace(ACTIVATED, "")
        .replace(H_OF_A, "h: {from: x, ops: [{conv:")
        .replace(
            "from: a\n        ops:\n",
            "from: x\n        ops:\n          - bn\n          - relu\n",
        ),
        [("stage1.0.h_conv", "the projection h_conv reads x before it is activated")],
    ),
    "a projection with its own BN": (
        PREACT.replace("stride: stride}}]}", "stride: stride}}, bn]}"),
        [("stage1.0.h_bn", "h_bn normalises the projection")],
    ),
    "two convolutions in a row": (
        PREACT.replace(
            "          - bn\n          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [x",
            "          - conv: {kernel: 3, channels: width}\n      out: {from: [x",
        ),
        [("stage1.1.conv2", "no activation since the last weight layer")],
    ),
    "a BN with no ReLU": (
        PREACT.replace(
            "          - bn\n          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [x",
            "          - bn\n          - conv: {kernel: 3, channels: width}\n      out: {from: [x",
        ),
        [("stage1.1.conv2", "no activation since the last weight layer")],
    ),
    "a double ReLU": (
        PREACT.replace(
            "          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [h",
            "          - relu\n          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [h",
        ),
        [("stage1.0.relu2", "relu2 changes nothing: its input is never negative")],
    ),
    "a double BN": (
        PREACT.replace(
            "          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [h",
            "          - bn\n          - relu\n          - conv: {kernel: 3, channels: width}\n      out: {from: [h",
        ),
        [("stage1.0.bn2", "bn2 normalises what is normalised already")],
    ),
    "an original unit without f": (
        TINY.replace("ops: [add, relu]", "ops: [add]").replace("depth: 8", "depth: 14"),
        [
            ("stage1.1.conv1", "It is the first weight of F"),
            ("head_linear", "no activation since the last weight layer"),
        ],
    ),
    "an original network with a pre-activation tail": (
        TINY.replace("head: [", "head: [bn, relu, "),
        [("head_relu", "head_relu activates again")],
    ),
    "an original unit with BN ReLU twice, at the border of two units": (
        TINY.replace("ops: [add, relu]", "ops: [add, bn, relu]").replace(
            "          - conv: {kernel: 3, channels: width, stride: stride}\n",
            "          - bn\n          - relu\n          - conv: {kernel: 3, channels: width, stride: stride}\n",
        ),
        [("stage1.0.bn1", "bn1 normalises what is normalised already")],
    ),
    "a stem without an activation": (
        TINY.replace("channels: 8}}, bn, relu]", "channels: 8}}, bn]"),
        [("stage1.0.conv1", "It is the first weight of F")],
    ),
    "a forgotten tail and a projection from x and its BN": (
        PREACT.replace(HEAD, HEAD.replace("bn, relu, ", ""))
        .replace(ACTIVATED, "")
        .replace(H_OF_A, "h: {from: x, ops: [{conv:")
        .replace("stride: stride}}]}", "stride: stride}}, bn]}")
        .replace(
            "from: a\n        ops:\n",
            "from: x\n        ops:\n          - bn\n          - relu\n",
        ),
        [
            ("stage1.0.h_conv", "reads x before it is activated"),
            ("stage1.0.h_bn", "normalises the projection"),
            ("head_global_avg_pool", "is followed by an extra one"),
        ],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, tmp_path: Path) -> None:
    text, expected = MISTAKES[name]
    found = suspects(graph_from(text, tmp_path))
    assert len(found) == len(expected), [f.message for f in found]
    for finding, (where, message) in zip(found, expected, strict=True):
        assert finding.where[0] == where
        assert message in finding.message
        assert finding.hint
        assert finding.topic is Topic.MISTAKE


def test_a_mistake_in_later_units_alone_says_which(tmp_path: Path) -> None:
    text = TINY.replace("ops: [add, relu]", "ops: [add]").replace(
        "depth: 8", "depth: 32"
    )
    finding = suspects(graph_from(text, tmp_path))[0]
    assert finding.message.startswith("stage1.1 to stage2.0 (5 of 6 units): ")
    assert [note.span.line for note in finding.notes if note.span] == [14]


@pytest.mark.parametrize(
    ("name", "options", "depth"),
    [
        ("resnet164", "", 164),
        ("resnet110_1layer_original", "", 110),
        ("resnet110_scale_05_1", "", 110),
        ("resnet164_depth29", " --network resnet164 --set depth=29", 29),
        ("resnet164_depth29_depth38", "", 38),
        ("preact_resnet_18", "", 18),
        ("resnet164_n3", " --network resnet164 --set n=3", None),
        ("wide_resnet28_10", "", None),
        ("preact_bottleneck_depth29", " --set depth=29", None),
        ("resnet50v2", "", None),
        ("squeeze110", "", None),
    ],
)
def test_depth_in_names(name: str, options: str, depth: int | None) -> None:
    assert named_depth(name, options) == depth


def test_wrong_family_is_a_depth_mismatch(tmp_path: Path) -> None:
    text = (ROOT / "specs/preact_bottleneck.yaml").read_text()
    wrong = text.replace("n: (depth - 2) / 9", "n: (depth - 2) / 6")
    wrong = wrong.replace(
        "resnet164: {depth: 164}\n  resnet1001: {depth: 1001}",
        "resnet110: {depth: 110}",
    )
    (finding,) = suspects(graph_from(wrong, tmp_path))
    assert (
        "resnet110 is named after 110 layers, and has 164 weight layers"
        in finding.message
    )
    assert finding.topic is Topic.DEPTH
    right_depth = text.replace(
        "resnet164: {depth: 164}\n  resnet1001: {depth: 1001}",
        "resnet110: {depth: 110}",
    )
    (finding,) = suspects(graph_from(right_depth, tmp_path))
    assert "has units of three weight layers" in finding.message
    assert "ResNet-110 has units of one or two" in finding.message


def test_a_set_depth_is_the_one_that_counts() -> None:
    spec = ROOT / "specs/preact_bottleneck.yaml"
    graph = graph_of(spec, "depth=29", network="resnet164")
    assert graph.name == "resnet164_depth29"
    assert suspects(graph) == []


# --- the command ----------------------------------------------------------------------


def command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["prove", *map(str, arguments)])
    return result.exit_code, result.stdout


def test_command_tells_equal_networks_together(root: Path) -> None:
    code, text = command("specs/shortcut_gating.yaml")
    assert code == 0
    heading = (
        "resnet110_shortcut_gating_b0, resnet110_shortcut_gating_b6: Shortcut-only"
    )
    assert text.startswith(heading)
    assert text.count("\nidentity path\n") == 1
    assert text.endswith("2 networks, nothing suspect\n")


def test_command_shows_suspects_with_their_lines(
    tmp_path: Path, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = MISTAKES["a forgotten tail and a projection from x and its BN"]
    monkeypatch.chdir(tmp_path)
    Path("wrong.yaml").write_text(text + "networks: {resnet20: {depth: 14}}\n")
    code, text = command("wrong.yaml")
    assert code == 1
    golden("prove/wrong.txt", text)


def test_command_prints_json(root: Path) -> None:
    code, text = command("specs/preact_bottleneck.yaml", "--json")
    assert code == 0
    networks = json.loads(text)
    assert [entry["network"] for entry in networks] == ["resnet164", "resnet1001"]
    keys = {"level", "topic", "message", "file", "line", "col", "where", "hint"}
    for entry in networks:
        for finding in entry["findings"]:
            assert set(finding) == keys
            assert finding["file"] == "specs/preact_bottleneck.yaml"
            assert finding["line"] > 1
    broken = [f for f in networks[0]["findings"] if f["level"] == "broken"]
    assert "stage2.0.h_conv" in broken[1]["where"]


def test_titles_come_out_as_text(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(TINY.replace("A tiny original network", '"[red]x[/red] %s {0}"'))
    code, text = command(path)
    assert code == 0
    assert text.startswith("spec: [red]x[/red] %s {0}\n")
    graph = replace(graph_of(path), title="\x1b[31mred\u202e")
    assert report([(graph, [])], {}).startswith("spec: �[31mred�\n")


def test_settings_reach_the_command() -> None:
    assert parse_settings(["depth=29"])["depth"] == 29
    code, text = command(ROOT / "specs/preact_bottleneck.yaml", "--set", "depth=29")
    assert code == 0
    assert "29 weight layers" in text
