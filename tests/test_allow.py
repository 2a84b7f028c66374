"""`allow`: what it acknowledges, what it cannot, and what it leaves as it is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from resgraph import codes
from resgraph.allow import ALLOWABLE, Allow, judged
from resgraph.codes import CODES, SPEC
from resgraph.compiler import Compiler
from resgraph.diagnostics import Code, Diagnostic, Severity, Span, SpecError
from resgraph.emit.torch_source import torch_source
from resgraph.graph import digest
from tests.test_cli import resgraph

SPARE = "units:\n  spare:\n    paths:\n      out: {from: x, ops: [relu]}\n"
WARNED = SPEC.replace("units:\n", SPARE)


def allowing(text: str, *names: str) -> str:
    return text.replace("title:", f"allow: [{', '.join(names)}]\ntitle:", 1)


def written(folder: Path, text: str, name: str = "spec.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def told(path: Path) -> list[str]:
    """The codes of what is told of a spec that compiles."""
    compiler = Compiler()
    compiler.graphs(path)
    return [finding.code.name for finding in compiler.warnings[str(path)]]


def refused(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(path)
    return [finding.code.name for finding in caught.value.diagnostics]


def test_an_allowed_warning_is_not_told(tmp_path: Path) -> None:
    assert told(written(tmp_path, WARNED)) == ["unused-unit"]
    assert told(written(tmp_path, allowing(WARNED, "unused-unit"))) == []


def test_check_counts_what_is_allowed(tmp_path: Path) -> None:
    path = written(tmp_path, allowing(WARNED, "unused-unit"))
    result = resgraph("check", "--strict", path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "1 spec without findings: spec\n1 finding allowed\n"
    (finding,) = json.loads(resgraph("check", "--json", path).stdout)
    assert (finding["code"], finding["allowed"]) == ("unused-unit", True)


def test_exit_codes_of_check(tmp_path: Path) -> None:
    warned = written(tmp_path, WARNED)
    noted = written(tmp_path, allowing(SPEC, "unused-unit"), "noted.yaml")
    for path, strict, code, count in (
        (warned, (), 0, "1 warning in 1 spec"),
        (warned, ("--strict",), 1, "1 warning in 1 spec"),
        (noted, ("--strict",), 0, "1 note in 1 spec"),
    ):
        result = resgraph("check", *strict, path)
        assert (result.returncode, result.stdout.splitlines()[-1]) == (code, count)


def test_check_tells_all_severities_in_the_order_of_the_text(tmp_path: Path) -> None:
    text = allowing(WARNED, "unused-allow").replace(
        "channels: width}", "channels: w}", 1
    )
    result = resgraph("check", written(tmp_path, text))
    lines = [line for line in result.stdout.splitlines() if "]: " in line]
    assert [line.split(": ")[1] for line in lines] == [
        "warning[unused-unit]",
        "error[unknown-parameter]",
    ]
    assert result.returncode == 1
    assert result.stdout.endswith("1 error, 1 warning in 1 spec\n")


@pytest.mark.parametrize(
    "command",
    [
        ("compile", "--source-only", "--out", "generated"),
        ("show",),
        ("show", "--emit", "graph"),
        ("list",),
        ("plan",),
        ("draw", "--out", "drawing.svg"),
        ("prove",),
    ],
)
def test_commands_tell_warnings_on_stderr_and_go_on(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    written(tmp_path, WARNED)
    result = resgraph(*command, "spec.yaml", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stderr.startswith("spec.yaml:4:3: warning[unused-unit]: ")
    assert result.stderr.count("warning[") == 1
    assert "unused-unit" not in result.stdout
    written(tmp_path, allowing(WARNED, "unused-unit"))
    assert resgraph(*command, "spec.yaml", cwd=tmp_path).stderr == ""


def test_both_sides_of_a_diff_tell_theirs(tmp_path: Path) -> None:
    paths = [written(tmp_path, WARNED, f"{name}.yaml") for name in "ab"]
    result = resgraph("diff", *paths)
    assert result.returncode == 0
    assert result.stderr.count("warning[unused-unit]") == 2


def test_findings_as_json_wherever_they_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, WARNED)
    out = tmp_path / "generated"
    (entry,) = json.loads(resgraph("compile", "--json", path, "--out", out).stdout)
    assert [f["severity"] for f in entry["findings"]] == ["warning"]
    bad = written(tmp_path, SPEC.replace("relu", "rellu", 1), "bad.yaml")
    for command in ("compile", "show", "list", "plan", "prove", "verify"):
        result = resgraph(command, "--json", bad)
        assert (result.returncode, result.stderr) == (1, "")
        (finding,) = json.loads(result.stdout)["findings"]
        assert (finding["code"], finding["severity"]) == ("unknown-op", "error")


def test_what_is_generated_stays_as_it_is(tmp_path: Path) -> None:
    bare, allowed = (
        Compiler().graphs(written(tmp_path, text))[0]
        for text in (SPEC, allowing(SPEC, *ALLOWABLE))
    )
    assert digest(bare) == digest(allowed)
    assert torch_source(bare, tmp_path) == torch_source(allowed, tmp_path)


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.name)
def test_warnings_and_notes_alone_can_be_allowed(code: Code, tmp_path: Path) -> None:
    path = written(tmp_path, allowing(SPEC, code.name))
    if code.severity is Severity.ERROR:
        assert refused(path) == ["not-allowable"]
    elif code.by_prove or code is codes.UNUSED_ALLOW:
        assert told(path) == []
    else:
        assert told(path) == ["unused-allow"]


def test_an_unknown_code(tmp_path: Path) -> None:
    path = written(tmp_path, allowing(WARNED, "unused-units"))
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(path)
    first, second = caught.value.diagnostics
    assert (first.code, first.hint) == (
        codes.UNKNOWN_CODE,
        "did you mean 'unused-unit'?",
    )
    assert second.code is codes.UNUSED_UNIT


def test_an_error_hides_no_note_and_invents_none(tmp_path: Path) -> None:
    """With an error not every pass has run, so what is unused is not known."""
    text = allowing(SPEC, "unused-unit").replace("channels: width}", "channels: w}", 1)
    assert refused(written(tmp_path, text)) == ["unknown-parameter"]


def test_a_part_of_the_networks_says_nothing_of_unused(tmp_path: Path) -> None:
    text = allowing(SPEC, "unused-unit") + "networks: {a: {depth: 8}, b: {depth: 10}}\n"
    path = written(tmp_path, text)
    for options in (("--network", "a"), ("--set", "depth=12")):
        assert resgraph("show", path, *options).stderr == ""
    assert "note[unused-allow]" in resgraph("show", path).stderr


def test_a_base_is_inherited_like_any_list(tmp_path: Path) -> None:
    """Replaced where it is given anew; unused items are told in the spec that has them."""
    written(tmp_path, allowing(WARNED, "unused-unit"), "base.yaml")
    head = "resgraph: 1\ntitle: Derived\nextends: base.yaml\n"
    spare = "units: {other: {paths: {out: {from: x, ops: [relu]}}}}\n"
    assert told(written(tmp_path, head)) == []
    assert told(written(tmp_path, head + spare)) == []
    assert told(written(tmp_path, f"{head}{spare}allow: []\n")) == ["unused-unit"]
    assert told(written(tmp_path, f"{head}allow: [unused-unit]\n")) == ["unused-allow"]


SPAN = Span("spec.yaml", 1, 1, 1, 2)
PROVEN = Code("idle-thing", Severity.WARNING, "It idles.", by_prove=True)


def allows(*items: Code) -> list[Allow]:
    return [Allow(code, SPAN) for code in items]


def found(*kinds: Code) -> Iterable[Diagnostic]:
    return (Diagnostic(code, "it is so", SPAN) for code in kinds)


def test_prove_judges_its_own() -> None:
    both = allows(PROVEN, codes.UNUSED_UNIT)
    result = judged(found(PROVEN), both, by_prove=True)
    assert ([f.code for f in result.allowed], result.told) == ([PROVEN], [])
    assert result.unused == []
    (unused,) = judged([], both, by_prove=True).unused
    assert "'idle-thing'" in unused.message
    (unused,) = judged([], both).unused
    assert "'unused-unit'" in unused.message


def test_twice_is_once_too_many() -> None:
    items = allows(codes.UNUSED_UNIT, codes.UNUSED_UNIT)
    result = judged(found(codes.UNUSED_UNIT), items)
    assert [f.message for f in result.unused] == [
        "'unused-unit' is allowed twice, so this allows nothing"
    ]


def test_unused_allow_can_be_allowed_too() -> None:
    result = judged([], allows(codes.UNUSED_ALLOW, codes.UNUSED_UNIT))
    assert result.unused == []
    assert [f.code for f in result.allowed] == [codes.UNUSED_ALLOW]
