"""Sums of sums, products of products and nested concatenations: the same, and said so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.diff import edits, isomorphism
from resgraph.diff.isomorphism import regrouped
from tests.diff.common import unit
from tests.size.specs import one_unit, spec

UP_TO = "up to how sums, products and concatenations are nested"


def nested(kind: str, *sums: Sequence[str]) -> list[str]:
    """Paths a, b and c, which differ, and sums of them: s0, s1 and so on, the last out."""
    ops = {"a": "relu", "b": "sigmoid", "c": "bn"}
    paths = [f"{name}: {{from: x, ops: [{op}]}}" for name, op in ops.items()]
    for i, reads in enumerate(sums):
        name = "out" if i == len(sums) - 1 else f"s{i}"
        paths.append(f"{name}: {{from: [{', '.join(reads)}], ops: [{kind}]}}")
    return paths


WAYS = {
    "left": [("a", "b"), ("s0", "c")],
    "right": [("b", "c"), ("a", "s0")],
    "flat": [("a", "b", "c")],
}


def diffed(one: str, two: str, folder: Path, *options: str) -> tuple[int, str]:
    files = folder / "one.yaml", folder / "two.yaml"
    for file, text in zip(files, (one, two), strict=True):
        file.write_text(text)
    result = CliRunner().invoke(app, ["diff", *map(str, files), *options])
    return result.exit_code, result.output


@pytest.mark.parametrize("kind", ["add", "mul"])
@pytest.mark.parametrize("other", ["right", "flat"])
def test_nested_in_two_ways(kind: str, other: str, tmp_path: Path) -> None:
    one, two = (one_unit(nested(kind, *WAYS[way])) for way in ("left", other))
    code, said = diffed(one, two, tmp_path)
    assert code == 0
    assert f"the same graph {UP_TO}" in " ".join(said.split())
    code, said = diffed(one, two, tmp_path, "--json")
    assert json.loads(said)["regrouped"] is True
    code, said = diffed(one, one, tmp_path)
    assert UP_TO not in " ".join(said.split())
    assert "regrouped" not in json.loads(diffed(one, one, tmp_path, "--json")[1])


def test_a_sum_that_is_read_elsewhere_stays(tmp_path: Path) -> None:
    one = one_unit(nested("add", ("a", "b"), ("s0", "c"), ("s0", "s1")))
    two = one_unit(nested("add", ("b", "c"), ("s0", "a"), ("s0", "s1")))
    assert diffed(one, two, tmp_path)[0] == 1


def test_a_concatenation_keeps_its_order() -> None:
    """And its nesting is told, as the edits of units are exact."""
    convs = [("relu", {}, (-1,)), ("bn", {}, (-1,)), ("sigmoid", {}, (-1,))]
    left = unit([*convs, ("concat", {}, (0, 1)), ("concat", {}, (3, 2))])
    right = unit([*convs, ("concat", {}, (1, 2)), ("concat", {}, (0, 3))])
    turned = unit([*convs, ("concat", {}, (1, 2)), ("concat", {}, (3, 0))])
    assert isomorphism(left, right) is None
    assert edits(left, right)
    assert regrouped(left, right)
    assert not regrouped(left, turned)


def two_units(way: str, kernel: int) -> str:
    """A unit of nested sums, and one with a convolution."""
    lines = "".join(f"      {path}\n" for path in nested("add", *WAYS[way]))
    conv = f"out: {{from: x, ops: [{{conv: {{kernel: {kernel}, channels: 4}}}}]}}"
    units = f"  sums:\n    paths:\n{lines}  conv:\n    paths:\n      {conv}"
    return spec(units, "    - [conv, sums]")


def test_beside_what_changed(tmp_path: Path) -> None:
    """A unit that is only nested otherwise has no edits where another one has."""
    one, two = two_units("left", 3), two_units("right", 5)
    code, said = diffed(one, two, tmp_path)
    assert code == 1
    assert "rewired" not in said
    assert f"the same {UP_TO}\n  stage1.1: sums" in said
    pairs = json.loads(diffed(one, two, tmp_path, "--json")[1])["pairs"]
    assert [pair.get("regrouped", False) for pair in pairs] == [
        *(False, False, True, False)
    ]
    assert [bool(pair["edits"]) for pair in pairs] == [False, True, False, False]


def test_a_row_of_them_is_told_as_one(tmp_path: Path) -> None:
    row = "[sums, {sums: {}, repeat: 5}]\n    - [conv]"
    one, two = (
        two_units(way, kernel).replace("[conv, sums]", row)
        for way, kernel in (("left", 3), ("right", 5))
    )
    assert "\n  stage1.0 to stage1.5: sums\n" in diffed(one, two, tmp_path)[1]


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("[conv, conv, conv, sums]", "[conv, {conv: {}, repeat: 2}, sums]", True),
        ("[conv, conv, conv, sums]", "[{conv: {}, repeat: 3}]\n    - [sums]", True),
        ("[conv, conv, conv, sums]", "[conv, conv]\n    - [conv, sums]", True),
        ("[conv, conv, conv, sums]", "[conv, conv]\n    - [sums, conv]", False),
        ("[conv, conv, conv, sums]", "[{conv: {}, repeat: 4}]\n    - [sums]", False),
    ],
)
def test_rows_are_the_same_however_they_are_cut(
    ours: str, theirs: str, same: bool, tmp_path: Path
) -> None:
    one = two_units("left", 3).replace("[conv, sums]", ours)
    for way, how in (("left", ": "), ("right", f" {UP_TO}: ")):
        two = two_units(way, 3).replace("[conv, sums]", theirs)
        code, said = diffed(one, two, tmp_path)
        assert code == (not same)
        assert (f"the same graph{how}" in said) == same
