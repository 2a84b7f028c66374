"""`check` tells all findings of a spec in one run, and invents none.

Mistakes are planted into valid specs; each must be told at its line, by its code, and
nothing else may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resgraph.compiler import Compiler
from resgraph.diagnostics import SpecError
from resgraph.draw import draw_network, draw_unit
from resgraph.draw.cells import parts
from resgraph.draw.labels import label
from resgraph.spec.tree import Loc, plain
from resgraph.spec.yaml import parse
from tests import mistake_blocks, mistake_networks, mistake_units
from tests.conftest import ROOT
from tests.helpers import SPECS
from tests.mistakes import Mistake, Written, expected, planted, put, write

NESTED = SPECS / "nested" / "blocks.yaml"
VALID = [
    *sorted((ROOT / "specs").glob("*.yaml")),
    *sorted(SPECS.glob("*.yaml")),
    NESTED,
]
THOROUGH = [SPECS / "tiny.yaml", ROOT / "specs/preact_1layer.yaml", NESTED]
KINDS = [
    kind
    for module in (mistake_units, mistake_networks, mistake_blocks)
    for kind in module.KINDS
]


@cache
def spec(path: Path) -> dict[str, Any]:
    """A valid spec as plain data, with all that it extends."""
    text = Compiler().resolved(path)
    data: dict[str, Any] = plain(parse(text, "spec").tree)
    return data


@cache
def mistakes(path: Path) -> dict[str, list[Mistake]]:
    """Every mistake that can be planted into a spec, by its kind."""
    found = {kind.__name__: [*kind(spec(path))] for kind in KINDS}
    return {name: planted for name, planted in found.items() if planted}


def told(written: Written, folder: Path) -> set[tuple[int, str]]:
    """The line and the code of every finding, of one run."""
    path = folder / "spec.yaml"
    path.write_text(written.text, encoding="utf-8")
    compiler = Compiler()
    try:
        compiler.graphs(path)
    except SpecError as error:
        found = error.diagnostics
    else:
        found = compiler.warnings[str(path)]
    return {(d.span.line, d.code.name) for d in found if d.span}


def check(path: Path, chosen: list[Mistake], folder: Path) -> None:
    written = write(planted(spec(path), chosen))
    assert told(written, folder) == expected(written, chosen), "\n".join(
        [*(f"{m.kind}: {m.touched}" for m in chosen), written.text]
    )


def test_there_are_many_kinds_and_codes() -> None:
    kinds = {
        m.kind for path in THOROUGH for found in mistakes(path).values() for m in found
    }
    codes = {
        finding.code
        for path in VALID
        for found in mistakes(path).values()
        for mistake in found
        for finding in mistake.told
    }
    assert len(kinds) >= 90
    assert len(codes) >= 25


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_nothing_is_told_of_valid_specs(path: Path, tmp_path: Path) -> None:
    check(path, [], tmp_path)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("path", THOROUGH, ids=lambda path: path.stem)
def test_each_mistake_at_each_place(path: Path, kind: Any, tmp_path: Path) -> None:
    for mistake in mistakes(path).get(kind.__name__, []):
        check(path, [mistake], tmp_path)


@st.composite
def several(draw: st.DrawFn) -> tuple[Path, list[Mistake]]:
    """A spec and one to six mistakes in it that have nothing to do with one another."""
    path = draw(st.sampled_from(VALID))
    chosen: list[Mistake] = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(sorted(mistakes(path))))
        mistake = draw(st.sampled_from(mistakes(path)[kind]))
        if all(mistake.goes_with(other) for other in chosen):
            chosen.append(mistake)
    return path, chosen


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(several())
def test_several_mistakes(tmp_path: Path, made: tuple[Path, list[Mistake]]) -> None:
    check(*made, tmp_path)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(several())
def test_what_is_understood_is_drawn(
    tmp_path: Path, made: tuple[Path, list[Mistake]]
) -> None:
    path, chosen = made
    file = tmp_path / "spec.yaml"
    file.write_text(write(planted(spec(path), chosen)).text, encoding="utf-8")
    graphs, _ = Compiler().drafts(file)
    assert graphs
    for graph in graphs:
        draw_network(graph)
        for cell in parts(graph):
            for instance in cell.instances[:1]:
                draw_unit(instance)


LEAVES = """? width bn __ * relu conv in in.h index a-b { 1e99 ~ when out skip.c
    stage1 body add 1==1 n-1"""
KEYS = """? conv x repeat from ops paths params units when inputs outputs name bn body linear
    width in out title extends networks train stage1 __"""
ANYTHING = st.recursive(
    st.sampled_from([None, True, -2.5, 7, "", *LEAVES.split()]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=3)
    ),
    max_leaves=4,
)


def locations(value: Any, loc: Loc = ()) -> Iterator[Loc]:
    """Every place in plain data."""
    if isinstance(value, (dict, list)):
        for step in value if isinstance(value, dict) else range(len(value)):
            yield (*loc, step)
            yield from locations(value[step], (*loc, step))


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(VALID), st.data())
def test_anything_anywhere_is_understood_or_told(
    tmp_path: Path, path: Path, data: st.DataObject
) -> None:
    places = sorted(locations(spec(path)), key=str)
    change = put(*data.draw(st.sampled_from(places)), data.draw(ANYTHING))
    wrong = [Mistake("anything", (), (), change)]
    file = tmp_path / "spec.yaml"
    file.write_text(write(planted(spec(path), wrong)).text, encoding="utf-8")
    graphs, _ = Compiler().drafts(file)
    assert graphs


def test_a_refused_name_beside_wrong_paths(tmp_path: Path) -> None:
    """The name puts the other paths in doubt, and each of them still gets its stand-in."""
    paths = {"conv": None, "x": None, "repeat": None, "from": None}
    change = put("units", "entry", "paths", paths)
    wrong = [Mistake("paths of nothing", (), (), change)]
    file = tmp_path / "spec.yaml"
    valid = spec(next(p for p in VALID if p.stem == "conv_shortcut"))
    file.write_text(write(planted(valid, wrong)).text, encoding="utf-8")
    graphs, error = Compiler().drafts(file)
    assert graphs
    assert error is not None


def test_an_op_with_a_wrong_attribute_keeps_its_name(root: Path) -> None:
    graphs, error = Compiler().drafts(Path("tests/bad/ten_mistakes.yaml"))
    ops = [node.op for node in graphs[0].units["body"].ops]
    assert error is not None
    assert len(error.diagnostics) == 10
    assert len({finding.code for finding in error.diagnostics}) == 10
    assert [op.kind for op in ops] == [
        *("conv", "bn", "rellu", "conv", "bn", "add", "relu")
    ]
    assert [*map(label, ops)][:3] == ["conv", "BN", "rellu"]
    assert not ops[0].known
    assert str(ops[0].attributes()["channels"]) == "width"


def test_what_an_unreadable_base_may_have_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    unit = (
        "{params: [width], paths: {F: {ops: [rellu]}, out: {from: [h, F], ops: [add]}}}"
    )
    path.write_text(f"extends: nowhere.yaml\nunits:\n  body: {unit}\n")
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(path)
    codes = [finding.code.name for finding in caught.value.diagnostics]
    assert codes == ["unreadable-extends", "unknown-op"]
