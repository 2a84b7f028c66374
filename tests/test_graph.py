"""The IR: digests, runs, extends, and what does not depend on depth."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.compiler import Compiler
from resgraph.diagnostics import SpecError
from resgraph.graph import digest
from resgraph.graph.dag import Dag
from tests.helpers import SPECS, graph_from, graph_of

TINY = (SPECS / "tiny.yaml").read_text()
BOTTLENECK = Path("specs/preact_bottleneck.yaml")


def test_digest_is_of_the_graph_alone(tmp_path: Path) -> None:
    expected = digest(graph_from(TINY, tmp_path))
    same = [
        TINY.replace("\nunits:", "\n# a comment\nunits:"),
        TINY.replace("title: A tiny", "title: Another"),
        TINY.replace("stride: stride", "stride:   stride"),
        TINY + "networks: {other: {depth: 8}}\n",
        TINY + "train: {lr: 0.05}\n",
        TINY.replace(
            "      - bn\n          - relu",
            "      - bn: {eps: 1.0e-5}\n          - relu",
        ),
    ]
    other = [
        TINY.replace("ops: [add, relu]", "ops: [add]"),
        TINY.replace("depth: 8", "depth: 14"),
        TINY.replace("- bn\n          - relu", "- relu\n          - bn"),
        TINY.replace(
            "{conv: {kernel: 3, channels: 8}}",
            "{conv: {kernel: 3, channels: 8, name: c}}",
        ),
    ]
    assert {digest(graph_from(text, tmp_path)) for text in same} == {expected}
    different = {digest(graph_from(text, tmp_path)) for text in other}
    assert len(different) == len(other)
    assert expected not in different


def test_runs_do_not_grow_with_depth() -> None:
    shallow, deep = (
        graph_of(BOTTLENECK, "depth=29"),
        graph_of(BOTTLENECK, "depth=900002"),
    )
    for graph, count in ((shallow, 2), (deep, 99999)):
        runs = [run for _, stage in graph.stages for run in stage]
        assert [run.count for run in runs] == [1, count] * 3
        assert sum(len(run.instances) for run in runs) == 6


def test_growing_units_are_one_run() -> None:
    _, stage = graph_of(SPECS / "zoo.yaml").stages[1]
    assert [(run.call.block, run.count, len(run.instances)) for run in stage] == [
        ("dense", 5, 5),
        ("squeeze", 1, 1),
    ]
    assert [i.input[0] for i in stage[0]] == [16, 20, 24, 28, 32]


GROWING = """
resgraph: 1
title: Units that read more channels each
units:
  gate:
    params: [{on: 0}]
    paths:
      out: {from: x, ops: [relu, {sigmoid: {}, when: on == 1}]}
  body:
    paths:
      F: {from: x, ops: [OPS, {conv: {kernel: 3, channels: 4}}]}
      out: {from: [x, F], ops: [concat]}
network:
  input: [8, 16, 16]
  stages: [[{body: {}, repeat: 5}]]
  outputs: {y: stage1}
"""


@pytest.mark.parametrize(
    ("op", "counts"),
    [
        ("relu", [5]),
        ("{conv: {kernel: 1, channels: in}}", [5]),
        ("{conv: {kernel: 3, channels: in, groups: in}}", [5]),
        ("{scale: {factor: 1 / (index + 1)}}", [5]),
        ("{gate: {on: 1}}", [5]),
        ("{gate: {}, repeat: 3}", [5]),
        ("{relu: {}, when: index % 2 == 0}", [1] * 5),
        ("{relu: {}, when: index > 0}", [1, 4]),
        ("{relu: {}, when: in < 17}", [3, 1, 1]),
        ("{conv: {kernel: 1 + 2 * (index // 3), channels: in}}", [3, 1, 1]),
        ("{gate: {on: index // 4}}", [4, 1]),
        ("{gate: {}, repeat: 1 + index // 4}", [4, 1]),
    ],
)
def test_a_run_grows_in_channels_alone(
    tmp_path: Path, op: str, counts: list[int]
) -> None:
    graph = graph_from(GROWING.replace("OPS", op), tmp_path)
    ((_, runs),) = graph.stages
    assert [run.count for run in runs] == counts
    assert [run.first for run in runs] == [sum(counts[:i]) for i in range(len(counts))]
    assert [one.input[0] for run in runs for one in run] == [8, 12, 16, 20, 24]
    for run in runs:
        kinds = [[(n.name, n.op.kind) for n in one.steps] for one in run]
        assert all(kind == kinds[0] for kind in kinds)


def test_totals_equal_the_sum_over_the_depth() -> None:
    for path in (SPECS / "zoo.yaml", SPECS / "tiny.yaml"):
        graph = graph_of(path)
        for quantity in ("parameters", "multiply_adds", "numbers", "nodes"):
            walked = sum(getattr(instance, quantity) for _, instance in graph.parts())
            assert graph.total(quantity) == walked


def test_a_unit_as_a_dag() -> None:
    unit = graph_of(BOTTLENECK).units["entry"]
    dag = Dag.of(unit)
    assert "out_add" in dag.reached("x")
    assert dag.needed(["out_add"]) == {node.name for node in unit.nodes}
    assert set(dag.reads["out_add"]) == {"h_conv", "conv3"}
    assert dag.dominators("x")["out_add"] == "a_relu"


def test_extends_changes_only_what_differs(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(TINY + "networks: {small: {depth: 8}}\n")
    child = tmp_path / "child.yaml"
    child.write_text(
        "extends: base.yaml\n"
        "title: With a gate\n"
        "units:\n"
        "  body:\n"
        "    paths:\n"
        "      g: {from: x, ops: [sigmoid, {option_a: {channels: width, stride: stride}}]}\n"
        "      gated: {from: [g, F], ops: [mul]}\n"
        "      out: {from: [h, gated]}\n"
    )
    (graph,) = Compiler().graphs(child)
    assert graph.name == "child"
    paths = [path.name for path in graph.units["body"].paths]
    assert paths == ["h", "F", "g", "gated", "out"]
    assert graph.units["body"].paths[1].span.file == str(tmp_path / "base.yaml")
    assert graph.units["body"].paths[2].span.file == str(child)


def test_findings_of_a_base_name_its_file(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(TINY.replace("from: [h, F]", "from: [h, G]"))
    (tmp_path / "child.yaml").write_text("extends: base.yaml\ntitel: x\n")
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(tmp_path / "child.yaml")
    files = {Path(d.span.file).name for d in caught.value.diagnostics if d.span}
    assert files == {"base.yaml", "child.yaml"}


def test_all_findings_of_all_networks_at_once(tmp_path: Path) -> None:
    text = TINY + "networks: {a: {depth: 9}, b: {depth: 10}, c: {depth: 8}}\n"
    with pytest.raises(SpecError) as caught:
        graph_from(text, tmp_path)
    messages = [d.message for d in caught.value.diagnostics]
    assert len(messages) == 2
    assert "depth = 9" in messages[0] + messages[1]
    assert "depth = 10" in messages[0] + messages[1]
