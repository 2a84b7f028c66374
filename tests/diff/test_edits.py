"""What the edits say of the paper's figures, in the paper's terms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resgraph.diff import Difference, Pair, compare, edits
from resgraph.diff.properties import AFTER, EQ5, FINAL, H
from resgraph.diff.report import report, rows
from tests.diff.common import compiled, network, tree, unit

END = "in F, after its last weight layer"
START = "in F, before its first weight layer"
BEHIND = "in f, after the addition"
SPLIT = "before the split"

# By the repeated unit of two specs: what moved, from where, to where.
MOVES = {
    ("original", "bn_after_add"): [("bn", END, BEHIND)],
    ("original", "relu_before_add"): [("relu", BEHIND, END)],
    ("original", "relu_only_preact"): [("relu", BEHIND, START)],
    ("original", "preact"): [("bn", END, START), ("relu", BEHIND, START)],
    ("bn_after_add", "relu_before_add"): [("bn", BEHIND, END), ("relu", BEHIND, END)],
    ("bn_after_add", "relu_only_preact"): [
        ("bn", BEHIND, END),
        ("relu", BEHIND, START),
    ],
    ("bn_after_add", "preact"): [("bn", BEHIND, START), ("relu", BEHIND, START)],
    ("relu_before_add", "relu_only_preact"): [("relu", END, START)],
    ("relu_before_add", "preact"): [("bn", END, START), ("relu", END, START)],
    ("relu_only_preact", "preact"): [("bn", END, START)],
}
# What the repeated unit of Fig. 4a gains in Fig. 2, and where.
ADDED = {
    "constant_scaling": [("scale", "on h"), ("scale", END)],
    "dropout_shortcut": [("dropout", "on h")],
    "conv_shortcut": [("conv", "on h")],
    "shortcut_gating": [(op, "on h") for op in ("conv", "sigmoid", "one_minus", "mul")],
    "exclusive_gating": [
        ("conv", "on h and in F"),
        ("sigmoid", "on h and in F"),
        ("one_minus", "on h"),
        ("mul", "on h"),
        ("mul", END),
    ],
}


def repeated(a: str, b: str) -> Pair:
    """The last units of the last stage."""
    return compare(network(a), network(b)).pairs[-2]


@pytest.mark.parametrize("form", ["basic", "bottleneck"])
@pytest.mark.parametrize("figures", MOVES, ids=" to ".join)
def test_what_moves_between_the_units_of_figure_4(
    figures: tuple[str, str], form: str
) -> None:
    names = [f"{figure}_{form}" for figure in figures]
    there, back = repeated(*names), repeated(*names[::-1])
    assert there.before
    assert there.before.name == "body"
    for pair, moves in (
        (there, MOVES[figures]),
        (back, [(op, new, old) for op, old, new in MOVES[figures]]),
    ):
        found = [
            (edit.before.kind, edit.before.where, edit.after.where)
            for edit in pair.edits
            if edit.before and edit.after and edit.change == "moved"
        ]
        assert sorted(found) == sorted(moves)
        assert len(found) == len(pair.edits)


@pytest.mark.parametrize("figure", ADDED)
def test_what_the_shortcuts_of_figure_2_add(figure: str) -> None:
    pair = repeated("original_basic", figure)
    found = [(e.after.kind, e.after.where) for e in pair.edits if e.after]
    assert found == ADDED[figure]
    assert {edit.change.value for edit in pair.edits} == {"added"}
    assert pair.properties == ((H,), ())


def test_exclusive_gating_adds_one_product_to_shortcut_only_gating() -> None:
    (edit,) = repeated("shortcut_gating", "exclusive_gating").edits
    assert edit.before is None
    assert edit.after
    assert (edit.after.kind, edit.after.where) == ("mul", END)
    assert edit.after.reads == ("g_sigmoid", "bn2")


def test_a_shared_activation_moves_before_the_split() -> None:
    pairs = compare(network("original_bottleneck"), network("preact_bottleneck")).pairs
    entry = next(p for p in pairs if p.before and p.before.place == "stage1.0")
    found = {
        (e.change.value, e.before.where, e.after.where if e.after else "")
        for e in entry.edits
        if e.before
    }
    assert found == {
        ("removed", "on h", ""),
        ("moved", END, SPLIT),
        ("moved", BEHIND, SPLIT),
    }


def test_full_pre_activation_gains_the_identity_path() -> None:
    pair = repeated("original_basic", "preact_basic")
    lost, gained = pair.properties
    assert lost == (FINAL,)
    assert {AFTER, EQ5} <= {*gained}
    assert pair.factors == ("the ReLU mask [input > 0]", "1")
    difference = compare(network("original_basic"), network("preact_basic"))
    assert difference.properties[EQ5] == ("none of 9", "6 of 9")


def test_repeats_are_told_as_such() -> None:
    a, b = (network("preact_bottleneck", f"resnet{n}") for n in (164, 1001))
    pairs = [pair for pair in compare(a, b).pairs if not pair.same]
    assert [
        (p.before.part, p.before.name, p.before.count, p.after.count)
        for p in pairs
        if p.before and p.after
    ] == [(f"stage{n}", "body", 17, 110) for n in (1, 2, 3)]
    assert not any(pair.edits for pair in pairs)


def test_operands_of_a_concat_in_another_order_are_rewired() -> None:
    parts = [("relu", {}, (-1,)), ("bn", {}, (-1,))]
    a, b = (unit([*parts, ("concat", {}, reads)]) for reads in ((0, 1), (1, 0)))

    (edit,) = edits(a, b)
    assert edit.change == "rewired"
    assert edit.before
    assert edit.before.reads == ("v0", "v1")
    assert edit.after
    assert edit.after.reads == ("v1", "v0")


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> Difference:
    """What the change of the pre-activation spec's tree makes."""
    spec = json.loads(tree("preact_basic"))
    before = compiled(spec, folder)
    change(spec)
    return compare(before, compiled(spec, folder))


def lines(difference: Difference) -> list[str]:
    return [text for text, _ in report(difference)]


def test_an_attribute_is_told_with_the_values_of_all_places(tmp_path: Path) -> None:
    def wider(spec: dict[str, Any]) -> None:
        chain = spec["units"]["body"]["paths"]["F"]["ops"]
        chain[2]["conv"] |= {"channels": "2 * width", "kernel": 5}

    told = lines(edited(tmp_path, wider))
    assert (
        "  changed  conv (conv1): kernel 3 -> 5, channels 16/32/64 -> 32/64/128" in told
    )


def test_a_new_stage_and_a_new_unit_are_told(tmp_path: Path) -> None:
    def longer(spec: dict[str, Any]) -> None:
        stages = spec["network"]["stages"]
        stages[0].insert(1, {"entry": {"width": 16}})
        stages.append([{"entry": {"width": 128, "stride": 2}}])

    difference = edited(tmp_path, longer)
    told = lines(difference)
    assert "  added    stage1: entry x1" in told
    assert "  added    stage4: entry x1" in told
    (added,) = (row for row in rows(difference) if row[0].startswith("stage4"))
    assert added[:3] == ("stage4.0 (added)", "entry x1", "128x4x4")


def test_units_that_grow_are_compared_as_one_row(tmp_path: Path) -> None:
    def dense(spec: dict[str, Any]) -> None:
        out = {"from": ["x", "F"], "ops": ["concat"]}
        spec["units"]["body"]["paths"]["out"] = out
        spec["network"]["params"]["more"] = 0
        spec["network"]["stages"] = [
            [{"entry": {"width": 16}}, {"body": {"width": 4}, "repeat": "n + more"}]
        ]

    spec = json.loads(tree("preact_basic"))
    dense(spec)
    few = compiled(spec, tmp_path)
    spec["network"]["params"]["more"] = 300
    difference = compare(few, compiled(spec, tmp_path))
    assert "  changed  stage1: body x3 -> x303" in lines(difference)
    assert len(difference.pairs) == 4
