"""What is wrong with a spec's recipe is told at its line, with the one right name."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.compiler import Compiler
from resgraph.diagnostics import Diagnostic, SpecError
from resgraph.graph import Graph
from resgraph.recipe.foreign import _FIELDS, _PARTS
from tests.helpers import SPECS

TINY = (SPECS / "tiny.yaml").read_text()
LINES = TINY.count("\n")


def compiled(folder: Path, train: str) -> list[Graph]:
    path = folder / "spec.yaml"
    path.write_text(f"{TINY}train:\n{train}", encoding="utf-8")
    return Compiler().graphs(path)


def findings(folder: Path, train: str) -> list[Diagnostic]:
    try:
        compiled(folder, train)
    except SpecError as error:
        return list(error.diagnostics)
    return []


def told(folder: Path, train: str) -> list[tuple[int, str, str]]:
    """Line within `train`, code and hint of each finding."""
    return [
        (d.span.line - LINES - 1, d.code.name, f"{d.message} | {d.hint}")
        for d in findings(folder, train)
        if d.span
    ]


FOREIGN = [
    (word, line.partition(":")[0])
    for line in _FIELDS.replace("\n  ", " ").strip().splitlines()
    for word in line.partition(":")[2].split()
]
PARTS = [
    (part, word, line.partition(":")[0])
    for part, text in _PARTS.items()
    for line in text.replace("\n  ", " ").strip().splitlines()
    for word in line.partition(":")[2].split()
]


@pytest.mark.parametrize(("word", "here"), FOREIGN)
def test_foreign_names_get_the_right_one(word: str, here: str, tmp_path: Path) -> None:
    ((line, code, text),) = told(tmp_path, f"  recipe: he2016\n  {word}: 1\n")
    assert (line, code) == (2, "unknown-key")
    assert f"unknown key '{word}' | here it is '{here}'" in text


@pytest.mark.parametrize(("part", "word", "here"), PARTS)
def test_foreign_optimizers_and_schedules(
    part: str, word: str, here: str, tmp_path: Path
) -> None:
    ((line, code, text),) = told(tmp_path, f"  {part}: {word}\n")
    assert (line, code) == (1, "unknown-choice")
    assert f"unknown {part} '{word}' | here it is '{here}'" in text


@pytest.mark.parametrize(
    ("train", "line", "code", "part"),
    [
        ("  optimizer: lamb\n", 1, "unknown-choice", "known here: adamw, sgd"),
        ("  lr: 1\n  schedule: exponential\n", 2, "unknown-choice", "one_cycle"),
        ("  optimizer: adamw\n  momentum: 0.9\n", 2, "unknown-key", "has betas, eps"),
        ("  eps: 1e-8\n", 1, "unknown-key", "field of the optimizer adamw"),
        ("  schedule: cosine\n  gamma: 0.1\n", 2, "unknown-key", "has min_lr"),
        ("  min_lr: 0\n", 1, "unknown-key", "schedule cosine and linear"),
        (
            "  optimizer:\n    adamw:\n      momentum: 1\n",
            3,
            "unknown-key",
            "here: betas, eps",
        ),
        ("  optimizer:\n    adamw: {epsilon: 1}\n", 2, "unknown-key", "'eps'"),
        ("  optimizer: {sgd: {momentum: 2}}\n", 1, "invalid-number", "from 0 to 1"),
        (
            "  momentum: 0.8\n  optimizer: {sgd: {momentum: 0.9}}\n",
            1,
            "unknown-key",
            "once",
        ),
        ("  nesterov: true\n  momentum: 0\n", 1, "invalid-number", "above 0"),
        (
            "  optimizer: adamw\n  betas: [0.9]\n",
            2,
            "wrong-length",
            "two numbers, got 1",
        ),
        ("  milestones: [5, 3]\n", 1, "invalid-number", "5, 3 are not in order"),
        ("  milestones: [5.5]\n", 1, "invalid-number", "whole numbers of steps"),
        (f"  milestones: {[*range(1, 1002)]}\n", 1, "too-large", "1,001 milestones"),
        ("  ema: 1\n", 1, "invalid-number", "never takes a step"),
        ("  ema_start: 5\n", 1, "invalid-number", "'ema' is not given"),
        (
            "  iterations: 60\n  ema: 0.9\n  ema_start: 60\n",
            3,
            "invalid-number",
            "no steps",
        ),
        ("  epochs: 3\n  ema: 0.9\n  ema_start: 3\n", 3, "invalid-number", "epoch 3"),
        ("  iterations: 5\n  epochs: 5\n", 2, "wrong-form", "both say how long"),
        ("  version: 2\n", 1, "unknown-choice", "'version' is 1, not 2"),
        (
            "  no_weight_decay: [bn, weight]\n",
            1,
            "unknown-choice",
            "'bn' or 'bias'",
        ),
        ("  clip_grad_norm: 0\n", 1, "invalid-number", "a positive number"),
        ("  label_smoothing: 1.5\n", 1, "invalid-number", "from 0 to 1"),
        ("  optimizer: [sgd]\n", 1, "wrong-form", "the optimizers: sgd, adamw"),
        ("  optimizer: {sgd: 3}\n", 1, "wrong-type", "a mapping"),
        ("  warmup: cosine\n", 1, "unknown-choice", "'constant' or 'linear'"),
        ("  warmup_lr: -1\n", 1, "invalid-number", "a number, 0 or more"),
    ],
)
def test_a_finding(train: str, line: int, code: str, part: str, tmp_path: Path) -> None:
    ((at, name, text),) = told(tmp_path, train)
    assert (at, name) == (line, code)
    assert part in text


def test_all_findings_come_together(tmp_path: Path) -> None:
    found = told(
        tmp_path,
        "  learning_rate: 0.1\n  batch_size: 4\n  optimizer: lamb\n  wd: 0\n"
        "  ema: 3\n  flip: 1\n  epochs: -1\n",
    )
    assert [line for line, _, _ in sorted(found)] == [1, 2, 3, 4, 5, 6, 7]


def test_both_ways_to_write_a_part_are_one(tmp_path: Path) -> None:
    flat = "  optimizer: adamw\n  eps: 1e-6\n  schedule: steps\n  milestones: [9]\n"
    parts = (
        "  optimizer: {adamw: {eps: 1e-6}}\n  schedule: {steps: {milestones: [9]}}\n"
    )
    one, two = (compiled(tmp_path, text)[0].recipe for text in (flat, parts))
    assert one == two
    assert one["optimizer"] == "adamw"
    assert one["milestones"] == (9,)


@pytest.mark.parametrize(
    "train",
    [
        "  iterations: 90\n  schedule: {steps: {milestones: [90]}}\n",
        "  epochs: 90\n  milestones: [30, 90]\n",
    ],
)
def test_milestones_after_the_end(train: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"{TINY}train:\n{train}", encoding="utf-8")
    compiler = Compiler()
    compiler.graphs(path)
    (finding,) = compiler.warnings[str(path)]
    assert finding.span is not None
    assert finding.span.line == LINES + 3
    assert "before the milestone 90" in finding.message


def test_what_is_printed_of_the_paper_is_as_before(tmp_path: Path) -> None:
    recipe = dict(compiled(tmp_path, "  recipe: he2016\n")[0].recipe)
    assert recipe == {
        "iterations": 64000,
        "batch": 128,
        "lr": 0.1,
        "milestones": (32000, 48000),
        "gamma": 0.1,
        "warmup_iterations": 400,
        "warmup_lr": 0.01,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 1e-4,
        "pad": 4,
        "flip": True,
    }


@pytest.mark.parametrize(
    ("train", "more"),
    [
        ("  lr: 0.05\n", {}),
        ("  lr: 0.1\n", {"explicit": ("lr",)}),
        ("  lr: 0.05\n  batch: 128\n  flip: true\n", {"explicit": ("batch", "flip")}),
        ("  optimizer: {sgd: {momentum: 0.9}}\n", {"explicit": ("momentum",)}),
        ("  ema: 0.999\n", {"ema": 0.999}),
        ("  version: 1\n", {}),
    ],
)
def test_only_what_differs_is_added(
    train: str, more: dict[str, object], tmp_path: Path
) -> None:
    recipe = compiled(tmp_path, train)[0].recipe
    paper = compiled(tmp_path, "  recipe: he2016\n")[0].recipe
    assert {k: v for k, v in recipe.items() if k not in paper} == more


@pytest.mark.parametrize(
    ("base", "own", "wanted"),
    [
        ("momentum: 0.8", "optimizer: adamw", {"optimizer": "adamw", "lr": 1e-3}),
        ("optimizer: {adamw: {eps: 1e-6}}", "optimizer: sgd", {"momentum": 0.9}),
        (
            "optimizer: {sgd: {momentum: 0.5}}",
            "optimizer: {adamw: {eps: 1e-6}}",
            {"eps": 1e-6},
        ),
        (
            "optimizer: {adamw: {eps: 1e-6}}",
            "optimizer: {adamw: {betas: [0.8, 0.9]}}",
            {"eps": 1e-6, "betas": (0.8, 0.9)},
        ),
        ("iterations: 90", "epochs: 3", {"epochs": 3}),
        ("epochs: 3", "iterations: 90", {"iterations": 90}),
        ("milestones: [3]", "schedule: cosine", {"schedule": "cosine"}),
        ("ema: 0.9", "ema: 0.99", {"ema": 0.99}),
        ("lr: 0.05", "batch: 64", {"lr": 0.05, "batch": 64}),
    ],
)
def test_a_recipe_that_extends_another(
    base: str, own: str, wanted: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "base.yaml").write_text(f"{TINY}train: {{{base}}}\n")
    path = tmp_path / "spec.yaml"
    path.write_text(f"resgraph: 1\ntitle: more\nextends: base.yaml\ntrain: {{{own}}}\n")
    recipe = Compiler().graphs(path)[0].recipe
    assert {word: recipe.get(word) for word in wanted} == wanted
