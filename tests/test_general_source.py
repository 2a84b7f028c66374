"""A class of the generated source is right for other arguments than those of its uses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from tests.helpers import graph_from, module_of

UNITS = {
    "cbr": """
  cbr: {params: [width], paths: {out: {from: x, ops: [{conv: {kernel: 3, channels: width}}, relu]}}}""",
    "dense": """
  dense:
    params: [growth]
    paths:
      F: {from: x, ops: [{conv: {kernel: 3, channels: growth}}]}
      out: {from: [x, F], ops: [concat]}""",
    "keep": """
  keep:
    params: [width]
    paths:
      F: {from: x, ops: [{conv: {kernel: 3, channels: width}}, {conv: {kernel: 1, channels: in}}]}
      out: {from: [x, F], ops: [add]}""",
}
UNITS["own"] = """
  own:
    params: [width, {hidden: in + 2}, {mid: 2 * hidden}]
    paths:
      F: {from: x, ops: [{conv: {kernel: 3, channels: hidden}}, {conv: {kernel: 3, channels: mid}}, {conv: {kernel: 1, channels: width}}]}
      out: {from: [x, F], ops: [concat]}"""
UNITS["pair"] = """
  pair:
    params: [ws]
    paths: {out: {from: x, ops: [{conv: {kernel: 3, channels: "ws[0]"}}, {conv: {kernel: 1, channels: "ws[1]"}}]}}"""
UNITS["two"] = """
  two:
    inputs: [a, b]
    params: [width]
    paths:
      p: {from: [a, b], ops: [concat, {conv: {kernel: 3, channels: width}}]}
      r: {from: b, ops: [{conv: {kernel: 1, channels: width + index}}]}
      s: {from: [r, b], ops: [concat]}
    outputs: {u: p, v: s}"""
PARAMS = {"n": "n", "width": "width", "times": "{times: 2}"}

SPEC = """
resgraph: 1
title: A row
units: {units}
  block:
    params: [{params}]
    paths:
      {paths}
network:
  input: [8, 8, 8]
  stages: [[{uses}]]
  outputs: [stage1]
"""

OUT = "out: {{from: x, ops: [{}, bn]}}"
Use = Mapping[str, int]
"""The arguments of a block."""
BLOCKS = {
    "the first one changes the channels": OUT.format(
        "{cbr: {width: width}, repeat: n}"
    ),
    "twice": OUT.format("{cbr: {width: width}, repeat: 2}, {cbr: {width: 3}}"),
    "of a default": OUT.format("{cbr: {width: width}, repeat: times}"),
    "one more": OUT.format("{cbr: {width: 2 * width}, repeat: n + 1}"),
    "by number": OUT.format("{cbr: {width: width + index}, repeat: n}"),
    "down by number": OUT.format("{cbr: {width: width + n - index}, repeat: n}"),
    "by number, times": OUT.format("{cbr: {width: width * (index + 1)}, repeat: n}"),
    "by its square": OUT.format("{cbr: {width: width + index * index}, repeat: n}"),
    "by place of all": OUT.format("{cbr: {width: width + total - index}, repeat: n}"),
    "grows": OUT.format("{dense: {growth: width}, repeat: n}"),
    "grows more each time": OUT.format(
        "{dense: {growth: width * (index + 1)}, repeat: n}"
    ),
    "grows from a start": OUT.format(
        "{conv: {kernel: 1, channels: width}}, {dense: {growth: 2 + 3 * index}, repeat: n}"
    ),
    "grows less each time": OUT.format(
        "{dense: {growth: width + 2 * (n - index)}, repeat: n}"
    ),
    "defaults of their own": OUT.format(
        "{own: {width: width}, repeat: n}, {own: {width: 2, hidden: width}}, {own: {width: 3, mid: 5}}"
    ),
    "a default once": OUT.format(
        "{own: {width: in}}, {conv: {kernel: 1, channels: width}}"
    ),
    "lists": OUT.format(
        "{pair: {ws: [width, 2 * width]}}, {pair: {ws: [in, n]}, repeat: n}"
    ),
    "keeps": OUT.format("{keep: {width: width}, repeat: n}"),
    "one after the other": OUT.format(
        "{dense: {growth: width + index}, repeat: n}, {cbr: {width: in}, repeat: n}"
        ", {dense: {growth: times}, repeat: times}"
    ),
    "of two values": """
      b: {from: x, ops: [{conv: {kernel: 1, channels: 2 * width}}]}
      t: {from: [x, b], ops: [{two: {width: width}, repeat: n}]}
      out: {from: [t.u, t.v], ops: [concat, bn]}""",
    "beside a projection": """
      h: {from: x, when: in != width, ops: [{conv: {kernel: 1, channels: width}}]}
      F: {from: x, ops: [{cbr: {width: width}, repeat: times}]}
      out: {from: [h, F], ops: [add]}""",
}
USES = {
    "alike": [(1, 6, 1), (1, 6, 1)],
    "as it comes": [(3, 8, 3), (1, 16, 1)],
    "various": [(2, 8, 2), (3, 6, 3), (1, 4, 1)],
}
OTHERS = [(1, 5, 1), (2, 7, 2), (4, 9, 3), (3, 12, 4)]


def compiled(paths: str, uses: Sequence[Use], folder: Path) -> ModuleType:
    """The generated module of a network whose units are blocks of these paths."""
    folder.mkdir(exist_ok=True)
    words = {*re.findall(r"\w+", re.sub(r"\w+:", "", paths))}
    units = "".join(text for name, text in UNITS.items() if f"{{{name}:" in paths)
    params = [name for name in PARAMS if name in words]
    calls = [
        "{block: {" + ", ".join(f"{name}: {use[name]}" for name in params) + "}}"
        for use in uses
    ]
    text = SPEC.format(
        units=units,
        params=", ".join(PARAMS[name] for name in params),
        paths=paths,
        uses=", ".join(calls),
    )
    return module_of(graph_from(text, folder), folder)


def use(n: int, width: int, times: int) -> Use:
    return {"n": n, "width": width, "times": times}


def shapes(block: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in block.state_dict().items()}


@pytest.mark.parametrize("uses", USES.values(), ids=USES)
@pytest.mark.parametrize("paths", BLOCKS.values(), ids=BLOCKS)
def test_other_arguments(
    paths: str, uses: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    """It has the tensors that the network has which uses it with those arguments."""
    module = compiled(paths, [use(*each) for each in uses], tmp_path / "uses")
    takes = inspect.signature(module.Block).parameters
    assert not hasattr(module, "Block2")
    assert {*takes} <= {"in_channels", *PARAMS}
    for number, other in enumerate(OTHERS):
        given = use(*other)
        wanted = compiled(paths, [given], tmp_path / str(number))
        network: Any = getattr(wanted, wanted.__all__[0])()
        made = module.Block(8, **{k: v for k, v in given.items() if k in takes})
        assert shapes(made) == shapes(network.stage1[0])
        made(torch.zeros(1, 8, 4, 4))


def test_the_index_of_the_block_is_not_that_of_its_row(tmp_path: Path) -> None:
    paths = OUT.format(
        "{conv: {kernel: 1, channels: 8 + index}}"
        ", {keep: {width: width + index}, repeat: n}"
        ", {dense: {growth: index + 1}, repeat: n}"
    )
    uses = [use(2, 8, 1), use(3, 6, 1), use(1, 6, 1)]
    module = compiled(paths, uses, tmp_path)
    assert not hasattr(module, "Block2")
    for index in range(4):
        block = module.Block(8, n=3, width=5, index=index)
        assert block(torch.zeros(1, 8, 4, 4)).shape[1] == 8 + index + 6


@pytest.mark.parametrize(
    "wide", ["width + index", "width * (index + 1)", "width + 2 * index"]
)
def test_no_zeros_are_added(wide: str, tmp_path: Path) -> None:
    paths = OUT.format(f"{{cbr: {{width: {wide}}}, repeat: n}}")
    compiled(paths, [use(2, 8, 1), use(3, 6, 1)], tmp_path)
    (path,) = tmp_path.glob("*.py")
    assert "Cbr(in_channels, width=width)," in path.read_text(encoding="utf-8")
