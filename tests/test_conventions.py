"""Other frameworks' habits never pass in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.compiler import Compiler
from tests.helpers import SPECS

TINY = (SPECS / "tiny.yaml").read_text()
INPUT, STEM, END = "input: [3, 16, 16]", "bn, relu]\n  stages", "classes}}]\n"


def told(tmp_path: Path, old: str, new: str) -> list[str]:
    """The warnings of the tiny spec with one change."""
    assert old in TINY
    path = tmp_path / "spec.yaml"
    path.write_text(TINY.replace(old, new), encoding="utf-8")
    compiler = Compiler()
    compiler.graphs(path)
    return [f"{f.span}: {f.code.name}: {f.hint}" for f in compiler.warnings[str(path)]]


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        (INPUT, "input: [32, 32, 3]", "[3, 32, 32]"),
        (INPUT, "input: [28, 28, 1]", "[1, 28, 28]"),
        (INPUT, "input: [depth, depth, 3]", "[3, depth, depth]"),
        (STEM, STEM.replace("bn", "{bn: {momentum: 0.99}}"), "momentum: 0.01"),
        (STEM, STEM.replace("relu", "{dropout: {rate: 0.8}}"), "rate: 0.2"),
        (END, f"{END}train: {{milestones: [30, 60, 90]}}\n", "391"),
        (END, f"{END}train: {{iterations: 90, milestones: [90]}}\n", "iterations"),
        (END, f"{END}train: {{gamma: 10}}\n", "0.1"),
    ],
)
def test_a_habit_is_told(old: str, new: str, hint: str, tmp_path: Path) -> None:
    (finding,) = told(tmp_path, old, new)
    assert "foreign-convention" in finding
    assert hint in finding


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (INPUT, "input: [3, 32, 32]"),
        (INPUT, "input: [1, 3, 3]"),
        (INPUT, "input: [4, 4, 4]"),
        (INPUT, "input: [32, 16, 3]"),
        (STEM, STEM.replace("bn", "{bn: {momentum: 0.01}}")),
        (STEM, STEM.replace("relu", "{dropout: {rate: 0.5}}")),
        (END, f"{END}train: {{iterations: 60}}\n"),
        (END, f"{END}train: {{iterations: 500, milestones: [250, 375]}}\n"),
    ],
)
def test_what_is_none_is_not(old: str, new: str, tmp_path: Path) -> None:
    assert told(tmp_path, old, new) == []
