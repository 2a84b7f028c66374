"""What is told is true of every way through a network, once, and in grammar."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.graph import Graph
from resgraph.prove import Topic, prove
from tests.helpers import graph_from

PYRAMID = """
resgraph: 1
title: A pyramid
units:
  body: {paths: {F: {from: x, ops: [{conv: {kernel: 3, channels: in}}]}, out: {from: [x, F], ops: [add, relu]}}}
  top: {inputs: [above, here], paths: {lat: {from: here, ops: [bn]}, out: {from: [above, lat], ops: [add]}}}
  smooth: {paths: {out: {from: x, ops: [{conv: {kernel: 3, channels: 4}}]}}}
network:
  input: [4, 8, 8]
  stages:
    c1: [body]
    c2: [{body: {}, repeat: 2}]
    c3: [body]
    p2: {from: [c3, c2], units: [top]}
    p1: {from: [p2, c1], units: [top]}
    o2: {from: p2, units: [smooth]}
    o1: {from: p1, units: [smooth]}
  outputs: {a: o1, b: o2}
"""
LEFT_OUT = """
resgraph: 1
title: An addition under a condition
units:
  body:
    params: [width]
    paths:
      F: {from: x, when: in == width, ops: [bn, relu, {conv: {kernel: 3, channels: in}}]}
      out: {from: [F, x], when: in == width, ops: [add]}
network:
  input: [4, 8, 8]
  stages: [[{body: {width: 4}, repeat: 2}, {body: {width: 5}}]]
  outputs: {a: stage1}
"""
REPEATED = """
resgraph: 1
title: Several in each
units:
  once: {paths: {out: {from: x, ops: [relu]}}}
  more: {paths: {out: {from: x, ops: [{once: {}, repeat: index + 3}]}}}
network:
  input: [4, 8, 8]
  stages: [[{more: {}, repeat: 2}]]
  outputs: {a: stage1}
"""
ONE = """
resgraph: 1
title: One layer
units: {body: {paths: {out: {from: x, ops: [{conv: {kernel: 3, channels: 4}}]}}}}
network: {input: [4, 8, 8], stages: [[body]], outputs: {a: stage1}}
"""


def told(spec: str, folder: Path) -> list[str]:
    graph: Graph = graph_from(spec, folder)
    return [finding.message for finding in prove(graph)]


def test_how_often_a_gradient_meets_a_node_is_told_of_each_way(tmp_path: Path) -> None:
    found = [text for text in told(PYRAMID, tmp_path) if "must pass" in text]
    assert found == [
        "c1.0 (1 of 8 units): every gradient must pass out_relu: once",
        "c2.0 to c3.0 (3 of 8 units): every gradient that comes this way must pass "
        "out_relu: 2 or 3 times, by the way that it takes",
        "o2.0, o1.0 (2 of 8 units): every gradient that comes this way must pass conv1: "
        "once",
    ]


def test_a_unit_without_its_addition_has_no_f(tmp_path: Path) -> None:
    found = told(LEFT_OUT, tmp_path)
    assert found[:3] == [
        "an identity path through every unit, 3 of 3; 1 of them adds nothing to it",
        "stage1.0 to stage1.1 (2 of 3 units): h and f are identities: x_L = x_l + sum of "
        "F, Eq. (4)",
        "stage1.2 (1 of 3 units): no addition: its input passes as it is and nothing is "
        "added to it, so there is no F as in Eq. (1)",
    ]
    claims = [text for text in found if "Eq. (5)" in text]
    assert claims[0].startswith("stage1.0 to stage1.1 (2 of 3 units): Eq. (5) holds")
    assert claims[1:] == [
        "stage1.2 (1 of 3 units): no addition, so no F as in Eq. (5): dE/dx_L comes back "
        "to x_l as it is"
    ]


def test_a_mistake_that_a_unit_makes_several_times_is_told_once(tmp_path: Path) -> None:
    graph = graph_from(REPEATED, tmp_path)
    (text,) = [f.message for f in prove(graph) if f.topic is Topic.MISTAKE and f.code]
    assert text.startswith("stage1.0 to stage1.1 (2 of 2 units): ")


@pytest.mark.parametrize(
    "part", ["stage1.0 (1 of 1 unit): no addition", "1 weight layer on the longest"]
)
def test_one_is_no_plural(part: str, tmp_path: Path) -> None:
    assert any(part in text for text in told(ONE, tmp_path))
