"""What findings say, where a mistake has several ways to be told and one of them is right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from resgraph.compiler import Compiler
from resgraph.diagnostics import Diagnostic, SpecError, UsageError
from resgraph.values import Value
from tests.helpers import SPECS, graph_from

HEAD = "resgraph: 1\ntitle: t\n"


def findings(
    text: str, tmp_path: Path, settings: Mapping[str, Value] | None = None
) -> list[Diagnostic]:
    """All that is told of a spec, in the order of the text."""
    path = tmp_path / "spec.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    compiler = Compiler()
    try:
        compiler.graphs(path, settings=settings)
    except SpecError as error:
        return error.diagnostics
    return compiler.warnings[str(path)]


def told(text: str, tmp_path: Path) -> list[str]:
    """The code and the message of each finding, and its hint."""
    return [
        f"{f.code.name}: {f.message}" + (f" ({f.hint})" if f.hint else "")
        for f in findings(text, tmp_path)
    ]


# --- what expressions read where they stand ---------------------------------------------

UNIT = """units:
  n: {{params: [{{k: 1}}, {{a: relu}}], paths: {{out: {{from: x, ops: [{{conv: {{kernel: 1, channels: k}}}}, a]}}}}}}
network: {{input: [3, 8, 8], params: {{classes: 3, q: {param}}}, stem: [{{conv: {{kernel: 1, channels: {stem}}}}}],
  stages: [[{{n: {{k: q}}, repeat: {repeat}}}, {{n: {{k: "{arg}"}}, repeat: {later}}}]],
  head: [{{conv: {{kernel: 1, channels: {head}}}}}, {{n: {{k: {arg_in_head}}}}}, {{relu: {{}}, when: {when}}}], outputs: [head]}}
"""
VALID = {
    "param": "classes",
    "stem": "in",
    "repeat": 1,
    "arg": "in",
    "later": 1,
    "head": "in",
    "arg_in_head": "in",
    "when": "in == 3",
}


def unknown(name: str, hint: str) -> str:
    return f"unknown-parameter: unknown parameter '{name}' ({hint})"


def in_end(name: str, end: str) -> str:
    why = f"'{name}' is of a unit in a stage: the {end} has none"
    return f"unknown-parameter: {why}"


SIDES = "of what comes in, these can be read here: in, in.h, in.w"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            "param",
            "in",
            unknown("in", "'in' has a value in units, and where they stand, not here"),
        ),
        ("param", "zzz", unknown("zzz", "known here: classes")),
        ("arg", "inn", unknown("inn", "did you mean 'in'?")),
        ("arg", "z.c", unknown("z.c", SIDES)),
        ("stem", "in + zzz", unknown("zzz", "known here: classes, q")),
        ("stem", "index", in_end("index", "stem")),
        ("head", "stage", in_end("stage", "head")),
        ("arg_in_head", "index + in", in_end("index", "head")),
        ("arg_in_head", "stage", in_end("stage", "head")),
        ("when", "stage == 1", in_end("stage", "head")),
        ("when", "zzz == 1", unknown("zzz", "known here: classes, q")),
        (
            "repeat",
            "total",
            "unknown-parameter: 'total' is of each unit, and the repeat says how many "
            "there are (a repeat in a stage may read in, in.h, in.w and stage)",
        ),
        (
            "later",
            "in.h",
            "unknown-parameter: 'in.h' in a repeat is what the stage starts from, and "
            "this is not its first unit (begin a stage with it)",
        ),
    ],
)
def test_a_name_that_has_no_value_there(
    place: str, value: str, message: str, tmp_path: Path
) -> None:
    assert told(UNIT.format(**VALID), tmp_path) == []
    assert told(UNIT.format(**VALID | {place: value}), tmp_path) == [message]


def test_repeats_and_ops_read_what_comes_in_and_the_stage(tmp_path: Path) -> None:
    text = """units:
  n: {params: [a], paths: {out: {from: x, ops: [a]}}}
network:
  input: [3, 8, 8]
  stem: [{n: {a: relu}, repeat: in - 1}]
  stages:
    c1: [{n: {a: {scale: {factor: stage + 2}}}, repeat: in}, {n: {a: relu}, repeat: stage + 2}]
    c2: [{n: {a: {scale: {factor: stage + 2}}}, repeat: in.h // 4 + stage}]
  outputs: [c2]
"""
    graph = graph_from(HEAD + text, tmp_path)
    counts = [[run.count for run in runs] for _, runs in graph.stages]
    assert counts == [[3, 2], [3]]
    stem = graph.stem
    assert stem is not None
    assert len(stem.steps) == 2
    factors = [runs[0][0].steps[0].op.attributes() for _, runs in graph.stages]
    assert factors == [{"factor": 2}, {"factor": 3}]


def test_a_head_reads_sides_of_each_of_its_inputs(tmp_path: Path) -> None:
    text = """units:
  n: {params: [k], paths: {out: {from: x, ops: [{conv: {kernel: 1, channels: k}}]}}}
network:
  input: [3, 8, 8]
  stages: {c1: [{n: {k: 4}}], c2: [{n: {k: 6}}]}
  head:
    inputs: [p, q]
    from: [c2, c1]
    paths:
      r: {from: p, when: p.c != q.c, ops: [{n: {k: q.c}}, {conv: {kernel: 1, channels: q.c}}]}
      out: {from: [r, q], ops: [add]}
"""
    head = graph_from(HEAD + text, tmp_path).end("head")
    assert head is not None
    assert head.output == (4, 8, 8)


# --- what a unit's own expressions read ---------------------------------------------------

ONE = """units:
  i: {{inputs: [{inputs}], paths: {{out: {{from: [{inputs}], ops: [add, {op}, relu]}}}}}}
network: {{input: [3, 8, 8], stages: {{c1: {{from: [{given}], units: [i]}}}}, outputs: [c1]}}
"""


def one(op: str, inputs: str = "x") -> str:
    text = ONE.format(op=op, inputs=inputs, given=", ".join("x" for _ in inputs[::3]))
    return text if "," in inputs else text.replace("ops: [add, ", "ops: [")


@pytest.mark.parametrize("inputs", ["x", "x, s", "s, x"])
def test_x_is_an_input_as_any_other(inputs: str, tmp_path: Path) -> None:
    op = "{conv: {kernel: 1, channels: x.c + x.h, bias: false}, when: x.w > 1}"
    graph = graph_from(HEAD + one(op, inputs), tmp_path)
    assert graph.network.output == (11, 8, 8)
    if inputs[0] == "x":
        assert "x.c" not in str(graph.units["i"].nodes)


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ("rel", "unknown-op: unknown op 'rel' (did you mean 'relu'?)"),
        (
            "{conv: {kernel: 1, channels: in, bias: in}}",
            "wrong-type: 'in' is a number, and is used as true or false here",
        ),
        (
            "{bn: {}, when: 'in[0] > 1'}, {bn: {}, when: in > 3}",
            "wrong-type: 'in' is a number, and is used as a list here",
        ),
        (
            "{conv: {kernel: 1, channels: in.d}}",
            "invalid-expression: there is no 'in.d': a value has the sides .c, .h and .w",
        ),
    ],
)
def test_what_a_unit_reads(op: str, message: str, tmp_path: Path) -> None:
    assert told(one(op), tmp_path) == [message]


# --- outputs -----------------------------------------------------------------------------

OUTPUTS = """units:
  n: {{outputs: {unit}, paths: {{a: {{from: x, ops: [relu]}}, b: {{from: x, ops: [bn]}}{more}}}}}
network:
  input: [3, 8, 8]
  stages: {{c1: [n], c2: {{from: c1.a, units: [n]}}, {stage}: {{from: c1.a, units: [n]}}}}
  outputs: {network}
"""


@pytest.mark.parametrize(
    ("changed", "messages"),
    [
        ({"unit": "[a, b, a]"}, ["duplicate-key: the name 'a' is listed twice"]),
        (
            {"network": "[c1.b, c2.a, c2.b, c3.a]"},
            [
                "name-clash: 'c1.b' and 'c2.b' would both be called 'b' "
                "(name them: outputs: {NAME: c1.b, ...})",
                "name-clash: 'c2.a' and 'c3.a' would both be called 'a' "
                "(name them: outputs: {NAME: c2.a, ...})",
            ],
        ),
        (
            {"more": ", out: {from: x, ops: [relu, bn]}"},
            [
                "unused-path: the path 'out' never reaches an output of 'n': its 2 ops "
                "would be computed for nothing (start another path from 'out', or remove it)"
            ],
        ),
    ],
)
def test_outputs(changed: dict[str, str], messages: list[str], tmp_path: Path) -> None:
    valid = {
        "unit": "[a, b]",
        "more": "",
        "stage": "c3",
        "network": "{p: c1.b, q: c2.a, r: c2.b, s: c3.a, t: c3.b}",
    }
    assert told(OUTPUTS.format(**valid), tmp_path) == []
    assert told(OUTPUTS.format(**valid | changed), tmp_path) == messages


def test_an_output_called_as_a_stage_that_is_refused_is_told_once(
    tmp_path: Path,
) -> None:
    text = """units:
  n: {paths: {out: {from: x, ops: [relu]}}}
network: {input: [3, 8, 8], stages: {c1: [n], self: {from: c1, units: [n]}}, outputs: [c1, self]}
"""
    why = "'self' cannot be a name: generated code needs it for itself"
    assert told(text, tmp_path) == [f"invalid-name: {why}"]


# --- one finding, and each use -----------------------------------------------------------

HALF = """units:
  i: {params: [w], paths: {out: {from: x, ops: [{conv: {kernel: 1, channels: w / 2}}]}}}
  o: {params: [w], paths: {out: {from: x, ops: [{i: {w: w}}]}}}
network: {input: [3, 8, 8], outputs: [c1], stages: {c0: [{i: {w: 2}}, {o: {w: 2}}], c1: [USES]}}
"""


@pytest.mark.parametrize(
    ("uses", "notes"),
    [
        ("{i: {w: 3}}, {i: {w: 4}}", ["in the stage 'c1': i(w=3)"]),
        (
            "{i: {w: 3}}, {i: {w: 5}}, {i: {w: 3}}",
            [
                "in the stage 'c1': i(w=3)",
                "also in the stage 'c1': i(w=5)",
                "also in the stage 'c1': i(w=3)",
            ],
        ),
        (
            "{o: {w: 3}, repeat: 9}, {o: {w: 5}}",
            [
                "in the unit 'o': i(w=w)",
                "in the stage 'c1': o(w=3) x 9",
                "also in the stage 'c1': o(w=5)",
            ],
        ),
        (
            ", ".join(f"{{i: {{w: {2 * n + 1}}}}}" for n in range(1, 100)),
            [
                "in the stage 'c1': i(w=3)",
                "also in the stage 'c1': i(w=5)",
                "also in the stage 'c1': i(w=7)",
                "also in the stage 'c1': i(w=9)",
                "and in 95 more",
            ],
        ),
    ],
)
def test_one_mistake_names_its_uses(
    uses: str, notes: list[str], tmp_path: Path
) -> None:
    (found,) = findings(HALF.replace("USES", uses), tmp_path)
    why = "'w / 2' comes out as 1.5 with w = 3, not whole"
    assert found.message == why
    assert [note.message for note in found.notes] == notes


def test_ranks_behind_an_op_of_another_rank_are_not_compared(tmp_path: Path) -> None:
    text = """units:
  n: {paths: {F: {from: x, ops: [{linear: {features: in}}, relu, {linear: {features: in}}]}, out: {from: [x, F], ops: [add]}}}
  m: {inputs: [a, b], paths: {out: {from: [a, b], ops: [add]}}}
  l: {paths: {out: {from: x, ops: [{linear: {features: 8}}]}}}
network:
  input: [4, 8]
  stages: {a: [n], b: {from: stem, units: [l, l]}, c: {from: [b, a], units: [m]}}
  outputs: [c]
"""
    found = findings(text, tmp_path)
    assert {each.code.name for each in found} == {"wrong-rank"}
    assert {each.span.line for each in found if each.span} == {4, 6}


# --- values that are set from outside ------------------------------------------------------

SET = """units:
  n: {params: [a, k], paths: {out: {from: x, ops: [{conv: {kernel: 1, channels: k}}, a]}}}
network:
  params: {act: relu, width: 4, twice: 2 * width, widths: [1, 2]}
  input: [3, 8, 8]
  stages: {c1: [{n: {a: act, k: width}}], c2: [{n: {a: act, k: twice}}, {n: {a: act, k: "widths[0]"}}]}
  outputs: [c2]
networks:
  net: VALUES
"""


@pytest.mark.parametrize(
    ("values", "message", "notes"),
    [
        (
            "{act: 3}",
            "'a' of 'n' is 3, and is used as an op",
            ["it is read here", "it is used here"],
        ),
        (
            "{width: relu}",
            "'width' is an op, and a number is needed here",
            ["it is read here"],
        ),
        (
            "{widths: 2}",
            "'k' of 'n': 'widths' is a number, and a list is needed in 'widths[0]'",
            ["it is read here"],
        ),
        (
            "{widths: [width, width]}",
            "'[width, width]' has parameters, and networks set plain numbers",
            [],
        ),
    ],
)
def test_a_wrong_value_of_a_network_is_told_where_it_is_set(
    values: str, message: str, notes: list[str], tmp_path: Path
) -> None:
    (found,) = findings(SET.replace("VALUES", values), tmp_path)
    assert found.message == message
    assert found.span is not None
    assert found.span.line == 11
    assert [note.message for note in found.notes] == notes


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("act=3", "in the spec 'act' is an op, not a number"),
        ("act=true", "in the spec 'act' is an op, not true or false"),
        ("act=foo", "unknown op 'foo'"),
        (
            "act=conv",
            "the op is written with its attributes, conv(NAME=VALUE, ...)",
        ),
        ("widths=[[1],[2]]", "a list has numbers, and no lists"),
    ],
)
def test_a_setting_of_another_kind(setting: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        graph_from(HEAD + SET.partition("networks")[0], tmp_path, setting)
    assert caught.value.message == f"--set {setting}: {why}"


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("act=rleu", "did you mean 'relu'?"),
        ("width=off", "false is written so, without quotes"),
    ],
)
def test_what_a_setting_means(setting: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        graph_from(HEAD + SET.partition("networks")[0], tmp_path, setting)
    assert caught.value.hint == hint


@pytest.mark.parametrize("key", ["keyed: 3", "from_: x", "name: foo"])
def test_no_key_is_known_by_a_name_of_our_own(key: str, tmp_path: Path) -> None:
    text = f"""units:
  n: {{paths: {{out: {{from: x, ops: [relu]}}}}}}
network: {{input: [3, 8, 8], stem: {{{key}, ops: [relu]}}, stages: [{{{key}, units: [n]}}], outputs: [stage1]}}
"""
    found = findings(text, tmp_path)
    keys = [each.message for each in found if each.code.name == "unknown-key"]
    assert keys == [f"unknown key '{key.partition(':')[0]}'"] * 2
    assert "keyed" not in "".join(each.hint or "" for each in found)


# --- kinds of values ----------------------------------------------------------------------

KINDS = """units:
  n: {params: [{a: relu}, {b: false}, {z: 0}], paths: {out: {from: x, ops: [{conv: {kernel: 3, channels: in, bias: b, padding: z}}, a]}}}
network: {input: [3, 8, 8], stages: [[{n: {ARGUMENT}}]], outputs: [stage1]}
"""
CONDITION = "comparisons and 'and', 'or', 'not' stand only under 'when'"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "a: [relu, bn]",
            "wrong-type: 'a' of 'n' is [relu, bn], and is used as an op",
        ),
        (
            "a: {relu: {}, bn: {}}",
            "wrong-form: expected one op with its attributes, got 2 keys",
        ),
        (
            "a: ~",
            "wrong-type: expected a value, got nothing (leave it out where its default is meant)",
        ),
        ("b: 1 > 0", f"invalid-expression: '1 > 0' is a condition: {CONDITION}"),
        ("b: 'true'", unknown("true", "true is written so, without quotes")),
        ("b: no", unknown("no", "false is written so, without quotes")),
        (
            "z: 1 + relu",
            unknown("relu", "'relu' is an op, and here stands a name of a number"),
        ),
    ],
)
def test_a_value_of_another_kind(argument: str, message: str, tmp_path: Path) -> None:
    assert told(KINDS.replace("ARGUMENT", argument), tmp_path) == [message]


def test_an_op_is_no_item_of_a_list(tmp_path: Path) -> None:
    text = """units:
  n: {params: [acts], paths: {out: {from: x, ops: ["acts[index]"]}}}
network: {input: [3, 8, 8], stages: [[{n: {acts: [1, 2]}}]], outputs: [stage1]}
"""
    hint = "lists are of numbers: let each op be a parameter, params: [{act: relu}]"
    assert told(text, tmp_path) == [f"unknown-op: unknown op 'acts[index]' ({hint})"]


def test_misspelt_keys_of_a_stage_and_of_the_head(tmp_path: Path) -> None:
    text = """units:
  n: {paths: {out: {from: x, ops: [relu]}}}
network: {input: [3, 8, 8], stages: {c1: [n], c2: {form: c1, unit: [n]}}, head: {form: c2, opps: [bn]}}
"""
    found = [each.partition(": ")[2] for each in told(text, tmp_path)]
    meant = [("form", "from"), ("unit", "units"), ("form", "from"), ("opps", "ops")]
    assert found == [f"unknown key '{a}' (did you mean '{b}'?)" for a, b in meant]


def test_hints_at_classes_agree(tmp_path: Path) -> None:
    text = """units:
  n: {paths: {out: {from: x, ops: [relu]}}}
network: {params: {classes: 3}, input: [3, 8, 8], stages: [[n]], head: [global_avg_pool, {linear: {features: 4}}]}
"""
    hints = [found.hint or "" for found in findings(text, tmp_path)]
    assert all("linear: {features: classes}" in hint for hint in hints)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("head: [", "head: {conv: , from: }\nnetworks: ["),
        ("params: [width,", "params: [{3: {}}, width,"),
        ("add, relu", "{add: {name: [1]}, paths: []}"),
        ("add, relu", "{add: {name: a b}, paths: []}"),
        ("units:\n", "units:\nx:\n"),
        ("{body: {width: 8}, repeat: n}", "{name: {x: {}, '?': {}}}"),
    ],
)
def test_what_is_wrong_twice_over_is_told_and_not_raised(
    old: str, new: str, tmp_path: Path
) -> None:
    text = (SPECS / "tiny.yaml").read_text()
    assert old in text
    path = tmp_path / "spec.yaml"
    path.write_text(text.replace(old, new, 1))
    _, findings = Compiler().drafts(path)
    assert findings
