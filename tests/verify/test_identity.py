"""Eq. (4) and (5) in numbers: they hold where the topology has identity paths, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resgraph.graph import Graph
from resgraph.ops.merge import Mul
from resgraph.prove.routes import Routes
from resgraph.verify.identity import (
    Stretch,
    identity_checks,
    measure,
    route_of,
    stretches,
)
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.numbers import Batch
from resgraph.verify.tolerance import relative
from tests.helpers import graph_from
from tests.verify.conftest import network

HOLDS = [
    "preact_basic:resnet20",
    "preact_bottleneck:resnet164@29",
    "preact_1layer:resnet110_1layer@11",
    "relu_only_preact_basic:resnet110_relu_only_preact@20",
    "relu_before_add_basic:resnet110_relu_before_add@20",
]
BROKEN = [
    "original_basic:resnet20_original",
    "bn_after_add_basic:resnet110_bn_after_add@20",
    "constant_scaling:resnet110_scale_05_1@20",
    "exclusive_gating:resnet110_exclusive_gating_b6@20",
    "conv_shortcut:resnet110_conv_shortcut@20",
]


def exact(graph: Graph) -> tuple[Interpreter, Batch]:
    torch.manual_seed(6)
    images = torch.randn(2, *graph.input, dtype=torch.float64)
    return Interpreter(graph).double(), Batch(images, torch.tensor([1, 7]))


@pytest.mark.parametrize("name", HOLDS)
def test_the_equations_hold_on_identity_paths(name: str) -> None:
    graph, _ = network(name)
    checks = list(identity_checks(graph, *exact(graph)))
    assert len(checks) == 3
    assert all(check.verdict == "passed" for check in checks), checks


@pytest.mark.parametrize("name", BROKEN)
def test_the_equations_do_not_hold_elsewhere(name: str) -> None:
    """Measured over units that have no identity path, both sides are far apart."""
    graph, _ = network(name)
    assert list(stretches(graph)) == []
    row, runs = graph.stages[1]
    stretch = Stretch(row, 1, tuple(runs[-1]))
    model, batch = exact(graph)
    (sides,) = measure(model, [route_of(Routes.through(graph.network), stretch)], batch)
    assert min(relative(left, right) for left, right in sides.values()) > 1e-2


SKIP = """
resgraph: 1
title: The stem is an output, too
units:
  body:
    paths:
      F: {from: x, ops: [{conv: {kernel: 3, channels: in}}, sigmoid]}
      out: {from: [x, F], ops: [add]}
network:
  input: [3, 8, 8]
  stem: [{conv: {kernel: 3, channels: 8}}]
  stages: [[{body: , repeat: 2}]]
  outputs: {deep: stage1, early: stem}
"""


def test_the_equations_hold_where_others_read_the_input(tmp_path: Path) -> None:
    graph = graph_from(SKIP, tmp_path)
    (check,) = identity_checks(graph, *exact(graph))
    assert check.verdict == "passed", check


BODY = """
  body:
    paths:
      F: {from: x, ops: [{conv: {kernel: 3, channels: in}}, sigmoid]}
      out: {from: [x, F], ops: [add]}
"""
JOIN = """
  join:
    inputs: [above, here]
    paths:
      lat: {from: here, ops: [{conv: {kernel: 1, channels: 4}}]}
      out: {from: [above, lat], ops: [add]}
"""
OUTER = """
  outer:
    paths:
      F: {from: x, ops: [bn, {body: {}, repeat: 2}, {conv: {kernel: 1, channels: in}}]}
      out: {from: [x, F], ops: [add]}
"""
TWICE = """
  twice: {paths: {out: {from: x, ops: [{body: {}}, {body: {}}, bn]}}}
"""
PLAIN = """
  plain: {paths: {out: {from: x, ops: [bn, relu]}}}
"""
ELSEWHERE = {
    "across stages that add": (
        BODY + JOIN,
        "{a: [body], b: {from: [a, stem], units: [join]}, c: {from: [b, a], units: [join]}}",
        ["a.0 to c.0"],
    ),
    "a skip connection that is added": (
        BODY + JOIN + PLAIN,
        "{a: [body], b: [plain], c: {from: [a, b], units: [join]}}",
        ["a.0, c.0 from above"],
    ),
    "two stages that start from one": (
        BODY,
        "{a: [{body: {}, repeat: 2}], b: {from: a, units: [body]}, c: {from: a, units: "
        "[body]}}",
        ["a", "a.0 to b.0, c.0"],
    ),
    "units in a unit": (BODY + OUTER, "[[outer]]", ["stage1.0"]),
    "rows in units": (
        BODY + TWICE,
        "[[{twice: {}, repeat: 2}]]",
        ["body1 to body2 of each of stage1.0 to stage1.1"],
    ),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_what_prove_says_of_no_chain_is_measured(kind: str, tmp_path: Path) -> None:
    units, stages, places = ELSEWHERE[kind]
    outputs = "[c, b]" if "c:" in stages else "[stage1]"
    names = outputs.strip("[]").split(", ")
    spec = (
        f"resgraph: 1\ntitle: T\nunits:{units}network:\n  input: [4, 8, 8]\n"
        f"  stem: [{{conv: {{kernel: 3, channels: 4}}}}]\n  stages: {stages}\n"
        f"  outputs: {{{', '.join(f'o{n}: {n}' for n in names)}}}\n"
    )
    graph = graph_from(spec, tmp_path)
    checks = list(identity_checks(graph, *exact(graph)))
    assert [check.verdict for check in checks] == ["passed"] * len(checks), checks
    assert [check.name for check in checks] == [f"Eq. (4), (5): {p}" for p in places]


def test_what_is_no_sum_and_reads_more_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As an op of one's own may be, that says it lets one of its inputs pass."""
    monkeypatch.setattr(Mul, "gain", lambda op, *shapes: 1.0)
    gated = "g: {from: [x, F], ops: [mul]}\n      out: {from: [g, F]"
    graph = graph_from(SKIP.replace("out: {from: [x, F]", gated), tmp_path)
    (check,) = identity_checks(graph, *exact(graph))
    assert (check.name, check.verdict) == ("Eq. (4), (5): stage 1", "skipped")
    assert check.detail == "not measured: stage1.0.g_mul is on the way, and no sum"
