"""Defaults of parameters that read what the unit may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.emit import torch_source
from resgraph.graph import Graph, digest
from tests.blocks.test_language import compiled, refused

SE = """
units:
  se:
    params: [{width: in}, {ratio: 4}, {hidden: width / ratio}]
    paths:
      gate:
        from: x
        ops:
          - global_avg_pool: {keepdim: true}
          - conv: {kernel: 1, channels: hidden}
          - conv: {kernel: 1, channels: width}
          - sigmoid
      out: {from: [x, gate], ops: [mul]}
  body:
    params: [width, {drop: index / total}]
    paths:
      out: {from: x, ops: [{conv: {kernel: 1, channels: width}}, SE, {dropout: {rate: drop}}]}
network:
  params: {widths: [8, 16], w: 4}
  input: [4, 8, 8]
  stages:
    - [{body: {width: "widths[0]"}, repeat: 2}]
    - [{body: {width: "widths[1]", drop: w / 8}}]
  head: [bn]
"""


def inside(text: str) -> list[str]:
    """The lines that construct the parts of units."""
    lines = map(str.strip, text.splitlines())
    return [line for line in lines if "Se(" in line or "Body(" in line]


def source(graph: Graph) -> list[str]:
    return inside(torch_source(graph, Path("generated")))


def hidden(graph: Graph) -> list[object]:
    """The middle width of each gate, in order."""
    weights = graph.network.weights
    return [w.shape[0] for layer, w in weights if layer.endswith("se.gate_conv1")]


@pytest.mark.parametrize(
    ("use", "widths", "call"),
    [
        ("se", [2, 2, 4], "Se(width, width=width, hidden=width // 4)"),
        (
            "{se: {ratio: 2}}",
            [4, 4, 8],
            "Se(width, width=width, hidden=width // 2)",
        ),
        ("{se: {hidden: 3}}", [3, 3, 3], "Se(width, width=width, hidden=3)"),
    ],
)
def test_a_default_reads_what_comes_in(
    use: str, widths: list[int], call: str, tmp_path: Path
) -> None:
    graph = compiled(SE.replace("SE", use), tmp_path)
    assert hidden(graph) == widths
    assert f"self.se = {call}" in source(graph)


def test_a_default_reads_the_position(tmp_path: Path) -> None:
    graph = compiled(SE.replace("SE", "se"), tmp_path)
    rates = [
        node.op.attributes()["rate"]
        for _, part in graph.parts()
        for node in part.block.ops
        if node.op.kind == "dropout"
    ]
    assert rates == [0, 0.5, 0.5]


def test_a_default_reads_lists_of_the_network(tmp_path: Path) -> None:
    listed = SE.replace("{hidden: width / ratio}", '{hidden: "widths[stage] / ratio"}')
    graph = compiled(listed.replace("SE", "se"), tmp_path)
    assert hidden(graph) == [2, 2, 4]


def test_what_the_network_has_is_the_networks(tmp_path: Path) -> None:
    """As it was before defaults could read anything else."""
    spec = SE.replace("SE", "se").replace("w: 4", "w: 4, width: 32")
    assert hidden(compiled(spec, tmp_path)) == [8, 8, 8]


def test_programs_that_differ_in_a_default_differ(tmp_path: Path) -> None:
    spec = SE.replace("SE", "se")
    texts = [
        spec,
        spec.replace("{width: in}", "{width: 1 * in}"),
        spec.replace("width / ratio", "2 * width / ratio"),
        spec.replace("index / total", "0.5"),
        spec.replace("width / ratio", "8 / ratio"),
        spec.replace("width / ratio", '"widths[0] * in / ratio"'),
        spec.replace("width / ratio", '"widths[1] * in / ratio"'),
    ]
    assert len({digest(compiled(text, tmp_path)) for text in texts}) == len(texts)


FINDINGS = {
    "{hidden: hidden / 4}": "'hidden' has no value yet at this line",
    "{hidden: late / 4}, {late: in}": "'late' has no value yet at this line",
    "{hidden: widht / 4}": "the unit 'se' has no parameter 'widht'",
    "{hidden: indx + 4}": "the unit 'se' has no parameter 'indx'",
    "{hidden: in / 3}": (
        "'hidden' comes out as 2.6667 with hidden = 2.6667, and must be a positive whole "
        "number"
    ),
    "{hidden: in / (stage - stage)}": "'in / (stage - stage)' divides by zero",
    '{hidden: "widths[width]"}': (
        "'widths[width]' with width = 8: widths has 2 items, 0 to 1"
    ),
    "{act: relu}, {hidden: in * act}": "'act' is an op, and a number is needed here",
}


@pytest.mark.parametrize("default", FINDINGS)
def test_findings_on_defaults(default: str, tmp_path: Path) -> None:
    """Each at the default's line, and nothing invented."""
    spec = SE.replace("{ratio: 4}, {hidden: width / ratio}", default)
    messages = refused(spec.replace("SE", "se"), tmp_path)
    assert [*dict.fromkeys(messages)][:1] == [FINDINGS[default]]
    assert all(message.count("~") == 0 for message in messages)
