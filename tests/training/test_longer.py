"""A run that is given more, or another schedule: where it goes on, and where it cannot."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from resgraph.data import Dataset
from resgraph.train import (
    Generated,
    Result,
    TrainOptions,
    load_generated,
    open_run,
    train,
)
from tests.helpers import refused
from tests.training.conftest import Trained, written
from tests.training.test_again import QUICK, here, project  # noqa: F401 (a fixture)

FLAT = ("'milestones': (32000, 48000)", "'milestones': ()")
COLD = ("'warmup_iterations': 400", "'warmup_iterations': 0")


@pytest.fixture
def flat(tmp_path: Path, digits: Dataset, options: TrainOptions) -> Trained:
    """Train the tiny network at one learning rate, with some options changed."""
    generated = load_generated(written(tmp_path, FLAT, COLD, name="flat"))
    return trainer(generated, dataclasses.replace(digits, recipe=None), options)


def trainer(
    generated: Generated, digits: Dataset, options: TrainOptions
) -> Callable[..., Result]:
    def run(**changes: Any) -> Result:
        return train(generated, digits, dataclasses.replace(options, **changes))

    return run


def same(one: Path, other: Path) -> None:
    ours, theirs = (load_file(f / "last.safetensors") for f in (one, other))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("stop", [None, 11], ids=["finished", "stopped"])
def test_more_of_the_same_rate(flat: Trained, tmp_path: Path, stop: int | None) -> None:
    """It ends as a run that was as long from its start."""
    whole = flat(out=tmp_path / "whole", iterations=40).folder
    first = flat(stop_at=stop)
    assert first.status == ("stopped" if stop else "finished")
    more = flat(iterations=40, resume=True)
    assert (more.status, more.iteration) == ("finished", 40)
    same(whole, more.folder)
    run = open_run(more.folder)
    assert run.recipe == open_run(whole).recipe
    assert run.about["options"]["iterations"] == 40
    assert flat(iterations=None, resume=True) == more


def test_epochs_for_iterations(flat: Trained, tmp_path: Path, digits: Dataset) -> None:
    flat(stop_at=5)
    batch = open_run(tmp_path / "run").recipe.batch
    more = flat(epochs=1.0, iterations=None, resume=True)
    assert more.iteration == -(-len(digits.train_images) // batch)
    kept = open_run(more.folder).about["options"]
    assert (kept["epochs"], kept["iterations"]) == (1.0, None)


def test_killed_after_it_was_given_more(flat: Trained, tmp_path: Path) -> None:
    """The folder alone knows how long it is to be."""
    whole = flat(out=tmp_path / "whole", iterations=40).folder
    flat()
    flat(iterations=40, resume=True, stop_at=30)
    same(whole, flat(iterations=None, resume=True).folder)


STEPS = {
    "a milestone within": (
        {"stop_at": 16},
        {"iterations": 48},
        "its step 15 was at learning rate 0.01, not 0.1",
    ),
    "a finished one": (
        {},
        {"iterations": 48},
        "it has come to iteration 24, and its step 15 was at learning rate 0.01, not 0.1",
    ),
    "less than is done": (
        {"stop_at": 11},
        {"iterations": 10},
        "(it has come to iteration 11)",
    ),
    "another batch": ({"stop_at": 5}, {"batch": 8}, "batch 32, now 8"),
    "another rate": (
        {"stop_at": 5},
        {"lr": 0.2},
        "its step 1 was at learning rate 0.1",
    ),
}


@pytest.mark.parametrize("case", STEPS)
def test_why_not(trained: Trained, case: str) -> None:
    first, then, told = STEPS[case]
    folder = trained(**first).folder
    before = (folder / "run.json").read_bytes()
    said = refused(lambda: trained(**{"iterations": None} | then, resume=True))
    assert told in said
    assert (folder / "run.json").read_bytes() == before
    assert trained(resume=True, iterations=None).iteration == 24


def test_a_schedule_that_has_not_parted_yet(trained: Trained, tmp_path: Path) -> None:
    """Before its first milestone a run may become longer, and shorter."""
    for number in (48, 20):
        out = tmp_path / f"parts{number}"
        whole = trained(out=tmp_path / f"whole{number}", iterations=number).folder
        trained(stop_at=8, out=out)
        trained(out=out, iterations=number, resume=True)
        same(whole, out)


def test_by_the_command(project: Path) -> None:  # noqa: F811
    here(f"resgraph train specs/tiny.yaml {QUICK} --out run --stop-at 5")
    here("resgraph train run --iterations 20 --stop-at 6")
    here("resgraph train run")
    told = here("resgraph train run --iterations 15", 1)
    assert "it has come to iteration 20" in told
    told = here("resgraph train run --iterations 40", 1)
    assert "its schedule is at its end: start anew with --overwrite" in told
    about = json.loads(Path("run/run.json").read_text())
    assert (about["status"], about["results"]["iteration"]) == ("finished", 20)
    assert about["options"]["recipe"]["iterations"] == 20
    here("resgraph train run --iterations 25 --overwrite")
    assert open_run("run").recipe.iterations == 25
