"""Every limit of a spec: what is at it passes, one beyond is one finding at its place."""

from __future__ import annotations

import ast
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resgraph import limits
from resgraph.cli import app
from resgraph.compiler import Compiler
from resgraph.diagnostics import Diagnostic, ResgraphError, SpecError
from resgraph.passes import shapes, size
from resgraph.spec import bounds
from tests.size.specs import RESIDUAL, branches, chain, deep, dense, one_unit, spec


def found(text: str, folder: Path) -> list[Diagnostic]:
    """The errors of a spec."""
    path = folder / "spec.yaml"
    path.write_text(text)
    try:
        Compiler().graphs(path)
    except SpecError as error:
        return error.diagnostics
    return []


def units(count: int) -> str:
    each = "".join(RESIDUAL.replace("body", f"body{i}") for i in range(count))
    stages = [f"    - [{{body{i}: {{width: 4}}}}]" for i in range(count)]
    return spec(each, "\n".join(stages))


def networks(count: int) -> str:
    named = "".join(f"  net{i}: {{classes: {i + 2}}}\n" for i in range(count))
    return f"{deep(1)}networks:\n{named}"


def slots(count: int) -> str:
    entries = ", ".join(["{body: {width: 4}}"] * count)
    return spec(RESIDUAL, f"    - [{entries}]")


def parameters(count: int) -> str:
    params = ", ".join(f"{{p{i}: 1}}" for i in range(count))
    ops = ", ".join(f"{{scale: {{factor: p{i}}}}}" for i in range(count))
    unit = f"  body:\n    params: [{params}]\n    paths: {{out: {{from: x, ops: [{ops}]}}}}\n"
    return spec(unit, "    - [{body: {}}]")


def network_parameters(count: int) -> str:
    """`classes` is one of them."""
    params = ", ".join(f"p{i}: 1" for i in range(count - 1))
    text = deep(1).replace("{classes: 3}", f"{{classes: 3, {params}}}")
    added = " + ".join(f"p{i}" for i in range(count - 1))
    return text.replace("repeat: 1}", f"repeat: {added}}}")


def end(name: str, count: int) -> str:
    last = ", global_avg_pool, {linear: {features: classes}}]"
    ops = ", ".join(["relu"] * (count - (2 if name == "head" else 1)))
    if name == "head":
        return deep(1).replace(f"[relu{last}", f"[{ops}{last}")
    return deep(1).replace("stem: [", f"stem: [{ops}, ")


def reads(count: int) -> str:
    """A path that reads one value so many times."""
    return one_unit([f"out: {{from: [{', '.join(['x'] * count)}], ops: [add]}}"])


def line(count: int) -> str:
    """Paths that each read the one before."""
    names = ["x", *(f"p{i}" for i in range(count - 1)), "out"]
    pairs = pairwise(names)
    return one_unit([f"{path}: {{from: {read}, ops: [relu]}}" for read, path in pairs])


COUNTED: dict[str, tuple[Callable[[int], str], str, str]] = {
    "units": (units, "SPEC_UNITS", "units"),
    "networks": (networks, "SPEC_NETWORKS", "networks"),
    "slots": (slots, "NETWORK_SLOTS", "stages"),
    "parameters": (parameters, "PARAMETERS", "params"),
    "network parameters": (network_parameters, "PARAMETERS", "params"),
    "ops": (lambda n: chain(n - 1, "relu"), "UNIT_OPS", "paths"),
    "paths": (line, "UNIT_OPS", "paths"),
    "stem": (lambda n: end("stem", n), "UNIT_OPS", "stem"),
    "head": (lambda n: end("head", n), "UNIT_OPS", "head"),
    "reads": (reads, "UNIT_OPS", "from"),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_counts(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a lowered limit, so that it is the limit that is tried and not our patience."""
    make, name, key = COUNTED[kind]
    monkeypatch.setattr(bounds, name, 7)
    assert found(make(7), tmp_path) == []
    (finding,) = found(make(8), tmp_path)
    assert finding.code.name == "too-large"
    assert " 8 " in finding.message
    assert "up to 7" in finding.message
    assert finding.span is not None
    text = (tmp_path / "spec.yaml").read_text().splitlines()[finding.span.line - 1]
    assert text[finding.span.col - 1 :].startswith(f"{key}:")


def test_networks_times_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SPEC_OPS", 7 * 4)
    assert found(networks(7), tmp_path) == []
    (finding,) = found(networks(8), tmp_path)
    assert "32 ops to build, all networks together, and up to 28" in finding.message


@pytest.mark.parametrize(
    "text",
    [
        branches(limits.UNIT_OPS - 1),
        chain(limits.UNIT_OPS - 1, "relu"),
        reads(limits.UNIT_OPS),
    ],
    ids=["paths", "ops", "reads"],
)
def test_the_largest_unit_compiles(text: str, tmp_path: Path) -> None:
    """To Python that Python reads."""
    from resgraph.emit import outputs
    from resgraph.emit.weights import drawn

    path = tmp_path / "spec.yaml"
    path.write_text(text)
    (graph,) = Compiler().graphs(path)
    source, _ = outputs.write([graph], tmp_path, lambda graph: drawn(0))[0].files
    compile(source.read_text(), "source", "exec")


def test_distinct_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "DISTINCT_UNITS", 20)
    assert found(dense(19), tmp_path) == []
    told = [finding.message for finding in found(dense(21), tmp_path)]
    assert told == ["more than 20 units that differ in arguments or input shape"]
    monkeypatch.setattr(shapes, "DISTINCT_UNITS", 2_000)
    monkeypatch.setattr(shapes, "DISTINCT_OPS", 40)
    assert found(dense(9), tmp_path) == []
    told = [finding.message for finding in found(dense(15), tmp_path)]
    assert told == ["more than 40 ops in distinct units"]


def test_distinct_units_are_typed_no_further(tmp_path: Path) -> None:
    """However many there would be: the first that is too many ends it."""
    assert len(found(dense(10**9), tmp_path)) == 1


def test_ops_of_a_network(tmp_path: Path) -> None:
    most = limits.NETWORK_OPS // 4
    assert found(deep(most), tmp_path) == []
    for count in (most + 1, 10**15):
        (finding,) = found(deep(count), tmp_path)
        assert f"{4 * count:,} ops" in finding.message
        assert f"up to {limits.NETWORK_OPS:,} are taken" in finding.message
        assert finding.span is not None
        assert finding.span.line == 15


def test_values_and_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = deep(3, width=16)
    monkeypatch.setattr(size, "VALUE_NUMBERS", 16 * 64)
    assert found(text, tmp_path) == []
    monkeypatch.setattr(size, "VALUE_NUMBERS", 16 * 64 - 1)
    (finding,) = found(text, tmp_path)  # of the stem: the others follow from it
    assert "conv makes [16, 8, 8]" in finding.message
    monkeypatch.setattr(size, "VALUE_NUMBERS", 3 * 64 - 1)
    assert "the input has 192 numbers" in " ".join(
        f.message for f in found(text, tmp_path)
    )
    monkeypatch.setattr(size, "VALUE_NUMBERS", limits.VALUE_NUMBERS)
    (graph,) = Compiler().graphs(tmp_path / "spec.yaml")
    numbers = graph.total("numbers")
    monkeypatch.setattr(size, "NETWORK_NUMBERS", numbers)
    assert found(text, tmp_path) == []
    monkeypatch.setattr(size, "NETWORK_NUMBERS", numbers - 1)
    (finding,) = found(text, tmp_path)
    assert f"{numbers:,} weights" in finding.message
    assert finding.hint == f"{3 * 16 * 16 * 9:,} of them are of this op"


@pytest.mark.parametrize("number", [10**9, 10**12, 10**15])
@pytest.mark.parametrize(
    "place", ["width: 4", "features: classes", "kernel: 3", "3, 8, 8", "repeat: 1"]
)
def test_large_numbers_anywhere_are_findings(
    place: str, number: int, tmp_path: Path
) -> None:
    """Told at once, never computed with."""
    key = place.partition(":")[0] if ":" in place else ""
    new = f"{key}: {number}" if key else f"3, {number}, {number}"
    told = found(deep(1).replace(place, new), tmp_path)
    assert told
    assert all(finding.span for finding in told)


def test_every_limit_says_of_what_it_is() -> None:
    """The page of limits is made of these."""
    source = Path(limits.__file__).read_text()
    body = ast.parse(source).body
    named = {
        made.targets[0].id: told
        for made, told in pairwise(body)
        if isinstance(made, ast.Assign) and isinstance(made.targets[0], ast.Name)
    }
    assert named.keys() >= {"UNIT_OPS", "SPEC_BYTES", "MODEL_BYTES"}
    for name, told in named.items():
        assert isinstance(told, ast.Expr), name
        assert isinstance(told.value, ast.Constant), name
        assert isinstance(told.value.value, str), name


def test_what_is_too_deep_to_run_is_not_verified(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(deep(limits.VERIFIED_OPS // 4 + 1))
    result = CliRunner().invoke(app, ["verify", str(path)])
    assert isinstance(result.exception, ResgraphError)
    assert f"takes up to {limits.VERIFIED_OPS:,}" in result.exception.message
