"""Equal runs leave equal bytes, wherever and in whichever process they are made."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from resgraph.emit.forms import FORMS
from resgraph.train import open_run
from tests.conftest import ROOT
from tests.training.conftest import Trained, checkpoint_of

TINY = (ROOT / "tests" / "specs" / "tiny.yaml").read_text()
DIFFERENT = ("run.json", "metrics.jsonl", "events.out.tfevents.")
"""They have times, and what the run ran on."""


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a run folder that has neither times nor the machine in it."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if not path.name.startswith(DIFFERENT)
    }


def made(project: Path, run: str, hash_seed: int) -> dict[str, str]:
    """A run of a small network and all its exported forms, by processes of their own."""
    (project / "specs").mkdir(parents=True)
    (project / "specs" / "tiny.yaml").write_text(TINY)
    env = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT)}
    options = "--data digits --iterations 6 --batch 32 --eval-every 3 --log-every 2"
    forms = " ".join(f"--form {form}" for form in FORMS)
    for line in (
        "compile specs/tiny.yaml",
        f"train generated/tiny.py {options} --monitor --device cpu --out {run}",
        f"export {run} {forms}",
        f"export {run} --target cpu {forms}",
        f"export {run} --target cuda",
    ):
        command = [sys.executable, "-m", "resgraph", *line.split()]
        subprocess.run(command, cwd=project, env=env, check=True, capture_output=True)
    compiled = {f"compiled {k}": v for k, v in digests(project / "generated").items()}
    return compiled | digests(project / run)


def test_two_runs_are_equal_in_all_that_has_no_clock(tmp_path: Path) -> None:
    one = made(tmp_path / "one", "run", hash_seed=1)
    other = made(tmp_path / "two" / "deeper", "runs/another", hash_seed=77)
    assert one == other
    names = {f"tiny.{form}.onnx" for form in FORMS if form != "portable"}
    weights = {"last.safetensors", "best.safetensors", "state.pt", "state.previous.pt"}
    copies = {"tiny.py", "spec.yaml", "units.jsonl", "compiled tiny.onnx"}
    assert names | weights | copies <= one.keys()


@pytest.mark.parametrize("stops", [(7,), (3, 10, 20)])
def test_a_resumed_run_is_equal_to_one_that_was_not(
    trained: Trained, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    """As soon as both have two checkpoints of the same steps."""
    whole = trained(out=tmp_path / "whole", checkpoint_every=4).folder
    for number, stop in enumerate(stops):
        trained(stop_at=stop, resume=number > 0, checkpoint_every=4)
    parts = trained(resume=True, checkpoint_every=4).folder
    assert digests(parts) == digests(whole)


def test_the_clock_goes_on_where_it_stood(trained: Trained) -> None:
    """Though it is in no checkpoint: of a stopped run, and of a killed one."""
    stopped = trained(stop_at=10)
    run = open_run(stopped.folder)
    assert "seconds" not in checkpoint_of(run).state["standing"]
    assert run.seconds_at(10) == stopped.seconds
    records = {r.iteration: r.seconds for r in run.records()}
    assert run.seconds_at(9) == records[8]
    assert run.seconds_at(0) == 0
    assert trained(resume=True).seconds > stopped.seconds
