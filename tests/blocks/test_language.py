"""Blocks within blocks: what a spec can say, and what becomes of it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from resgraph.compiler import Compiler
from resgraph.diagnostics import SpecError
from resgraph.graph import Graph, Instance, digest, text
from resgraph.settings import parse_settings

HEADER = "resgraph: 1\ntitle: A test\n"
SE = """
  se:
    params: [width, {ratio: 4}]
    paths:
      gate:
        from: x
        ops:
          - global_avg_pool: {keepdim: true}
          - conv: {kernel: 1, channels: width / ratio, bias: true}
          - relu
          - conv: {kernel: 1, channels: width, bias: true}
          - sigmoid
      out: {from: [x, gate], ops: [mul]}
"""
BODY = """
  body:
    params: [width]
    paths:
      F:
        from: x
        ops:
          - bn
          - relu
          - conv: {kernel: 3, channels: width}
          - se: {width: width}
      out: {from: [x, F], ops: [add]}
"""
NETWORK = """
network:
  input: [3, 8, 8]
  stem: [{conv: {kernel: 3, channels: 16}}]
  stages:
    - [{body: {width: 16}, repeat: 3}]
  head: [bn, relu, global_avg_pool, {linear: {features: 10}}]
"""


def compiled(spec: str, tmp_path: Path, *settings: str) -> Graph:
    """The network of a spec without its first two lines."""
    path = tmp_path / "net.yaml"
    path.write_text(HEADER + spec)
    return Compiler().graphs(path, None, parse_settings([*settings]))[0]


def refused(spec: str, tmp_path: Path) -> list[str]:
    """The messages of its findings."""
    with pytest.raises(SpecError) as caught:
        compiled(spec, tmp_path)
    return [finding.message for finding in caught.value.diagnostics]


def unit(paths: str, network: str = "", **more: str) -> str:
    """A spec with one unit `body`, in one stage."""
    keys = "".join(f"    {key}: {value}\n" for key, value in more.items())
    stage = network or "[[{body: {}}]]"
    return (
        f"units:\n  body:\n{keys}    paths:\n{paths}\nnetwork:\n  input: [4, 8, 8]\n"
        f"  stages: {stage}\n  head: [bn]\n"
    )


def body(graph: Graph, index: int = 0) -> Instance:
    """The unit of that number, of all stages together."""
    parts = [instance for prefix, instance in graph.parts() if prefix]
    return parts[index]


def attributes(instance: Instance, name: str) -> dict[str, Any]:
    return {n.name: n.op for n in instance.steps}[name].attributes()


# --- units as ops -------------------------------------------------------------------------


def test_a_unit_is_an_op_of_another(tmp_path: Path) -> None:
    graph = compiled("units:" + SE + BODY + NETWORK, tmp_path)
    names = [f"{layer}.{weight.name}" for layer, weight in graph.network.weights]
    assert "stage1.0.se.gate_conv1.weight" in names
    assert "stage1.2.se.gate_conv2.bias" in names
    se = body(graph).runs["se"][0].instances[0]
    assert (se.block.name, se.input, se.output) == ("se", (16, 8, 8), (16, 8, 8))
    assert attributes(se, "gate_conv1")["channels"] == 4


def test_flat_is_the_unit_written_out(tmp_path: Path) -> None:
    nested = compiled("units:" + SE + BODY + NETWORK, tmp_path)
    flat = body(nested).flat
    assert [node.name for node in flat.steps][:4] == [
        "bn1",
        "relu1",
        "conv1",
        "se.gate_global_avg_pool",
    ]
    reads = {node.name: node.inputs for node in flat.steps}
    assert reads["se.mul1"] == ("conv1", "se.gate_sigmoid")
    assert reads["out_add"] == ("x", "se.mul1")
    assert not any(flat.block.rows)


def test_units_within_units_within_units(tmp_path: Path) -> None:
    spec = """
units:
  a: {paths: {out: {from: x, ops: [{conv: {kernel: 1, channels: in}}]}}}
  b: {paths: {out: {from: x, ops: [a, {a: {}, repeat: 2, name: more}]}}}
  c: {params: [n], paths: {out: {from: x, ops: [{b: {}, repeat: n}]}}}
network:
  input: [4, 8, 8]
  stages: [[{c: {n: 2}}]]
  head: [bn]
"""
    graph = compiled(spec, tmp_path)
    convs = [layer for layer, _ in body(graph).weights]
    places = ("a", "more.0", "more.1")
    assert convs == [f"b.{i}.{place}.conv1" for i in (0, 1) for place in places]
    assert graph.total("nodes") == 6 + 1


def test_a_repeated_row_is_typed_once(tmp_path: Path) -> None:
    spec = """
units:
  a: {paths: {out: {from: x, ops: [{conv: {kernel: 3, channels: in}}]}}}
  b: {paths: {out: {from: x, ops: [{a: {}, repeat: 500}]}}}
network:
  input: [4, 8, 8]
  stages: [[{b: {}, repeat: 500}]]
  head: [bn]
"""
    graph = compiled(spec, tmp_path)
    (run,) = graph.stages[0][1]
    (inner,) = run.instances[0].runs["a"]
    assert (run.count, inner.count, len(inner.instances)) == (500, 500, 1)
    assert graph.total("nodes") == 250_000 + 1


# --- what expressions read ----------------------------------------------------------------


def test_in_is_the_channels_of_the_input(tmp_path: Path) -> None:
    paths = """
      out: {from: x, ops: [{conv: {kernel: in.h - 1, channels: 2 * in, groups: in}}, bn]}
"""
    graph = compiled(unit(paths, "[[{body: {}, repeat: 2}]]"), tmp_path)
    assert [body(graph, i).output[0] for i in (0, 1)] == [8, 16]
    assert attributes(body(graph), "conv1") == {
        "kernel": 7,
        "channels": 8,
        "groups": 4,
    }


def test_a_parameter_of_the_same_name_wins(tmp_path: Path) -> None:
    paths = """
      out: {from: x, ops: [{conv: {kernel: 1, channels: index + total + stage}}]}
"""
    stages = "[[{body: {index: 5, total: 6, stage: 7}}]]"
    spec = unit(paths, stages, params="[index, total, stage]")
    assert body(compiled(spec, tmp_path)).output[0] == 18


def test_position_of_a_unit(tmp_path: Path) -> None:
    paths = "      out: {from: x, ops: [{scale: {factor: index + 10 * total + 100 * stage}}]}"
    stages = "[[body], [{body: {}, repeat: 3}, body]]"
    graph = compiled(unit(paths, stages), tmp_path)
    found = [attributes(body(graph, i), "scale1")["factor"] for i in range(5)]
    assert found == [10, 140, 141, 142, 143]
    (first, second) = graph.stages[1][1]
    assert (first.count, len(first.instances), second.count) == (3, 1, 1)


def test_a_shape_may_depend_on_the_position(tmp_path: Path) -> None:
    paths = (
        "      out: {from: x, ops: [{conv: {kernel: 1, channels: 8 * (index + 1)}}]}"
    )
    graph = compiled(unit(paths, "[[{body: {}, repeat: 3}]]"), tmp_path)
    assert [body(graph, i).output[0] for i in range(3)] == [8, 16, 24]


def test_position_goes_into_arguments_and_units_within(tmp_path: Path) -> None:
    spec = """
units:
  inner: {params: [rate], paths: {out: {from: x, ops: [{dropout: {rate: rate}}]}}}
  body: {params: [most], paths: {out: {from: x, ops: [{inner: {rate: most * index / total}}]}}}
network:
  params: {most: 0.5}
  input: [4, 8, 8]
  stages: [[{body: {most: most}, repeat: 4}], [{inner: {rate: most * index / 8}, repeat: 3}]]
  head: [bn]
"""
    graph = compiled(spec, tmp_path)
    rates = [body(graph, i).steps[0].op.attributes().get("rate", 0.5) for i in range(7)]
    assert rates == [0, 0.125, 0.25, 0.375, 0, 0.0625, 0.125]
    assert [len(runs[0].instances) for _, runs in graph.stages] == [1, 1]
    same = spec.replace("most: 0.5", "most: 0.25")
    assert digest(compiled(same, tmp_path)) != digest(graph)


def test_in_of_a_stage_is_what_comes_into_the_unit(tmp_path: Path) -> None:
    spec = """
units:
  body: {params: [width], paths: {out: {from: x, ops: [{conv: {kernel: 1, channels: width}}]}}}
network:
  input: [4, 8, 8]
  stages: [[{body: {width: 2 * in}, repeat: 3}]]
  head: [bn]
"""
    graph = compiled(spec, tmp_path)
    assert [body(graph, i).output[0] for i in range(3)] == [8, 16, 32]


def test_lists_by_stage(tmp_path: Path) -> None:
    spec = """
units:
  body: {params: [width], paths: {out: {from: x, ops: [{conv: {kernel: 1, channels: width}}]}}}
network:
  params: {depths: [1, 2], widths: [8, 16], k: 1}
  input: [4, 8, 8]
  stages:
    - [{body: {width: "widths[stage]"}, repeat: "depths[stage]"}]
    - [{body: {width: "widths[k]"}, repeat: "depths[stage]"}]
  head: [bn]
"""
    graph = compiled(spec, tmp_path)
    assert [body(graph, i).output[0] for i in range(3)] == [8, 16, 16]
    other = compiled(spec, tmp_path, "depths=[3,1]", "widths=[4,12]")
    assert [body(other, i).output[0] for i in range(4)] == [4, 4, 4, 12]
    assert other.options == " --set depths='[3,1]' --set widths='[4,12]'"


# --- parameters that are no numbers -------------------------------------------------------


def test_an_op_is_a_parameter(tmp_path: Path) -> None:
    paths = "      out: {from: x, ops: [bn, act, act]}"
    spec = unit(paths, "[[body, {body: {act: sigmoid}}]]", params="[{act: relu}]")
    graph = compiled(spec, tmp_path)
    kinds = [[node.op.kind for node in body(graph, i).steps] for i in (0, 1)]
    assert kinds == [["bn", "relu", "relu"], ["bn", "sigmoid", "sigmoid"]]
    assert [node.name for node in body(graph).steps] == ["bn1", "act1", "act2"]


def test_an_op_with_attributes_is_a_parameter(tmp_path: Path) -> None:
    paths = "      out: {from: x, ops: [norm]}"
    stages = "[[{body: {norm: {bn: {eps: 2 * e}}}}]]\n  params: {e: 0.25}"
    spec = unit(paths, stages, params="[norm]")
    assert attributes(body(compiled(spec, tmp_path)), "norm1") == {"eps": 0.5}


def test_an_op_may_read_the_place_of_its_unit(tmp_path: Path) -> None:
    paths = "      out: {from: x, ops: [act]}"
    stages = """[[{body: {act: {scale: {factor: most * index / total}}}, repeat: 4}]]
  params: {most: 2}"""
    spec = unit(paths, stages, params="[act]")
    graph = compiled(spec, tmp_path)
    found = [attributes(body(graph, i), "act1")["factor"] for i in range(4)]
    assert found == [0, 0.5, 1, 1.5]
    assert digest(graph) != digest(compiled(spec, tmp_path, "most=3"))


def test_an_op_from_the_command_line(tmp_path: Path) -> None:
    paths = "      out: {from: x, ops: [act]}"
    stages = "[[{body: {act: act}}]]\n  params: {act: relu}"
    spec = unit(paths, stages, params="[act]")
    graph = compiled(spec, tmp_path, "act=sigmoid")
    assert body(graph).steps[0].op.kind == "sigmoid"
    assert digest(graph) != digest(compiled(spec, tmp_path))


def test_true_and_false_are_parameters(tmp_path: Path) -> None:
    paths = """
      out: {from: x, ops: [{conv: {kernel: 1, channels: in, bias: bias}}, {relu: {}, when: act}]}
"""
    stages = "[[body, {body: {bias: false, act: true}}]]"
    spec = unit(paths, stages, params="[{bias: true}, {act: false}]")
    graph = compiled(spec, tmp_path)
    assert [len(body(graph, i).weights) for i in (0, 1)] == [2, 1]
    assert [len(body(graph, i).steps) for i in (0, 1)] == [1, 2]


def test_parameters_go_through_units(tmp_path: Path) -> None:
    spec = """
units:
  inner: {params: [act, wide], paths: {out: {from: x, ops: [{act: {}, when: wide}, bn]}}}
  body: {params: [{f: relu}, w], paths: {out: {from: x, ops: [{inner: {act: f, wide: w}}]}}}
network:
  input: [4, 8, 8]
  stages: [[{body: {w: true}}, {body: {f: sigmoid, w: false}}]]
  head: [bn]
"""
    spec = spec.replace("{act: {}, when: wide}", "act")
    spec = spec.replace("ops: [act, bn]", "ops: [act, {bn: {}, when: wide}]")
    graph = compiled(spec, tmp_path)
    kinds = [[node.op.kind for node in body(graph, i).steps] for i in (0, 1)]
    assert kinds == [["relu", "bn"], ["sigmoid"]]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("act: 3", "'act' of 'body' is 3, and is used as an op"),
        ("act: [1, 2]", "'act' of 'body' is [1, 2], and is used as an op"),
        ("act: true", "'act' of 'body' is true, and is used as an op"),
        ("act: swish", "unknown op 'swish'"),
        ("act: relu, n: relu", "'n' of 'body' is relu, and is used as a number"),
        ("act: relu, n: true", "'n' of 'body' is true, and is used as a number"),
        ("act: relu, bias: 1", "'bias' of 'body' is 1, and is used as true or false"),
        ("act: relu, l: 1", "'l' of 'body' is 1, and is used as a list"),
    ],
)
def test_a_parameter_of_the_wrong_kind(
    argument: str, message: str, tmp_path: Path
) -> None:
    paths = """
      out: {from: x, ops: [act, {conv: {kernel: n, channels: "l[0]", bias: bias}}]}
"""
    params = "[act, {n: 1}, {bias: true}, {l: [4]}]"
    spec = unit(paths, f"[[{{body: {{{argument}}}}}]]", params=params)
    assert refused(spec, tmp_path) == [message]


# --- conditions ---------------------------------------------------------------------------

ONE_UNIT = """
units:
  body:
    params: [width, {stride: 1}]
    paths:
      h:
        from: x
        when: stride != 1 or in != width
        ops:
          - conv: {kernel: 1, channels: width, stride: stride}
          - bn
      F: {from: x, ops: [{conv: {kernel: 3, channels: width, stride: stride}}, bn, relu]}
      out: {from: [h, F], ops: [add]}
network:
  input: [3, 8, 8]
  stages:
    - [{body: {width: 16}, repeat: 3}]
    - [{body: {width: 16, stride: 2}}, {body: {width: 16}}]
  head: [bn]
"""


def test_one_unit_is_entry_and_body(tmp_path: Path) -> None:
    graph = compiled(ONE_UNIT, tmp_path)
    there = ["h_conv" in [n.name for n in body(graph, i).steps] for i in range(5)]
    assert there == [True, False, False, True, False]
    add = body(graph, 1).steps[-1]
    assert add.inputs == ("x", "relu1")


def test_a_condition_on_an_op(tmp_path: Path) -> None:
    paths = """
      F: {from: x, ops: [{relu: {}, when: index > 0}, bn]}
      out: {from: F, ops: [{sigmoid: {}, when: not (index == 0 or total < 2)}]}
"""
    graph = compiled(unit(paths, "[[{body: {}, repeat: 2}]]"), tmp_path)
    kinds = [[node.op.kind for node in body(graph, i).steps] for i in (0, 1)]
    assert kinds == [["bn"], ["relu", "bn", "sigmoid"]]
    assert body(graph, 0).block.output == "bn1"


def test_a_merge_that_is_left_out_is_its_last_value(tmp_path: Path) -> None:
    paths = """
      F: {from: x, ops: [{conv: {kernel: 1, channels: width}}, bn]}
      out: {from: [x, F], when: in == width, ops: [add, relu]}
"""
    stages = "[[{body: {width: 8}, repeat: 2}]]"
    graph = compiled(unit(paths, stages, params="[width]"), tmp_path)
    assert [body(graph, i).block.output for i in (0, 1)] == ["bn1", "out_relu"]
    assert body(graph, 1).steps[-2].inputs == ("x", "bn1")


# --- several inputs and outputs -----------------------------------------------------------

UNET = """
units:
  conv3:
    params: [width]
    paths: {out: {from: x, ops: [{conv: {kernel: 3, channels: width}}, bn, relu]}}
  down: {paths: {out: {from: x, ops: [{max_pool: {kernel: 2, stride: 2}}, {conv3: {width: 2 * in}}]}}}
  merge:
    inputs: [below, skip]
    paths:
      a: {from: below, ops: [{conv: {kernel: 1, channels: skip.c}}]}
      out: {from: [a, skip], ops: [add]}
network:
  input: [3, 8, 8]
  stages:
    c1: [{conv3: {width: 8}}]
    c2: [down]
    back: {from: c2, units: [{conv3: {width: 8}}]}
    side: {from: [back, c2], units: [merge, {conv3: {width: 4}}]}
  outputs: {map: side, first: c1}
"""


def test_stages_by_name(tmp_path: Path) -> None:
    graph = compiled(UNET, tmp_path)
    assert graph.network.outputs == {"map": (4, 4, 4), "first": (8, 8, 8)}
    names = {layer for layer, _ in graph.network.weights}
    assert {"c1.0.conv1", "c2.0.conv3.conv1", "side.0.a_conv", "side.1.conv1"} <= names
    rows = {row.name: row.inputs for row in graph.network.block.rows}
    assert rows == {
        "stem": ("x",),
        "c1": ("stem",),
        "c2": ("c1",),
        "back": ("c2",),
        "side": ("back", "c2"),
    }


def test_a_unit_of_several_outputs(tmp_path: Path) -> None:
    spec = """
units:
  fork:
    outputs: [a, b]
    paths: {a: {from: x, ops: [relu]}, b: {from: x, ops: [bn]}}
  join:
    inputs: [left, right]
    paths: {out: {from: [left, right], ops: [add]}}
  body:
    paths:
      s: {from: x, ops: [fork]}
      t: {from: [s.b, s.a], ops: [join]}
      u: {from: x, ops: [fork, join]}
      out: {from: [t, u], ops: [add]}
network:
  input: [4, 8, 8]
  stages:
    one: [body, fork]
    two: [join]
    three: {from: [one.b, one.a], units: [join]}
  outputs: {p: two, q: three, r: one.a}
"""
    graph = compiled(spec, tmp_path)
    assert [*graph.network.outputs] == ["p", "q", "r"]
    reads = {node.name: node.inputs for node in body(graph).steps}
    assert reads["t_join.add1"] == ("s_fork.b_bn", "s_fork.a_relu")
    rows = {row.name: row.inputs for row in graph.network.block.rows}
    assert rows["two"] == ("one.a", "one.b")
    assert rows["three"] == ("one.b", "one.a")


def test_stems_and_heads_with_paths(tmp_path: Path) -> None:
    spec = """
units: {body: {paths: {out: {from: x, ops: [relu]}}}}
network:
  input: [3, 8, 8]
  stem:
    paths:
      a: {from: x, ops: [{conv: {kernel: 3, channels: 4}}]}
      b: {from: x, ops: [{conv: {kernel: 1, channels: 4}}]}
      out: {from: [a, b], ops: [concat, bn]}
  stages: {c: [body], d: [body]}
  head:
    from: [c, d]
    inputs: [first, second]
    paths:
      one: {from: first, ops: [global_avg_pool]}
      two: {from: second, ops: [global_avg_pool]}
      out: {from: [one, two], ops: [concat, {linear: {features: 5}}]}
"""
    graph = compiled(spec, tmp_path)
    names = {layer for layer, _ in graph.network.weights}
    assert names == {"stem_a_conv", "stem_b_conv", "stem_bn", "head_linear"}
    assert graph.network.outputs == {"out": (5,)}
    assert graph.network.shapes["head"] == (5,)


def test_names_of_modules_are_fine_for_paths(tmp_path: Path) -> None:
    paths = """
      half: {from: x, ops: [relu]}
      double: {from: x, ops: [bn]}
      input: {from: x, ops: [sigmoid]}
      out: {from: [half, double, input], ops: [add]}
"""
    graph = compiled(unit(paths), tmp_path)
    assert body(graph).steps[0].name == "half_relu"


@pytest.mark.parametrize("name", ["torch", "nn", "self", "Self", "functional"])
def test_names_that_generated_code_needs_are_not(name: str, tmp_path: Path) -> None:
    paths = f"      {name}: {{from: x, ops: [relu]}}\n      out: {{from: {name}, ops: [bn]}}"
    (message,) = refused(unit(paths), tmp_path)
    assert "generated code needs it for itself" in message


# --- the text ------------------------------------------------------------------------------


def test_a_named_stage_that_has_the_usual_name_is_the_usual_one(tmp_path: Path) -> None:
    plain = compiled("units:" + SE + BODY + NETWORK, tmp_path)
    named = NETWORK.replace("    - [", "    stage1: [")
    same = compiled("units:" + SE + BODY + named, tmp_path)
    assert digest(same) == digest(plain)
    other = NETWORK.replace("    - [", "    c1: [")
    assert digest(compiled("units:" + SE + BODY + other, tmp_path)) != digest(plain)


def test_defaults_that_are_written_are_no_other_program(tmp_path: Path) -> None:
    plain = compiled("units:" + SE + BODY + NETWORK, tmp_path)
    ratio = BODY.replace("{width: width}\n", "{width: width, ratio: 4}\n")
    assert text(compiled("units:" + SE + ratio + NETWORK, tmp_path)) == text(plain)


def test_nesting_is_bounded(tmp_path: Path) -> None:
    units = ["  u0: {paths: {out: {from: x, ops: [relu]}}}"]
    units += [
        f"  u{i}: {{paths: {{out: {{from: x, ops: [u{i - 1}]}}}}}}"
        for i in range(1, 40)
    ]
    network = NETWORK.replace("{body: {width: 16}, repeat: 3}", "u39")
    (message,) = refused("units:\n" + "\n".join(units) + network, tmp_path)
    assert message == "more than 16 units within one another"


def test_doubling_is_bounded(tmp_path: Path) -> None:
    """Units that use the one before them a thousand times are counted, not walked."""
    units = ["  u0: {paths: {out: {from: x, ops: [relu]}}}"]
    units += [
        f"  u{i}: {{paths: {{out: {{from: x, ops: [{{u{i - 1}: {{}}, repeat: 1000}}]}}}}}}"
        for i in range(1, 12)
    ]
    network = NETWORK.replace("{body: {width: 16}, repeat: 3}", "u11")
    (message,) = refused("units:\n" + "\n".join(units) + network, tmp_path)
    assert "ops, and up to" in message


def test_values_are_exact(tmp_path: Path) -> None:
    graph = compiled("units:" + SE + BODY + NETWORK, tmp_path)
    assert body(graph).args == {"width": Fraction(16)}


def test_an_output_that_nothing_reads_is_told(tmp_path: Path) -> None:
    """A warning: whoever takes a part of a pyramid means it."""
    spec = UNET.replace(
        "  merge:\n",
        "  fork: {outputs: [a, b], paths: {a: {from: x, ops: [relu]}, b: {from: x, ops: [bn]}}}\n  merge:\n",
    )
    spec = spec.replace("    back:", "    two: [fork]\n    back:").replace(
        "from: c2, units: [{conv3", "from: two.a, units: [{conv3"
    )
    path = tmp_path / "net.yaml"
    path.write_text(HEADER + spec)
    compiler = Compiler()
    compiler.graphs(path)
    (warning,) = compiler.warnings[str(path)]
    assert warning.code.name == "unused-output"
    assert warning.message == "nothing reads the output 'b' of 'two'"
