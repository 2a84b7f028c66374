"""`extends`: what is told of a spec that reads what is removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extending import (
    TINY,
    findings,
    resolved,
    written,
)

READERS = [
    ("units: {body: {paths: {F: ~}}}", "unknown-value", "'F' is removed here"),
    ("units: {body: {paths: {out: ~}}}", "missing-output", "'out' is removed here"),
    ("units: {body: ~, o: {paths: {out: {from: x, ops: [relu]}}}}", "unknown-unit",
     "'body' is removed here"),
    ("units: {body: {params: ~}}", "unknown-parameter", "'params' is removed here"),
    ("network: {params: {n: ~}}", "unknown-parameter", "'n' is removed here"),
    ("network: {params: {depth: ~}}", "unknown-parameter", "'depth' is removed here"),
    ("network: {params: ~}", "unknown-parameter", "'params' is removed here"),
    ("network: {params: {depth: ~, n: 1}}\nnetworks: {big: {depth: 14}}",
     "unknown-parameter", "'depth' is removed here"),
    ("network: {head: ~}", "missing-key", "'head' is removed here"),
    ("network: ~", "missing-key", "'network' is removed here"),
    ("title: ~", "missing-key", "'title' is removed here"),
    ("units: {body: {paths: {F: {ops: ~}}}}", "missing-key", "'ops' is removed here"),
]  # fmt: skip


@pytest.mark.parametrize(("own", "code", "note"), READERS)
@pytest.mark.parametrize("by", ["top", "below"])
def test_what_reads_a_removed_key(
    own: str, code: str, note: str, by: str, tmp_path: Path
) -> None:
    """Both lines are told: what reads it, and who removed it, the spec or one below."""
    if by == "below":
        if "networks" in own:
            pytest.skip("these are the spec's own")
        written(
            tmp_path,
            less=f"resgraph: 1\n{own}\n",
            top="extends: [base.yaml, less.yaml]\n",
        )
        remover = "less.yaml"
    else:
        written(tmp_path, top=f"extends: base.yaml\n{own}\n")
        remover = "top.yaml"
    (tmp_path / "base.yaml").write_text(TINY)
    found = [f for f in findings(tmp_path / "top.yaml") if f.code.name == code]
    assert found
    for finding in found:
        (last,) = finding.notes
        assert last.message == note
        assert last.span is not None
        assert Path(last.span.file).name == remover
    assert {f.code.name for f in findings(tmp_path / "top.yaml")} <= {
        code,
        "unknown-argument",  # of a unit whose parameters are removed
    }


NESTED = """\
resgraph: 1
title: Blocks within blocks
units:
  gate: {paths: {out: {from: x, ops: [sigmoid]}}}
  body: {paths: {F: {from: x, ops: [bn, gate]}, out: {from: [x, F], ops: [mul]}}}
  merge: {inputs: [below, skip], paths: {out: {from: [below, skip], ops: [add]}}}
network:
  input: [3, 8, 8]
  stem: {paths: {a: {from: x, ops: [bn]}, out: {from: a, ops: [relu]}}}
  stages:
    c2: [body]
    c3: [body]
    d2: {from: [c3, c2], units: [merge]}
  outputs: {p2: d2, p3: c3}
"""


@pytest.mark.parametrize(
    ("own", "name", "line"),
    [
        ("units: {gate: ~}", "gate", 5),
        ("units: {merge: {inputs: ~}}", "inputs", 6),
        ("network: {stem: {paths: {a: ~}}}", "a", 9),
        ("network: {stages: {c2: ~}}", "c2", 13),
        ("network: {stages: {d2: ~}}", "d2", 14),
    ],
)
def test_what_reads_a_removed_block_stage_or_value(
    own: str, name: str, line: int, tmp_path: Path
) -> None:
    top = f"extends: [base.yaml]\n{own}\n"
    found = findings(written(tmp_path, base=NESTED, top=top))
    noted = f"'{name}' is removed here"
    lines = {
        f.span and f.span.line for f in found for n in f.notes if n.message == noted
    }
    assert lines == {line}


def test_an_output_and_a_stage_are_removed_together(tmp_path: Path) -> None:
    top = "extends: [base.yaml]\nnetwork: {stages: {d2: ~}, outputs: {p2: ~}}\n"
    network = resolved(written(tmp_path, base=NESTED, top=top))["network"]
    assert [*network["stages"]] == ["c2", "c3"]
    assert network["outputs"] == {"p3": "c3"}


@pytest.mark.parametrize("params", ["{width: ~, stride: 1}", "[width, {stride: 1}]"])
def test_an_argument_for_a_removed_parameter(params: str, tmp_path: Path) -> None:
    base = TINY.replace("[width, {stride: 1}]", params)
    top = "extends: base.yaml\nunits: {body: {params: {stride: ~}}}\n"
    found = findings(written(tmp_path, base=base, top=top))
    codes = ["unknown-parameter", "unknown-parameter", "unknown-argument"]
    assert [f.code.name for f in found] == codes
    assert {f.notes[0].message for f in found} == {"'stride' is removed here"}


def test_of_the_same_name_elsewhere_nothing_is_noted(tmp_path: Path) -> None:
    """A removed path of one unit is not what another unit lacks."""
    other = (
        "other: {paths: {G: {from: F, ops: [relu]}, out: {from: [x, G], ops: [add]}}}"
    )
    top = f"extends: base.yaml\nunits: {{body: {{paths: {{F: ~}}}}, {other}}}\n"
    found = findings(written(tmp_path, base=TINY, top=top))
    lacking = [f.notes for f in found if f.code.name == "unknown-value"]
    assert [len(notes) for notes in lacking] == [1, 0]


@pytest.mark.parametrize(
    ("own", "name", "hint"),
    [
        ("units: {body: {paths: {f: ~}}}", "f", "did you mean 'F'?"),
        ("units: {boddy: ~}", "boddy", "did you mean 'body'?"),
        ("network: {params: {dept: ~}}", "dept", "did you mean 'depth'?"),
        ("network: {params: {zzz: ~}}", "zzz", "known here: classes, depth, n"),
        ("allow: ~", "allow", None),
        ("train: {batch: ~}", "batch", None),
        ("units: {body: {paths: {N: {from: ~, ops: [relu]}}}}", "from", None),
    ],
)
def test_nothing_of_that_name_to_remove(
    own: str, name: str, hint: str | None, tmp_path: Path
) -> None:
    found = findings(written(tmp_path, base=TINY, top=f"extends: base.yaml\n{own}\n"))
    (vain,) = [f for f in found if f.code.name == "unknown-key"]
    assert vain.message == f"there is no '{name}' here to remove"
    assert hint is None or vain.hint == hint
    assert found == [vain]


def test_a_null_of_the_lowest_file_is_told_as_ever(tmp_path: Path) -> None:
    base = TINY.replace("  input: [", "  input: ~ # [")
    for top in ("extends: base.yaml\n", "extends: base.yaml\ntitle: other\n"):
        (found,) = findings(written(tmp_path, base=base, top=top))
        assert found.message == "expected a list, got nothing"


def test_what_is_not_read_may_have_what_is_to_be_removed(tmp_path: Path) -> None:
    top = "extends: [base.yaml, nowhere.yaml]\nunits: {body: {paths: {G: ~}}}\n"
    (found,) = findings(written(tmp_path, base=TINY, top=top))
    assert found.code.name == "unreadable-extends"
