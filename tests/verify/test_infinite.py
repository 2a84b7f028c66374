"""Networks whose own values overflow or vanish: there is nothing to compare, and no one is at fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.cli.subjects import exporter
from resgraph.emit.torch_source import torch_source
from resgraph.verify import Check, Options, Present, Subject, load_generated, verify
from tests.helpers import graph_from

SPEC = """
resgraph: 1
title: Values that grow or shrink
units:
  twice: {{paths: {{out: {{from: [x, x], ops: [{op}]}}}}}}
network:
  input: [3, 4, 4]
  stem: [{{conv: {{kernel: 1, channels: 4}}}}]
  stages: [[{{twice: , repeat: {n}}}]]
  head: [global_avg_pool, {{linear: {{features: 3}}}}]
"""


def checks(spec: str, folder: Path) -> dict[str, Check]:
    graph = graph_from(spec, folder)
    path = folder / f"{graph.name}.py"
    path.write_text(torch_source(graph, folder), encoding="utf-8")
    made = Subject(graph, Present(load_generated(path)), exporter(graph, folder))
    return {check.name: check for check in verify(made, Options(steps=1))}


def test_more_than_float64_holds_is_not_proven(tmp_path: Path) -> None:
    found = checks(SPEC.format(op="mul", n=14), tmp_path)
    assert {check.verdict.value for check in found.values()} == {
        "passed",
        "not proven",
        "skipped",
    }
    words = "the network's own values are not finite, first at stage1."
    assert words in found["logits at inference: spec"].detail
    assert found["logits at inference: spec"].verdict == "not proven"


def test_more_than_float32_holds_is_left_to_float64(tmp_path: Path) -> None:
    found = checks(SPEC.format(op="add", n=160), tmp_path)
    assert "failed" not in {check.verdict.value for check in found.values()}
    assert found["ONNX in float64"].verdict == "passed"
    assert found["torch on cpu"].verdict == "skipped"
    assert "float32 cannot hold the network's own values, first at stage1." in (
        found["torch on cpu"].detail
    )


HEAD = "head: [global_avg_pool, {{linear: {{features: 3}}}}]"
LESS = SPEC.replace(HEAD, "outputs: [stage1]")
"""The values themselves: in a head, biases would hide them."""
SHRINKS = "add, {scale: {factor: 1 / 200}}"


@pytest.mark.parametrize("n", [20, 30])
def test_less_than_float32_holds_is_left_to_float64(n: int, tmp_path: Path) -> None:
    """Numbers with fewer digits, and zeros for what is none."""
    found = checks(LESS.format(op=SHRINKS, n=n), tmp_path)
    assert "failed" not in {check.verdict.value for check in found.values()}
    assert found["ONNX in float64"].verdict == "passed"
    for name in ("torch on cpu", "ONNX on cpu, batch 1"):
        assert found[name].verdict == "skipped"
        assert "float32 cannot hold the network's own values, first at stage1.1" in (
            found[name].detail
        )
