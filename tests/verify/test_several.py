"""Networks with several outputs, and with maps for outputs, beside modules of every form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import pytest
import torch
from torch import Tensor, nn

from resgraph.cli.subjects import exporter
from resgraph.emit.onnx_file import OnnxFile
from resgraph.emit.torch_source import torch_source
from resgraph.graph import Graph
from resgraph.verify import (
    Check,
    Here,
    Options,
    Present,
    Subject,
    load_generated,
    verify,
)
from resgraph.verify.carry import carry
from resgraph.verify.flow import Flow, Flows
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.isomorphism import Match, match
from resgraph.verify.returned import by_name
from resgraph.verify.structure import against_module, flows
from tests.helpers import graph_from, load, refused

SPEC = """
resgraph: 1
title: Maps of two sizes, and logits
units:
  body:
    params: [width, {stride: 1}]
    paths:
      F: {from: x, ops: [{conv: {kernel: 3, channels: width, stride: stride}}, bn]}
      h: {from: x, ops: [{conv: {kernel: 1, channels: width, stride: stride}}]}
      out: {from: [h, F], ops: [add, relu]}
network:
  input: [3, 8, 8]
  stages: {c2: [{body: {width: 4}}], c3: [{body: {width: 4, stride: 2}}]}
  head: {from: c3, ops: [global_avg_pool, {linear: {features: 5}}]}
  outputs: {p2: c2, p3: c3, classes: head}
"""


class Two(NamedTuple):
    p2: Tensor
    p3: Tensor
    classes: Tensor


@dataclass
class Held:
    classes: Tensor
    p2: Tensor
    p3: Tensor


FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Any]] = {
    "a tuple": lambda a, b, c: (a, b, c),
    "a list": lambda a, b, c: [a, b, c],
    "lists within": lambda a, b, c: ([a, b], c),
    "a named tuple": Two,
    "other names": lambda a, b, c: {"one": a, "two": b, "three": c},
    "names in another order": lambda a, b, c: {"classes": c, "p3": b, "p2": a},
    "a dataclass": lambda a, b, c: Held(c, a, b),
    "with None": lambda a, b, c: (a, None, b, c),
}
OTHERS: dict[str, Callable[[Tensor, Tensor, Tensor], Any]] = {
    "two swapped": lambda a, b, c: (b, a, c),
    "names swapped": lambda a, b, c: {"p2": b, "p3": a, "classes": c},
    "one less": lambda a, b, c: (a, c),
    "one more": lambda a, b, c: (a, b, c, a),
    "one twice": lambda a, b, c: (a, a, c),
    "one changed": lambda a, b, c: (a, 2 * b, c),
}


class ByHand(nn.Module):
    """Another author's module of the spec."""

    def __init__(self, form: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.form = form
        for i, stride in ((0, 1), (1, 2)):
            width = 4 if i else 3
            conv = nn.Conv2d(width, 4, 3, stride, padding=1, bias=False)
            setattr(self, f"branch{i}", nn.Sequential(conv, nn.BatchNorm2d(4)))
            setattr(self, f"short{i}", nn.Conv2d(width, 4, 1, stride, bias=False))
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Any:
        a = torch.relu(self.branch0(x) + self.short0(x))
        b = torch.relu(self.branch1(a) + self.short1(a))
        return self.form(a, b, self.fc(b.mean((2, 3))))


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("several")
    graph = graph_from(SPEC, folder)
    path = folder / f"{graph.name}.py"
    path.write_text(torch_source(graph, folder), encoding="utf-8")
    return Subject(graph, Present(load_generated(path)), exporter(graph, folder))


def checks(subject: Subject, form: Callable[..., Any], **options: Any) -> list[Check]:
    made = Here(lambda: ByHand(form))
    beside = Subject(
        subject.graph, subject.witness, subject.export, None, made, "by hand"
    )
    return list(verify(beside, Options(**options)))


@pytest.mark.parametrize("form", FORMS)
def test_outputs_are_found_whatever_holds_them(subject: Subject, form: str) -> None:
    found = checks(subject, FORMS[form], steps=1)
    assert [check for check in found if check.verdict != "passed"] == []
    names = {check.name for check in found}
    assert {"structure: by hand", "outputs at inference: by hand"} <= names


@pytest.mark.parametrize("form", OTHERS)
def test_other_outputs_are_another_network(subject: Subject, form: str) -> None:
    found = checks(subject, OTHERS[form], structure_only=True)
    (check,) = [each for each in found if each.name == "structure: by hand"]
    assert check.verdict in ("failed", "not proven"), check
    assert check.detail


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (
            "names swapped",
            "p2 is c2.0 [4, 8, 8] in spec, and relu [4, 4, 4] in the",
        ),
        ("one twice", "p3 is c3.0 [4, 4, 4] in spec, and relu [4, 8, 8] in the"),
    ],
)
def test_the_output_that_is_another_is_told(
    subject: Subject, form: str, words: str
) -> None:
    found = {check.name: check for check in checks(subject, OTHERS[form], steps=1)}
    check = found["structure: by hand"]
    assert check.verdict == "failed"
    assert words in check.detail
    assert check.span is not None
    assert found["numbers"].verdict == "skipped"


def test_an_output_of_equal_shape_that_is_another_is_told(tmp_path: Path) -> None:
    graph = graph_from(SPEC.replace("stride: 2", "stride: 1"), tmp_path)
    ours = flows(Interpreter(graph), graph.input)
    theirs = Flows(*(_swapped(flow) for flow in (ours.training, ours.inference)))
    check = against_module(graph, ours, theirs, "n.py:f").check
    assert check.detail == (
        "the output p2 is c2.0.out_relu in spec, and c3.0.out_relu in n.py:f"
    )
    assert str(check.span).endswith("spec.yaml:15:17")


def _swapped(flow: Flow) -> Flow:
    """Its first two outputs under each other's names."""
    first, second, *rest = flow.outputs
    return replace(flow, outputs=(second, first, *rest))


@pytest.mark.parametrize("form", ["one less", "one more"])
def test_another_number_of_outputs_is_told(subject: Subject, form: str) -> None:
    found = {check.name: check for check in checks(subject, OTHERS[form], steps=1)}
    check, count = found["structure: by hand"], 2 if form == "one less" else 4
    assert check.verdict == "failed"
    assert f"returns 3 values in training, and the network by hand {count} values" in (
        check.detail
    )


def test_a_generated_file_that_returns_less_fails(tmp_path: Path) -> None:
    graph = graph_from(SPEC, tmp_path)
    source = torch_source(graph, tmp_path)
    (line,) = [each for each in source.splitlines() if "p2=c2, p3=c3" in each]
    path = tmp_path / f"{graph.name}.py"
    path.write_text(source.replace(line, f"{line.partition('return')[0]}return c2, c3"))
    made = Subject(graph, Present(load_generated(path)), exporter(graph, tmp_path))
    found = {check.name: check for check in verify(made, Options(steps=1))}
    assert found["structure: spec"].verdict == "failed"
    assert "the module returns 2 values in training, and the spec 3 values" in (
        found["structure: spec"].detail
    )
    assert found["numbers"].verdict == "skipped"


def test_weights_are_carried_along_all_outputs(subject: Subject) -> None:
    theirs = ByHand(FORMS["names in another order"])
    graph = subject.graph
    carried = carry(graph, Here(lambda: theirs), {}, "by hand")
    network = subject.witness.build().eval()
    network.load_state_dict(dict(carried.tensors), strict=False)
    images = torch.randn(2, *graph.input).double()
    with torch.no_grad():
        ours = by_name(network.double()(images), [*graph.outputs], "")
        other = theirs.eval().double()(images)
    torch.testing.assert_close(ours, {name: other[name] for name in ours})


def changed(graph: Graph, subject: Subject, path: Path, change: Any) -> OnnxFile:
    """The exported model after a change."""
    weights = {n: t.numpy() for n, t in subject.witness.initial(0).items()}
    subject.export(weights)
    source = next(path.parent.rglob(f"{graph.name}.onnx"))
    model = onnx.load(source)
    change(model.graph)
    onnx.save(model, path)
    return OnnxFile(path)


def test_a_model_whose_outputs_are_swapped_fails(tmp_path: Path) -> None:
    graph = graph_from(SPEC.replace("stride: 2", "stride: 1"), tmp_path)
    source = tmp_path / f"{graph.name}.py"
    source.write_text(torch_source(graph, tmp_path), encoding="utf-8")
    made = Subject(graph, Present(load_generated(source)), exporter(graph, tmp_path))

    def swap(proto: onnx.GraphProto) -> None:
        other = {"p2": "p3", "p3": "p2"}
        for node in proto.node:
            node.input[:] = [other.get(name, name) for name in node.input]
            node.output[:] = [other.get(name, name) for name in node.output]

    model = changed(graph, made, tmp_path / "m.onnx", swap)
    beside = Subject(graph, made.witness, made.export, model)
    found = {check.name: check for check in verify(beside, Options(steps=1))}
    assert found["structure: ONNX"].verdict == "failed"
    assert found["ONNX in float64"].verdict == "failed"


def test_a_model_that_lacks_an_output_is_refused(tmp_path: Path) -> None:
    graph = graph_from(SPEC, tmp_path)
    source = tmp_path / f"{graph.name}.py"
    source.write_text(torch_source(graph, tmp_path), encoding="utf-8")
    made = Subject(graph, Present(load_generated(source)), exporter(graph, tmp_path))
    model = changed(graph, made, tmp_path / "m.onnx", lambda proto: proto.output.pop(1))
    beside = Subject(graph, made.witness, made.export, model)
    told = refused(lambda: list(verify(beside, Options(steps=1))))
    assert f"has no output 'p3', as {graph.name} has: p2, classes" in told


def test_a_rate_that_a_module_computes_is_the_specs(tmp_path: Path) -> None:
    """0.15 * 1 / 12 is 0.012499999999999999 in floats, and 0.0125 in the spec."""
    spec = """
resgraph: 1
title: Rates by position
units:
  body:
    params: [{most: 0.15}]
    paths: {out: {from: x, ops: [bn, {dropout: {rate: most * index / total}}]}}
network:
  input: [4, 4, 4]
  stages: [[{body: {}, repeat: 12}]]
  head: [global_avg_pool, {linear: {features: 3}}]
"""
    graph = graph_from(spec, tmp_path)
    path = tmp_path / f"{graph.name}.py"
    path.write_text(torch_source(graph, tmp_path))
    module = load(path)
    network = getattr(module, module.__all__[0])
    with torch.device("meta"):
        ours = flows(network(), graph.input)
        meant = flows(Interpreter(graph), graph.input)
    assert isinstance(match(ours.training, meant.training), Match)
