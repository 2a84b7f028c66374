"""What findings say, where a mistake has several ways to be told and one of them is right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from resgraph.compiler import Compiler
from resgraph.diagnostics import Diagnostic, SpecError
from resgraph.values import Value
from tests.helpers import graph_from

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
