"""Random programs of blocks within blocks: sound between passes, and the same in every form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from resgraph.cli.subjects import exporter
from resgraph.emit import onnx_model
from resgraph.emit.element import BFLOAT16, FLOAT16, FLOAT32, Element
from resgraph.emit.onnx_model import write_onnx
from resgraph.emit.onnx_parts import Model
from resgraph.emit.torch_source import torch_source
from resgraph.emit.weights import drawn
from resgraph.graph import Graph
from resgraph.passes import analyse
from resgraph.passes.deploy import TARGETS, prepare
from resgraph.verify import Options, Present, Subject, load_generated, verify
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.returned import by_name
from tests.deploy.networks import KINDS, Drawn, pictures
from tests.helpers import graph_from
from tests.programs import programs
from tests.validity import between, faults

quickly = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quickly
@given(text=programs())
def test_the_program_is_sound_between_passes(text: str, tmp_path: Path) -> None:
    graph = graph_from(text, tmp_path)
    assert faults(graph.program) == []
    _, findings = analyse(graph.program, [], watch=between)
    assert [f for f in findings if f.code.severity == "error"] == []


@quickly
@given(text=programs())
def test_torch_onnx_and_the_graph_are_one(text: str, tmp_path: Path) -> None:
    """Isomorphic, equal in float64 in both modes, and in float32 as far as rounding lets it."""
    graph = graph_from(text, tmp_path)
    path = tmp_path / f"{graph.name}.py"
    path.write_text(torch_source(graph, tmp_path), encoding="utf-8")
    subject = Subject(graph, Present(load_generated(path)), exporter(graph, tmp_path))
    checks = list(verify(subject, Options(batch=3, steps=1)))
    wrong = [check for check in checks if check.verdict in ("failed", "not proven")]
    assert wrong == []
    names = {check.name for check in checks}
    assert {"structure: spec", "structure: ONNX", "ONNX in float64"} <= names


@pytest.mark.parametrize("functions", [False, True], ids=["nodes", "functions"])
@pytest.mark.parametrize("element", [FLOAT32, FLOAT16, BFLOAT16], ids=lambda e: e.name)
@quickly
@given(text=programs(), nodes=st.sampled_from([1, 7, 10**6]))
def test_every_form_is_a_model(
    element: Element, functions: bool, text: str, nodes: int, tmp_path: Path
) -> None:
    """However it is cut into pieces to be checked, and no larger than was foretold."""
    graph = graph_from(text, tmp_path)
    path = tmp_path / "m.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_model, "PIECE_NODES", nodes)
        write_onnx(graph, path, drawn(0), element=element, functions=functions)
    onnx.checker.check_model(str(path), full_check=True)
    model = Model(graph, {}, element, functions)
    assert path.stat().st_size <= model.size + model.numbers
    shapes = graph.network.shapes
    outputs = onnx.load(path).graph.output
    assert {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim[1:])
        for value in outputs
    } == {name: shapes[value] for name, value in graph.outputs.items()}
    kinds = {value.type.tensor_type.elem_type for value in outputs}
    assert kinds == {onnx.TensorProto.FLOAT}
    if element is FLOAT32:
        check_numbers(graph, path)


def check_numbers(graph: Graph, path: Path) -> None:
    """onnxruntime errs from float64 by what a hundred roundings of the largest number may do."""
    images = pictures(2, graph.input)
    expected = computed(graph, drawn(0), images)
    for name, value in run(path, images).items():
        scale = max(float(expected[name].abs().max()), 1e-30)
        assert float((value - expected[name]).abs().max()) / scale < 1e-4, name


def run(path: Path, images: Any) -> dict[str, Tensor]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": images.astype(np.float32)})
    names = [value.name for value in session.get_outputs()]
    return {n: torch.from_numpy(v).double() for n, v in zip(names, found, strict=True)}


def computed(
    graph: Graph, weights: Callable[..., Any], images: Any
) -> dict[str, Tensor]:
    """The outputs in float64, the graph executed node by node."""
    network = Interpreter(graph).double().eval()
    state = network.state_dict()
    for name, weight in graph.tensors().items():
        state[name].copy_(torch.from_numpy(weights(name, weight).astype(float)))
    with torch.no_grad():
        return by_name(network(torch.from_numpy(images)), [*graph.outputs], "")


@quickly
@given(text=programs(), kind=st.sampled_from(KINDS), seed=st.integers(0, 9))
def test_every_target_is_exact(text: str, kind: str, seed: int, tmp_path: Path) -> None:
    """BNs within units within units are folded as well, and each pass leaves a sound graph."""
    graph, weights = graph_from(text, tmp_path), Drawn(seed, kind)
    images = pictures(2, graph.input, seed)
    expected = computed(graph, weights, images)
    for target in TARGETS:
        network, _ = prepare(graph, weights, target, watch=between)
        for name, value in computed(network.graph, network.weights, images).items():
            # Of images of order 1: what a ReLU sets to 0, a clip may leave at a rounding.
            scale = max(float(expected[name].abs().max()), 1e-3)
            far = float((value - expected[name]).abs().max()) / scale
            assert far < 1e-9, (target, name, far, scale)
        write_onnx(network.graph, tmp_path / "m.onnx", network.weights, functions=True)


def test_a_fault_of_the_graph_is_seen(tmp_path: Path) -> None:
    """The validator is not blind: it sees each kind of damage."""
    graph = graph_from(NESTED, tmp_path)
    assert faults(graph) == []
    network = graph.network
    block = network.block
    rows = [replace(row, inputs=("none",)) for row in block.rows]
    damaged = {
        "reads none": replace(network, block=replace(block, nodes=tuple(rows))),
        "is not there": replace(network, block=replace(block, outputs={"out": "none"})),
        "makes": replace(network, shapes=dict.fromkeys(network.shapes, (9, 9, 9))),
        "times": replace(
            network, block=replace(block, nodes=(*block.nodes, *block.nodes))
        ),
    }
    for words, instance in damaged.items():
        found = faults(replace(graph, network=instance))
        assert any(words in fault for fault in found), (words, found)


NESTED = """
resgraph: 1
title: A unit within a unit
units:
  inner: {paths: {out: {from: x, ops: [{conv: {kernel: 1, channels: in}}, bn]}}}
  body:
    paths:
      F: {from: x, ops: [{inner: {}, repeat: 2}, relu, inner]}
      out: {from: [x, F], ops: [add]}
network:
  input: [3, 6, 6]
  stages: {one: [{body: {}, repeat: 2}], two: [body]}
  outputs: {a: one, b: two}
"""
