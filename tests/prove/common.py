"""What the tests of `prove` share."""

from __future__ import annotations

from resgraph.graph import Graph
from resgraph.prove import Finding, Level, Topic, prove
from tests.conftest import ROOT
from tests.helpers import SPECS

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


def warnings(graph: Graph) -> list[Finding]:
    return [finding for finding in prove(graph) if finding.code]


def of(graph: Graph, topic: Topic, level: Level) -> list[Finding]:
    return [f for f in prove(graph) if (f.topic, f.level) == (topic, level)]
