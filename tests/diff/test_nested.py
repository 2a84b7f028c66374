"""Units in units fold and unfold; networks whose stages are no chain."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from resgraph.diff import Difference, compare
from resgraph.diff.form import as_json
from resgraph.diff.report import report
from tests.diff.common import bag, compiled, mirrored

Tree = dict[str, Any]
HERE = Path(__file__).parents[1]
SE = HERE / "specs/nested/se_resnet20.yaml"
DESIGNS = HERE / "prove/nested"


def tree_of(path: Path) -> Tree:
    return dict(YAML(typ="safe").load(path.read_text()))


def changed(base: Tree, folder: Path, change: Callable[[Tree], None]) -> Difference:
    """What the change makes of the tree, told alike backwards."""
    other = deepcopy(base)
    change(other)
    before, after = compiled(base, folder), compiled(other, folder)
    there, back = compare(before, after), compare(after, before)
    assert there.same == back.same
    for one, two in zip(there.pairs, back.pairs, strict=True):
        assert bag(map(mirrored, one.edits)) == bag(two.edits)
    json.dumps(as_json(there))
    return there


def lines(difference: Difference) -> list[str]:
    """The lines of edits, their spaces as one."""
    told = (" ".join(text.split()) for text, _ in report(difference))
    words = ("added ", "removed ", "moved ", "changed ", "rewired ")
    return [line for line in told if line.startswith(words)]


def ops(tree: Tree) -> list[Any]:
    chain: list[Any] = tree["units"]["body"]["paths"]["F"]["ops"]
    return chain


def test_a_unit_that_is_new_is_one_line(tmp_path: Path) -> None:
    base = tree_of(SE)
    without = deepcopy(base)
    ops(without).pop()
    without["units"].pop("se")

    def squeeze(tree: Tree) -> None:
        tree |= deepcopy(base)

    (line,) = lines(changed(without, tmp_path, squeeze))[:1]
    assert line == "added se(ratio=4) (se): in F, after its last weight layer"


def test_a_unit_that_moves_is_one_line(tmp_path: Path) -> None:
    def earlier(tree: Tree) -> None:
        ops(tree).insert(3, ops(tree).pop())

    found = lines(changed(tree_of(SE), tmp_path, earlier))
    assert found[0].startswith(
        "moved se(ratio=4) (se): in F, after its last weight layer"
    )


def test_what_changes_in_a_unit_is_told_inside(tmp_path: Path) -> None:
    def rougher(tree: Tree) -> None:
        tree["units"]["se"]["paths"]["gate"]["ops"][2] = "sigmoid"

    found = lines(changed(tree_of(SE), tmp_path, rougher))
    assert found == [
        "removed relu (se.gate_relu): in F, between se.gate_conv1 and se.gate_conv2",
        "added sigmoid (se.gate_sigmoid1): in F, between se.gate_conv1 and se.gate_conv2",
    ]

    def smaller(tree: Tree) -> None:
        ops(tree)[-1]["se"]["ratio"] = 2

    found = lines(changed(tree_of(SE), tmp_path, smaller))
    assert found == ["changed conv (se.gate_conv1): channels 4/8/16 -> 8/16/32"]


def test_a_unit_written_out_is_the_same_graph(tmp_path: Path) -> None:
    def inline(tree: Tree) -> None:
        gate = tree["units"].pop("se")["paths"]["gate"]["ops"]
        text = json.dumps(gate).replace("ratio", "4").replace("in /", "width /")
        text = text.replace('"in"', '"width"')
        paths = tree["units"]["body"]["paths"]
        ops(tree).pop()
        out = paths.pop("out")
        paths["gate"] = {"from": "F", "ops": json.loads(text)}
        paths["scaled"] = {"from": ["F", "gate"], "ops": ["mul"]}
        paths["out"] = out | {"from": ["h", "scaled"]}

    assert changed(tree_of(SE), tmp_path, inline).same

    def otherwise(tree: Tree) -> None:
        inline(tree)
        ops(tree)[4] = "identity"

    found = changed(tree_of(SE), tmp_path, otherwise)
    assert lines(found)[:2] == [
        "removed relu (relu2): in F, between conv1 and conv2",
        "added identity (identity1): in F, between conv1 and conv2",
    ]


def test_a_stage_written_as_a_unit_is_the_same_graph(tmp_path: Path) -> None:
    base = tree_of(DESIGNS / "convnext_like.yaml")
    base["units"].pop("stage")
    base["network"]["stages"] = [[{"twice": {"width": 16}, "repeat": 3}]]

    def as_list(tree: Tree) -> None:
        tree["units"].pop("twice")
        tree["network"]["stages"] = [[{"block": {"width": 16}, "repeat": 9}]]

    assert changed(base, tmp_path, as_list).same

    def longer(tree: Tree) -> None:
        as_list(tree)
        tree["network"]["stages"][0][0]["repeat"] = 10

    assert not changed(base, tmp_path, longer).same


def test_repeats_in_a_unit_are_told_without_a_walk(tmp_path: Path) -> None:
    def deeper(tree: Tree) -> None:
        tree["network"]["stages"][1][0]["stage"]["n"] = 100_000

    found = changed(tree_of(DESIGNS / "convnext_like.yaml"), tmp_path, deeper)
    assert lines(found) == ["changed stage2.0.blocks: block x9 -> x100000"]


def test_a_branch_in_a_unit_that_repeats_more_often(tmp_path: Path) -> None:
    base = tree_of(SE)
    base["units"]["layer"] = {
        "paths": {
            "out": {
                "from": "x",
                "ops": ["relu", {"conv": {"kernel": 3, "channels": "in"}}],
            }
        }
    }
    ops(base).append({"layer": {}, "repeat": 2, "name": "more"})

    def deeper(tree: Tree) -> None:
        ops(tree)[-1]["repeat"] = 5

    found = lines(changed(base, tmp_path, deeper))
    assert found == ["changed layer (more.0): repeat 2 -> 5"]


def test_stages_of_a_graph_are_paired_by_name(tmp_path: Path) -> None:
    def rewire(tree: Tree) -> None:
        tree["network"]["stages"]["j"]["from"] = ["b", "a"]
        tree["network"]["stages"]["c"] = {
            "from": "b",
            "units": [{"body": {"width": 32}}],
        }
        stages = tree["network"]["stages"]
        stages["aux"]["from"] = "c"

    found = changed(tree_of(DESIGNS / "preact_when.yaml"), tmp_path, rewire)
    assert lines(found) == [
        "removed c: body x1",
        "changed j: reads c, a -> b, a",
        "changed aux: reads b -> c",
    ]
    assert found.wiring == (("j", "c, a", "b, a"), ("aux", "b", "c"))


def test_other_outputs_are_told(tmp_path: Path) -> None:
    def fewer(tree: Tree) -> None:
        tree["network"]["outputs"] = {"p3": "p3", "p2": "p2"}
        tree["network"]["stages"].pop("p4")

    found = changed(tree_of(DESIGNS / "fpn.yaml"), tmp_path, fewer)
    assert ("outputs", "p2, p3, p4", "p3, p2") in found.wiring
    assert "removed p4: smooth x1" in lines(found)


@pytest.mark.parametrize("path", sorted(DESIGNS.glob("*.yaml")), ids=lambda p: p.stem)
def test_names_of_stages_make_no_difference(path: Path, tmp_path: Path) -> None:
    """Nor do those of units."""

    def rename(tree: Tree) -> None:
        text = json.dumps(tree)
        for name in tree["units"]:
            text = text.replace(f'"{name}"', f'"{name}_again"')
        stages = tree["network"]["stages"]
        for name in stages if isinstance(stages, dict) else ():
            text = text.replace(f'"{name}"', f'"{name}_s"')
        tree |= json.loads(text)

    base = tree_of(path)
    assert changed(base, tmp_path, rename).same


def test_a_heading_counts_the_units_of_units(tmp_path: Path) -> None:
    def smaller(tree: Tree) -> None:
        tree["units"]["block"]["paths"]["F"]["ops"][0]["conv"]["kernel"] = 5

    found = changed(tree_of(DESIGNS / "convnext_like.yaml"), tmp_path, smaller)
    (heading,) = (text for text, _ in report(found) if text.startswith("pair.0"))
    assert heading == (
        "pair.0 to last of each of stage1.0 to stage1.2, stage2.0.blocks.0 to "
        "stage2.0.blocks.8, stage3.0.blocks.0 to stage3.0.blocks.1 (20 units): block"
    )


OTHER = {"body": {"act": "sigmoid"}}
EDITS = ["removed relu (act1): after bn1", "added sigmoid (act1): after bn1"]


@pytest.mark.parametrize(
    ("row", "place", "told"),
    [
        ([(3, "body"), (1, OTHER), (2, "body")], "stage1.3 (1 unit): body", []),
        ([(4, "body"), (2, OTHER)], "stage1.4 to stage1.5 (2 units): body", []),
        (
            [(2, "body"), (1, OTHER), (1, "body"), (1, OTHER), (1, "body")],
            "stage1.2, stage1.4 (2 units): body",
            [],
        ),
        (
            [(3, "body"), (1, OTHER), (4, "body")],
            "stage1.3 (1 unit): body",
            ["changed stage1: body x2 -> x4"],
        ),
    ],
)
def test_what_changes_within_a_row_is_told_at_its_place(
    row: list[Any], place: str, told: list[str], tmp_path: Path
) -> None:
    def stage(units: list[Any]) -> list[Any]:
        slots = [(n, {u: {}} if isinstance(u, str) else u) for n, u in units]
        return [{**slot, "repeat": n} for n, slot in slots]

    def change(tree: Tree) -> None:
        tree["network"]["stages"] = [stage(row)]

    paths = {"out": {"from": "x", "ops": ["bn", "act"]}}
    base: Tree = {
        "resgraph": 1,
        "title": "Units in a row",
        "units": {"body": {"params": [{"act": "relu"}], "paths": paths}},
        "network": {
            "input": [3, 4, 4],
            "stages": [stage([(6, "body")])],
            "outputs": ["stage1"],
        },
    }
    found = changed(base, tmp_path, change)
    assert [t for t, _ in report(found) if t.startswith("stage1.")] == [place]
    assert lines(found) == [*EDITS, *told]
