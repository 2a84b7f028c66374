"""The catalogue of findings: every example is run, and says what its code stands for."""

from __future__ import annotations

import json
import re

import pytest

from resgraph.codes import CODES, SPEC
from resgraph.diagnostics import Code, Severity
from resgraph.explain import explanation, findings, specs
from tests.conftest import ROOT
from tests.test_cli import resgraph

RUN = [code for code in CODES.values() if code.example is not None]


def test_codes_are_named_as_the_field_does() -> None:
    for name, code in CODES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", name)
        assert code.summary.endswith(".")
        assert len(code.summary) <= 90
    assert len(CODES) == len({code.summary for code in CODES.values()})


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.name)
def test_every_code_is_explained(code: Code) -> None:
    assert code.why.endswith(".")
    assert code.example is not None


@pytest.mark.parametrize("code", RUN, ids=lambda code: code.name)
def test_the_example_has_that_finding_and_no_other(code: Code) -> None:
    assert code.example is not None
    wrong, right = specs(code.example)
    assert wrong != right
    assert {f.code.name for f in findings(wrong, code.by_prove)} == {code.name}
    assert findings(right, code.by_prove) == []
    assert f": {code.severity}[{code.name}]: " in explanation(code)


def test_the_examples_change_a_spec_without_findings() -> None:
    assert findings(SPEC, by_prove=True) == []


def test_every_code_is_used() -> None:
    """By its constant, or by its name where pydantic is told of it."""
    package = ROOT / "resgraph"
    catalogue = (package / "codes.py").read_text()
    others = [p.read_text() for p in package.rglob("*.py") if p.name != "codes.py"]
    constants = re.findall(r"^([A-Z_]+) = Code\(\s*\"([a-z-]+)\"", catalogue, re.M)
    assert [name for _, name in constants] == [*CODES]
    for constant, name in constants:
        ways = (f"codes.{constant}", f'"{name}"')
        assert any(way in source for source in others for way in ways), name


def test_explain_lists_all() -> None:
    table = resgraph("explain").stdout.splitlines()
    assert [line.split()[:2] for line in table] == [
        [code.name, code.severity.value] for code in CODES.values()
    ]
    listed = json.loads(resgraph("explain", "--json").stdout)
    assert [entry["code"] for entry in listed] == [*CODES]
    assert {entry["severity"] for entry in listed} == {s.value for s in Severity}


def test_explain_one() -> None:
    shown = resgraph("explain", "shape-mismatch").stdout
    before, mended = shown.split("mended:")
    assert "- conv: {kernel: 3, channels: width, stride: 2}\n" in before
    assert "add needs equal shapes" in before
    assert "- conv: {kernel: 3, channels: width}\n" in mended
    assert "stride" not in mended
    told = json.loads(resgraph("explain", "shape-mismatch", "--json").stdout)
    assert told["found_by"] == "check"
    assert "error[shape-mismatch]" in told["example"]["told"]


def test_explain_an_unknown_code() -> None:
    result = resgraph("explain", "shape-mismatched")
    assert (result.returncode, result.stdout) == (2, "")
    assert "did you mean 'shape-mismatch'?" in result.stderr
