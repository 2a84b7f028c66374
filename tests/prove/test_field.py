"""Receptive fields, beside an unrolled network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resgraph.graph import INPUT, Graph, Instance, Node
from resgraph.prove import Level, Topic
from tests.helpers import graph_from, graph_of
from tests.prove.common import COMMITTED, TINY, of


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
        wanted = {name: set[int]() for name in instance.shapes}
        wanted[instance.block.output] |= needed
        for node in reversed(instance.steps):
            for value in node.inputs:
                for p in wanted[node.name]:
                    wanted[value] |= taps(node, p)
        needed = wanted[INPUT]
    return min(needed), max(needed)


def check_field(graph: Graph) -> None:
    """Hold the fields at every stage's exit against the unrolled network's."""
    everything = list(graph.parts())
    told = [f.message for f in of(graph, Topic.FIELD, Level.FACT)]
    assert told
    for number, (_, stage) in enumerate(graph.stages, 1):
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


def test_a_field_past_every_image_is_no_number(tmp_path: Path) -> None:
    text = TINY.replace(
        "[{body: {width: 16, stride: 2}}]",
        "[{body: {width: 16, stride: 2}}, {body: {width: 16, stride: 2}, repeat: 400000}]",
    )
    told = [f.message for f in of(graph_from(text, tmp_path), Topic.FIELD, Level.FACT)]
    assert "more than 10^18 x 10^18 pixels; every position sees all" in told[-1]
