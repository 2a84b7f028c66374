"""The order of outputs, inputs and stages, and where units begin, make no other graph."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import resgraph.diff
from resgraph.diff import Difference, compare
from resgraph.diff.form import as_json
from resgraph.diff.report import report
from tests.diff.common import compiled
from tests.diff.test_nested import DESIGNS, tree_of

Tree = dict[str, Any]
CONV = {"conv": {"kernel": 3, "channels": 4}}
TWO: Tree = {
    "resgraph": 1,
    "title": "Two streams",
    "units": {
        "two": {
            "inputs": ["a", "b"],
            "outputs": ["p", "q"],
            "paths": {
                "p": {"from": "a", "ops": [CONV, "bn", "relu"]},
                "q": {"from": ["p", "b"], "ops": ["concat", CONV]},
            },
        }
    },
    "network": {
        "input": [1, 8, 8],
        "stem": [CONV],
        "stages": {
            "s": {"from": ["stem", "stem"], "units": [{"two": {}, "repeat": 2}]},
            "t": ["two"],
        },
        "outputs": {"one": "t.p", "other": "t.q"},
    },
}


def changed(base: Tree, folder: Path, change: Callable[[Tree], None]) -> Difference:
    """What the change makes of the tree; the same backwards."""
    other = deepcopy(base)
    change(other)
    before, after = compiled(base, folder), compiled(other, folder)
    found = compare(before, after)
    assert compare(after, before).same == found.same
    return found


def told(difference: Difference) -> list[str]:
    return [text for text, _ in report(difference)]


@pytest.mark.parametrize("swapped", [True, False])
def test_outputs_are_compared_by_name(tmp_path: Path, swapped: bool) -> None:
    def reorder(tree: Tree) -> None:
        outputs = tree["network"]["outputs"]
        names = sorted(outputs, reverse=True)
        values = sorted(outputs.values(), reverse=not swapped)
        tree["network"]["outputs"] = dict(zip(names, values, strict=True))

    found = changed(tree_of(DESIGNS / "fpn.yaml"), tmp_path, reorder)
    assert found.same is not swapped
    assert [name for name, _, _ in found.wiring] == ["outputs"] * swapped


def test_outputs_of_other_names_are_compared_in_order(tmp_path: Path) -> None:
    def rename(tree: Tree) -> None:
        outputs = tree["network"]["outputs"]
        tree["network"]["outputs"] = {f"{n}a": v for n, v in outputs.items()}

    assert changed(tree_of(DESIGNS / "fpn.yaml"), tmp_path, rename).same


def test_a_stage_of_units_with_several_values_may_begin_elsewhere(
    tmp_path: Path,
) -> None:
    def one_stage(tree: Tree) -> None:
        tree["network"]["stages"].pop("t")
        tree["network"]["stages"]["s"]["units"][0]["repeat"] = 3
        tree["network"]["outputs"] = {"one": "s.p", "other": "s.q"}

    found = changed(TWO, tmp_path, one_stage)
    assert found.same
    assert not found.recut

    def crossed(tree: Tree) -> None:
        tree["network"]["stages"]["t"] = {"from": ["s.q", "s.p"], "units": ["two"]}

    assert not changed(TWO, tmp_path, crossed).same


def test_values_that_cross_without_an_op_are_seen(tmp_path: Path) -> None:
    def crossing(tree: Tree) -> None:
        never = {"when": "in == 99", "ops": ["relu"]}
        paths = {"p": {"from": "b"} | never, "q": {"from": "a"} | never}
        tree["units"]["cross"] = tree["units"]["two"] | {"paths": paths}
        tree["network"]["stages"]["t"] = ["cross", "two"]

    assert not changed(TWO, tmp_path, crossing).same


def test_inputs_and_outputs_of_a_unit_in_another_order(tmp_path: Path) -> None:
    def inputs(tree: Tree) -> None:
        tree["units"]["two"]["inputs"].reverse()
        tree["units"]["two"]["outputs"].reverse()

    found = changed(TWO, tmp_path, inputs)
    assert found.same
    assert found.recut
    assert as_json(found)["recut"] is True
    (line,) = told(found)
    assert line.startswith(
        "the same graph up to where units begin and end and how their inputs and outputs "
        "are ordered: spec ("
    )

    def outputs(tree: Tree) -> None:
        tree["units"]["two"]["outputs"].reverse()

    assert not changed(TWO, tmp_path, outputs).same


def test_an_end_that_is_new_is_told_by_its_name(tmp_path: Path) -> None:
    def with_head(tree: Tree) -> None:
        tree["network"]["head"] = {"from": "t.p", "ops": ["relu"]}
        tree["network"]["outputs"] = {"one": "head", "other": "t.q"}

    assert "  added    head" in told(changed(TWO, tmp_path, with_head))


def test_the_picture_that_the_page_names(tmp_path: Path) -> None:
    def another(tree: Tree) -> None:
        tree["units"]["two"]["paths"]["p"]["ops"].pop()

    difference = changed(TWO, tmp_path, another)
    assert "<svg" in resgraph.diff.picture.picture(difference).svg()
