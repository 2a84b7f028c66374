"""Units within units and several outputs, deployed; and what a pass promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from resgraph.emit.forms import FORMS, Exported, export_form
from resgraph.graph import Graph
from resgraph.graph.uses import Uses
from resgraph.passes import analysis
from resgraph.passes.base import EVERYTHING, Fact, Pass, check, run
from resgraph.passes.deploy import TARGETS, folded, prepare, report
from resgraph.passes.edit import Remark, Weighted
from tests.deploy.networks import Drawn, pictures
from tests.helpers import graph_from
from tests.validity import layers

SPEC = """
resgraph: 1
title: BNs two units deep, and two outputs
units:
  part:
    params: [width]
    paths: {out: {from: x, ops: [bn, relu, {conv: {kernel: 1, channels: width}}, bn]}}
  inner:
    paths:
      F: {from: x, ops: [{part: {width: in}, repeat: 2}, {dropout: {rate: index / total}}]}
      out: {from: [x, F], ops: [add]}
  body:
    paths:
      F: {from: x, ops: [inner, {conv: {kernel: 3, channels: in}}, bn]}
      out: {from: [x, F], ops: [add]}
network:
  input: [3, 6, 6]
  stem: [{conv: {kernel: 3, channels: 4}}]
  stages: {c1: [{body: {}, repeat: 3}], c2: [body]}
  outputs: {a: c1, b: c2}
"""


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return graph_from(SPEC, tmp_path)


def test_bns_within_units_within_units_are_folded(graph: Graph) -> None:
    network, remarks = prepare(graph, Drawn(0, "positive"), "cuda")
    clip = "with its ReLU a clip (Max), the rest in"
    for place, count in (("c1.0-2", "3 BNs"), ("c2.0", "1 BN")):
        for part in ("inner.part.0", "inner.part.1"):
            lines = [
                f"{place}.{part}.bn1: {clip} {part}.conv1_bn2 ({count})",
                f"{place}.{part}.bn2: folded into {part}.conv1 before it ({count})",
            ]
            assert {*lines} <= {*report(network, remarks)}
        line = f"{place}.bn1: folded into conv1 before it ({count})"
        assert line in report(network, remarks)
    assert len(report(network, remarks)) == 10
    assert not [name for name in layers(network.graph) if "running" in name]
    assert {
        "places": "c1.0-2",
        "layer": "inner.part.0.bn1_conv1_bn2",
        "from": ["inner.part.0.bn1", "inner.part.0.conv1", "inner.part.0.bn2"],
    } in json.loads(folded(network))


def test_places_that_are_changed_alike_share_a_function(
    graph: Graph, tmp_path: Path
) -> None:
    network, _ = prepare(graph, Drawn(0, "positive"), "cuda")
    exported = Exported(network.graph, network.weights, "cuda")
    (path,) = export_form(exported, "functions", tmp_path)
    names = [function.name for function in onnx.load(path).functions]
    assert names == ["stem", "body"]
    plain = Exported(graph, Drawn(0), "portable")
    (path,) = export_form(plain, "functions", tmp_path)
    functions = {f.name: f for f in onnx.load(path).functions}
    assert [*functions] == ["stem", "part", "inner", "body"]
    assert [n.op_type for n in functions["inner"].node] == ["part", "part", "Add"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_every_output(form: str, graph: Graph, tmp_path: Path) -> None:
    images = pictures(16, graph.input).astype(np.float32)
    target = "integers" if form == "int8" else "portable"
    network, _ = prepare(graph, Drawn(0), target)
    exported = Exported(network.graph, network.weights, calibration=images)
    path = export_form(exported, form, tmp_path)[0]
    assert [value.name for value in onnx.load(path).graph.output] == ["a", "b"]
    if form != "bf16":  # onnxruntime has no convolutions in it on the CPU
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for found in session.run(None, {"input": images}):
            assert found.dtype == np.float32
            assert found.shape == (16, 4, 6, 6)
            assert np.isfinite(found).all()


# --- passes -----------------------------------------------------------------------------


def test_a_pass_that_stands_before_what_it_needs_is_refused(graph: Graph) -> None:
    _, _, shapes, size, _ = analysis(Uses.within(graph.program))
    with pytest.raises(ValueError, match="the pass 'shapes' needs CHECKED"):
        run([shapes, size], graph.program)
    (first, *_) = TARGETS["cpu"]
    with pytest.raises(ValueError, match="needs SHAPES, WEIGHTS"):
        run([first], Weighted(graph, Drawn(0)))


def test_what_a_pass_does_not_keep_is_gone(graph: Graph) -> None:
    loses = Pass[Weighted, Weighted, Remark](
        "loses", lambda p: (p, []), keeps=frozenset()
    )
    needs = check("needs", lambda p: [], needs=frozenset({Fact.INFERENCE}))
    with pytest.raises(ValueError, match="the pass 'needs' needs INFERENCE"):
        run([loses, needs], Weighted(graph, Drawn(0)), EVERYTHING)


def test_findings_come_in_the_order_of_the_passes() -> None:
    passes = [check(name, lambda p, name=name: [f"{name} of {p}"]) for name in "ab"]
    seen: list[str] = []
    program, found = run(passes, 1, watch=lambda each, *_: seen.append(each.name))
    assert (program, found, seen) == (1, ["a of 1", "b of 1"], ["a", "b"])
