"""Several ranks, as torchrun starts them, do what one alone does."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from resgraph.data import Dataset
from resgraph.diagnostics import ResgraphError
from resgraph.train import (
    TrainOptions,
    load_generated,
    open_run,
    train,
)
from resgraph.train.distributed import joined
from tests.conftest import ROOT
from tests.helpers import refused
from tests.training.conftest import at_step, written
from tests.training.preload import DIGITS
from tests.training.processes import run_ranks
from tests.training.test_recipes import MODERN
from tests.training.test_tensorboard import scalars

NO_DROPOUT = ("nn.Dropout(0.1)", "nn.Dropout(0.0)")


def on_rank(source: Path, options: TrainOptions, notes: Path) -> None:
    """Train as one of several ranks; note how it ended."""
    rank = os.environ["RANK"]
    try:
        with joined(cuda=False) as world:
            result = train(load_generated(source), DIGITS, options, world=world)
        note = f"{result.status} {result.iteration}"
    except ResgraphError as error:
        note = f"{type(error).__name__} {error.message}"
    (notes / f"rank{rank}").write_text(note)


def on_ranks(source: Path, options: TrainOptions, size: int = 2) -> list[str]:
    """The ranks' notes."""
    notes = source.parent
    codes = run_ranks(size, on_rank, source, options, notes)
    assert codes == [0] * size
    return [(notes / f"rank{rank}").read_text() for rank in range(size)]


def assert_close(one: Path, other: Path) -> None:
    """Two runs are one, but for float32's rounding in another order."""
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = load_file(one / name), load_file(other / name)
        assert ours.keys() == theirs.keys()
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], rtol=1e-3, atol=1e-5)
    ours, theirs = (list(open_run(folder).records()) for folder in (one, other))
    for record, wanted in zip(ours, theirs, strict=True):
        assert record.train_loss == pytest.approx(wanted.train_loss, rel=1e-4)
        same = ("iteration", "epoch", "lr", "test_error")
        assert all(getattr(record, n) == getattr(wanted, n) for n in same)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return written(tmp_path, NO_DROPOUT)


@pytest.fixture
def whole(source: Path, digits: Dataset, options: TrainOptions, tmp_path: Path) -> Path:
    """The folder of a run by one rank alone."""
    alone = dataclasses.replace(options, out=tmp_path / "alone")
    return train(load_generated(source), digits, alone).folder


def test_two_ranks_follow_one(
    source: Path, options: TrainOptions, whole: Path, tmp_path: Path
) -> None:
    """At half the batch each, with synchronised BN; one of them writes."""
    assert on_ranks(source, options) == ["finished 24"] * 2
    run = tmp_path / "run"
    assert_close(run, whole)
    steps = [r.iteration for r in open_run(run).records()]
    assert [step for step, _ in scalars(run)["train/loss"]] == steps
    assert open_run(run).about["ranks"] == 2
    assert {p.name for p in run.iterdir()} == {p.name for p in whole.iterdir()}


def test_a_run_goes_on_with_more_ranks_and_with_fewer(
    source: Path, digits: Dataset, options: TrainOptions, whole: Path, tmp_path: Path
) -> None:
    generated, resumed = (
        load_generated(source),
        dataclasses.replace(options, resume=True),
    )
    train(generated, digits, dataclasses.replace(options, stop_at=6))
    stopped = on_ranks(source, dataclasses.replace(resumed, stop_at=17))
    assert stopped == ["stopped 17"] * 2
    assert train(generated, digits, resumed).status == "finished"
    assert_close(tmp_path / "run", whole)


def test_a_recipe_with_everything_over_ranks(
    source: Path, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    """Two ranks with an average, clipping and AdamW follow one, and resume bitwise."""
    modern = dataclasses.replace(options, recipe=MODERN)
    alone = dataclasses.replace(modern, out=tmp_path / "alone")
    train(load_generated(source), digits, alone)
    whole = dataclasses.replace(modern, out=tmp_path / "whole")
    assert on_ranks(source, whole) == ["finished 24"] * 2
    parts = dataclasses.replace(modern, out=tmp_path / "parts")
    on_ranks(source, dataclasses.replace(parts, stop_at=13))
    on_ranks(source, dataclasses.replace(parts, resume=True))
    for name in ("last.safetensors", "last.ema.safetensors"):
        one, two, three = (
            load_file(tmp_path / folder / name)
            for folder in ("alone", "whole", "parts")
        )
        for key, tensor in two.items():
            assert torch.equal(tensor, three[key])
            torch.testing.assert_close(tensor, one[key], rtol=2e-2, atol=2e-3)


def test_own_statistics_on_each_rank(
    source: Path, options: TrainOptions, whole: Path, tmp_path: Path
) -> None:
    """Then the ranks do not follow one rank, and still agree on all."""
    chosen = dataclasses.replace(options, sync_bn=False)
    assert on_ranks(source, chosen) == ["finished 24"] * 2
    ours, theirs = (
        load_file(f / "last.safetensors")["bn.running_var"]
        for f in (tmp_path / "run", whole)
    )
    assert not torch.allclose(ours, theirs, rtol=1e-3)
    assert open_run(tmp_path / "run").about["sync_bn"] is False


def broken_rank(
    source: Path, options: TrainOptions, notes: Path, statement: str
) -> None:
    """As `on_rank`, where the second rank does that in the midst of its ninth step."""
    if os.environ["RANK"] == "1":
        text = source.read_text().replace(*at_step(9, statement))
        source = notes / "broken.py"
        source.write_text(text)
    on_rank(source, options, notes)


INTERRUPTED = (
    "if self.steps == 9 and self.training: "
    "import signal; signal.raise_signal(signal.{})"
)
LOST = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_one_rank_stops_all_at_one_step(
    source: Path, options: TrainOptions, whole: Path, tmp_path: Path, name: str
) -> None:
    statement = INTERRUPTED.format(name)
    assert run_ranks(2, broken_rank, source, options, tmp_path, statement) == [0, 0]
    notes = [(tmp_path / f"rank{rank}").read_text() for rank in range(2)]
    assert notes == ["interrupted 9"] * 2
    assert open_run(tmp_path / "run").status == "interrupted"
    on_ranks(source, dataclasses.replace(options, resume=True))
    assert_close(tmp_path / "run", whole)


def test_a_lost_rank_ends_the_others(
    source: Path, options: TrainOptions, tmp_path: Path
) -> None:
    codes = run_ranks(2, broken_rank, source, options, tmp_path, LOST)
    assert codes == [0, -signal.SIGKILL]
    note = (tmp_path / "rank0").read_text()
    assert note.startswith("ResgraphError rank 0 lost the other ranks")
    run = open_run(tmp_path / "run")
    assert run.status == "failed"
    assert run.about["results"]["iteration"] == 8


def test_an_error_of_the_writer_is_told_once(
    source: Path, options: TrainOptions, tmp_path: Path
) -> None:
    """Before training as in it: here a folder that is no run's, a record not written."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    notes = on_ranks(source, options)
    assert [note.split()[0] for note in notes] == ["ResgraphError", "OtherRankError"]
    (tmp_path / "run" / "thesis.tex").unlink()
    (tmp_path / "run").rmdir()
    high = dataclasses.replace(options, lr=1e30)
    notes = on_ranks(source, high)
    assert [note.split()[0] for note in notes] == ["DivergedError", "OtherRankError"]
    assert open_run(tmp_path / "run").status == "diverged"


def test_a_batch_that_cannot_be_split(source: Path, options: TrainOptions) -> None:
    notes = on_ranks(source, dataclasses.replace(options, batch=33))
    assert "batches of 33 images cannot be split evenly over 2 ranks" in notes[0]
    assert not options.folder_for(load_generated(source), DIGITS).exists()


def test_more_ranks_than_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "99")
    monkeypatch.setenv("WORLD_SIZE", "100")
    told = refused(lambda: joined(cuda=True).__enter__())
    assert f"rank 99 has no CUDA device: there are {torch.cuda.device_count()}" in told


def test_torchrun(source: Path, tmp_path: Path) -> None:
    """The command as a user gives it, its options behind torchrun's."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = ["-m", "resgraph", "train", source.name, "--data", "digits"]
    chosen = ["--iterations", "4", "--device", "cpu", "--out", "run", "--json"]
    chosen += ["--no-sync-bn", "--checkpoint-every", "3"]
    told = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", *command, *chosen],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    result: dict[str, Any] = json.loads(told.stdout)  # of one rank, else it is no JSON
    assert (result["status"], result["iteration"]) == ("finished", 4)
    run = open_run(tmp_path / "run")
    assert (run.about["ranks"], run.about["sync_bn"]) == (2, False)
    previous = torch.load(run.previous_state, weights_only=True)
    assert previous["standing"]["iteration"] == 3
