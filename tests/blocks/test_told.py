"""What is told of blocks within blocks: what a finding points at, its message, its hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.diagnostics import Span
from tests.helpers import graph_from
from tests.test_findings import HEAD, findings

ADD = "n: {inputs: [a, b], paths: {out: {from: [a, b], ops: [add]}}}"
ONE = "n: {paths: {out: {from: x, ops: [relu]}}}"
ACT = "n: {params: [act], paths: {out: {from: x, ops: [act]}}}"
WIDE = (
    "n: {params: [w], paths: {out: {from: x, ops: [{conv: {kernel: 1, channels: w}}]}}}"
)
OUTER = "u: {paths: {out: {from: x, ops: [{n: {w: 10000000}}, {n: {w: 8}}]}}}"
TWICE = (
    "  input: [3, 16, 16]\n  stages: {s: {from: [x, x], units: [n]}}\n  outputs: [s]\n"
)


def marked(text: str, tmp_path: Path) -> list[str]:
    """Each finding and its notes with what they point at, and the hint."""
    lines = (HEAD + text).splitlines()

    def at(span: Span | None) -> str:
        return lines[span.line - 1][span.col - 1 : span.end_col - 1] if span else "-"

    return [
        " | ".join(
            [
                f"{at(found.span)}: {found.message}",
                *(f"{at(note.span)}: {note.message}" for note in found.notes),
                *([found.hint] if found.hint else []),
            ]
        )
        for found in findings(text, tmp_path)
    ]


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        (
            ADD.replace("inputs: [a, b]", "inputs: [a, b, a]"),
            "a: the name 'a' is listed twice",
        ),
        (
            ADD.replace("from: [a, b]", "from: [b, b]"),
            "a: the input 'a' never reaches 'out' | remove it",
        ),
        (
            ADD.replace("{out:", "{b: {from: a, ops: [relu]}, out:"),
            "b: the path 'b' and the input 'b' would both be 'b' | "
            "b: the other is here | rename one",
        ),
        (
            ADD.replace("[add]", "[add, {scale: {factor: c.c}}]"),
            "c.c: the unit 'n' has no input 'c' | did you mean 'a.c'?",
        ),
    ],
)
def test_inputs_of_a_unit(unit: str, told: str, tmp_path: Path) -> None:
    assert marked(f"units:\n  {unit}\nnetwork:\n{TWICE}", tmp_path) == [told]


NOT_HERE = "'n' is a unit, and here stands an op's name"


@pytest.mark.parametrize(
    ("unit", "use", "told"),
    [
        (ACT, "{n: {act: n}}", f"n: unknown op 'n' | {NOT_HERE}"),
        (ACT, "{n: {act: {n: {}}}}", f"{{n: {{}}}}: unknown op 'n' | {NOT_HERE}"),
        (
            ONE,
            "{n: {name: abc}}",
            "name: unit 'n' has no parameter 'name' | units of a stage are numbered; "
            "the stage may have a name: c1: [...]",
        ),
        (
            ONE,
            "{n: {when: in == 3}}",
            "when: unit 'n' has no parameter 'when' | a unit of a stage is always there; "
            "within a unit, it may be left out",
        ),
        (
            ONE,
            "{n: {repeat: 2}}",
            "repeat: unit 'n' has no parameter 'repeat' | write it beside the unit: "
            "{n: {...}, repeat: ...}",
        ),
        (
            ONE.replace("relu", "{v: {when: in == 3}}")
            + "\n  v: {paths: {out: {from: x, ops: [bn]}}}",
            "n",
            "when: unit 'v' has no parameter 'when' | write it beside the unit: "
            "{v: {...}, when: ...}",
        ),
        (
            ONE.replace("relu", "{relu: {when: in == 3}}"),
            "n",
            "when: unknown key 'when' | write it beside the op: {relu: {...}, when: ...}",
        ),
        (
            ONE.replace("paths", "params: [{a: a}], paths").replace(
                "relu", "{scale: {factor: a}}"
            ),
            "n",
            "{a: a}: 'a' has no value yet at this line | it needs itself",
        ),
        (
            ONE.replace("paths", "params: k, paths"),
            "n",
            "k: expected a mapping, got the text 'k' | params: [width, {stride: 1}]",
        ),
    ],
)
def test_a_use_of_a_unit(unit: str, use: str, told: str, tmp_path: Path) -> None:
    network = TWICE.replace("{from: [x, x], units: [n]}", f"[{use}]")
    assert marked(f"units:\n  {unit}\nnetwork:\n{network}", tmp_path) == [told]


def test_a_spec_without_units_has_none_of_that_name(tmp_path: Path) -> None:
    network = TWICE.replace("stages:", "stem: [network]\n  stages:", 1)
    found = marked(f"network:\n{network}", tmp_path)
    assert any("unknown op 'network'" in each for each in found)
    assert not any("unit 'network'" in each or "is a unit" in each for each in found)


SHARED = """units:
  v: {paths: {out: {from: x, ops: [bn]}}}
  w: {params: [{v: relu}], paths: {out: {from: x, ops: [v, USE]}}}
  n: {paths: {out: {from: x, ops: [v, {v: {}, repeat: 2, name: q}]}}}
network:
  input: [3, 16, 16]
  stages: {s: [n, w]}
  outputs: [s]
"""


def test_a_parameter_is_one_of_its_unit_alone(tmp_path: Path) -> None:
    graph = graph_from(HEAD + SHARED.replace("USE", "{v: {}, repeat: 2}"), tmp_path)
    found = (run.instances[0].flat.block for _, runs in graph.stages for run in runs)
    kinds = [[node.op.kind for node in block.ops] for block in found]
    assert kinds == [["bn"] * 3, ["relu", "bn", "bn"]]


@pytest.mark.parametrize(
    ("beside", "hint"),
    [
        ("repeat: 2", "units are repeated: make one of the ops"),
        ("name: q", "'act' is a parameter: its name stands where it gets its value"),
    ],
)
def test_beside_a_parameter_stands_a_condition_alone(
    beside: str, hint: str, tmp_path: Path
) -> None:
    unit = ACT.replace("ops: [act]", f"ops: [{{act: {{}}, {beside}}}]")
    network = TWICE.replace("{from: [x, x], units: [n]}", "[{n: {act: relu}}]")
    key = beside.partition(":")[0]
    assert marked(f"units:\n  {unit}\nnetwork:\n{network}", tmp_path) == [
        f"{key}: unknown key '{key}' | {hint}"
    ]


def test_units_that_are_a_list(tmp_path: Path) -> None:
    (told,) = marked(f"units:\n  - {ONE}\nnetwork:\n{TWICE}", tmp_path)
    assert told.endswith("expected a mapping, got a list")


def test_the_head_is_no_stage(tmp_path: Path) -> None:
    network = TWICE.replace("{from: [x, x], units: [n]}", "[n]")
    network = network.replace("outputs: [s]", "head: {from: t, ops: [relu]}")
    assert marked(f"units:\n  {ONE}\nnetwork:\n{network}", tmp_path) == [
        "t: the head starts from an unknown value 't' | known here: s, stem, x"
    ]


def test_a_number_of_a_list_that_is_none_of_the_kind(tmp_path: Path) -> None:
    network = "  params: {p: [1, 2]}\n" + TWICE.replace(
        "{from: [x, x], units: [n]}", '[{n: {}, repeat: "p[0] - 1"}]'
    )
    assert marked(f"units:\n  {ONE}\nnetwork:\n{network}", tmp_path) == [
        "\"p[0] - 1\": the repeat 'p[0] - 1' comes out as 0 with p = [1, 2], and must be a "
        "positive whole number | [1, 2]: p = [1, 2] is given here"
    ]


@pytest.mark.parametrize(
    ("network", "notes"),
    [
        (
            TWICE.replace("{from: [x, x], units: [n]}", "[u]"),
            "n: in the unit 'u': n(w=10000000) | u: in the stage 's': u()",
        ),
        (
            TWICE.replace("{s: {from: [x, x], units: [n]}}", "[[u]]").replace(
                "[s]", "[stage1]"
            ),
            "n: in the unit 'u': n(w=10000000) | u: in stage 1: u()",
        ),
        (
            TWICE.replace("{s: {from: [x, x], units: [n]}}", "[[{n: {w: 3}}]]").replace(
                "  outputs: [s]", "  head: [u]"
            ),
            "n: in the unit 'u': n(w=10000000) | u: in the head: u()",
        ),
    ],
)
def test_how_a_unit_that_is_too_large_is_used(
    network: str, notes: str, tmp_path: Path
) -> None:
    text = f"units:\n  {WIDE}\n  {OUTER}\nnetwork:\n{network}"
    (told,) = marked(text, tmp_path)
    assert told.endswith(f"1,073,741,824 are taken | {notes}")


def test_a_head_with_paths_names_what_it_starts_from(tmp_path: Path) -> None:
    head = "  head: {from: [s, x], paths: {out: {from: x, ops: [relu]}}}\n"
    network = TWICE.replace("{from: [x, x], units: [n]}", "[n]")
    network = network.replace("  outputs: [s]\n", head)
    assert marked(f"units:\n  {ONE}\nnetwork:\n{network}", tmp_path) == [
        "head: 'head' takes one value (x), and gets 2 | name them: inputs: [s, x]"
    ]
