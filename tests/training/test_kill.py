"""A run that is killed, by SIGKILL and at any point, ends as one that never was."""

from __future__ import annotations

import dataclasses
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from resgraph.train import TrainOptions, load_generated, open_run, train
from tests.training.conftest import written
from tests.training.preload import DIGITS
from tests.training.processes import die_at, ended, started
from tests.training.test_resume import comparable
from tests.training.test_tensorboard import scalars

OPTIONS = TrainOptions(
    device="cpu", iterations=12, eval_every=5, log_every=2, checkpoint_every=3
)


def session(source: Path, out: Path, *death: Any) -> None:
    """Begin a run or go on with it, until it ends or until `die_at` this."""
    options = dataclasses.replace(OPTIONS, out=out, resume=(out / "run.json").exists())
    if death:
        die_at(*death)
    train(load_generated(source), DIGITS, options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run without a break, beside its source."""
    folder = tmp_path_factory.mktemp("whole")
    source = written(folder)
    assert ended(started(session, source, folder / "run")) == 0
    return folder / "run"


def assert_same(one: Path, other: Path) -> None:
    """Both runs have bitwise the same weights, the same records, the same events."""
    ours, theirs = (
        {re.sub(r"\d+$", "", p.name) for p in f.iterdir()} for f in (one, other)
    )
    assert ours == theirs
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = load_file(one / name), load_file(other / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert comparable(one) == comparable(other)
    assert scalars(one) == scalars(other)
    assert results(one) == results(other)


def results(run: Path) -> dict[str, Any]:
    about = open_run(run).about
    return {k: v for k, v in about["results"].items() if k != "seconds"}


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_change_of_the_folder(
    whole: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    run, codes = tmp_path / "run", []
    for _ in range(6):
        death = chance.randint(1, 45)
        codes.append(ended(started(session, whole.parent / "tiny.py", run, death, run)))
    assert codes.count(-signal.SIGKILL) >= 3
    assert ended(started(session, whole.parent / "tiny.py", run)) == 0
    assert_same(run, whole)


@pytest.mark.parametrize("change", range(1, 8))
def test_killed_within_a_checkpoint(whole: Path, tmp_path: Path, change: int) -> None:
    """From its temporary file to the last rename; the second checkpoint of a session."""
    run, first = tmp_path / "run", 5
    code = ended(
        started(session, whole.parent / "tiny.py", run, first + change, run, "state")
    )
    assert code == -signal.SIGKILL
    assert ended(started(session, whole.parent / "tiny.py", run)) == 0
    assert_same(run, whole)


def test_killed_at_once(whole: Path, tmp_path: Path) -> None:
    """Before the folder is one that a run can be recognised by."""
    run, source = tmp_path / "run", whole.parent / "tiny.py"
    for change in (1, 2, 3, 4, 5):
        assert ended(started(session, source, run, change, run)) == -signal.SIGKILL
    assert ended(started(session, source, run)) == 0
    assert_same(run, whole)


def test_killed_at_any_time(whole: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    run, codes = tmp_path / "run", []
    for _ in range(6):
        process = started(session, whole.parent / "tiny.py", run)
        time.sleep(chance.uniform(0.03, 0.4))
        process.kill()
        codes.append(ended(process))
    assert -signal.SIGKILL in codes
    assert ended(started(session, whole.parent / "tiny.py", run)) == 0
    assert_same(run, whole)
