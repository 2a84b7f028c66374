"""Names of blocks within blocks: only those that truly collide are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.blocks.test_language import compiled, refused
from tests.helpers import module_of

MERGE = """
units:
  merge:
    inputs: [below, INPUT]
    params: [PARAMS]
    paths:
      a: {from: below, ops: [{conv: {kernel: 1, channels: width}}]}
      out: {from: [a, INPUT], ops: [add], OUT}
network:
  input: [4, 8, 8]
  stages: {c1: {from: [stem, stem], units: [{merge: {ARGS}}]}}
  head: [bn]
"""


def merge(name: str = "skip", params: str = "width", args: str = "width: 4") -> str:
    spec = MERGE.replace("INPUT", name).replace("PARAMS", params)
    return spec.replace("ARGS", args).replace(", OUT", "")


def test_what_starts_from_one_value_twice(tmp_path: Path) -> None:
    graph = compiled(merge(), tmp_path)
    assert graph.network.block.nodes[1].inputs == ("stem", "stem")


def test_an_input_may_not_be_called_as_an_op(tmp_path: Path) -> None:
    (message,) = refused(merge("a_conv"), tmp_path)
    assert message == "the op 'a_conv' and the input 'a_conv' would both be 'a_conv'"


@pytest.mark.parametrize(
    ("repeat", "name", "clashes"),
    [
        ("", "stage", True),
        ("", "index", True),
        (", repeat: 2", "index", False),
        (", repeat: 2", "stage", True),
    ],
)
def test_a_parameter_that_hides_where_a_unit_stands(
    repeat: str, name: str, clashes: bool, tmp_path: Path
) -> None:
    spec = f"""
units:
  inner: {{paths: {{out: {{from: x, ops: [{{scale: {{factor: {name} + 1}}}}]}}}}}}
  body:
    params: [{name}]
    paths:
      out: {{from: x, ops: [{{inner: {{}}{repeat}}}, {{scale: {{factor: {name}}}}}]}}
network:
  input: [4, 8, 8]
  stages: [[{{body: {{{name}: 2}}}}]]
  head: [bn]
"""
    if clashes:
        (message,) = refused(spec, tmp_path)
        assert message == f"'inner' reads '{name}', which is where it stands"
    else:
        module_of(compiled(spec, tmp_path), tmp_path).Net()


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ("{input: c1, b: stem}", "the ONNX model's input is called so"),
        ("{class: c1, b: stem}", "it is a keyword of Python"),
    ],
)
def test_outputs_that_no_tuple_or_model_can_have(
    outputs: str, why: str, tmp_path: Path
) -> None:
    spec = merge().replace("  head: [bn]", f"  outputs: {outputs}")
    (message,) = refused(spec, tmp_path)
    assert message.endswith(f"cannot be a name: {why}")


def test_a_unit_may_be_called_as_what_another_returns(tmp_path: Path) -> None:
    spec = """
units:
  fork_output: {paths: {out: {from: x, ops: [bn]}}}
  fork: {outputs: [a, b], paths: {a: {from: x, ops: [bn]}, b: {from: x, ops: [relu]}}}
network:
  input: [4, 8, 8]
  stages: {c1: [fork_output, fork]}
  outputs: {p: c1.a, q: c1.b}
"""
    module_of(compiled(spec, tmp_path), tmp_path).Net()


@pytest.mark.parametrize("name", ["when", "name", "conv", "identity"])
def test_units_of_stages_may_be_called_as_what_stands_beside(
    name: str, tmp_path: Path
) -> None:
    spec = f"""
units:
  {name}: {{params: [width], paths: {{out: {{from: x, ops: [{{conv: {{kernel: 1, channels: width}}}}]}}}}}}
network:
  input: [4, 8, 8]
  stages: [[{{{name}: {{width: 4}}, repeat: 2}}]]
  head: [bn]
"""
    module_of(compiled(spec, tmp_path), tmp_path).Net()
