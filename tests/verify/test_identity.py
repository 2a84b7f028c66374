"""Eq. (4) and (5) in numbers: they hold where the topology has identity paths, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resgraph.graph import Graph
from resgraph.verify.identity import Stretch, identity_checks, measure, stretches
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
    (sides,) = measure(model, [stretch], batch)
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
