"""`train` with files that resgraph did not write: none ends it as if it had trained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.diagnostics import ResgraphError
from resgraph.isolation import command
from tests.isolation.attacks import FEW, planted

QUICK = ("--data", "digits", "--batch", "64", "--device", "cpu", "--out", "run")
STEPS = ("--iterations", "12", "--log-every", "4")


def train(path: Path, *options: str) -> tuple[int, str]:
    """The command's exit code, and what it tells of the error."""
    words = ["train", str(path), *QUICK, *(options or STEPS)]
    result = CliRunner().invoke(app, words)
    error = result.exception
    if isinstance(error, ResgraphError):
        return error.exit_code, error.message
    assert error is None or isinstance(error, SystemExit), repr(error)
    return result.exit_code, result.output


def status() -> str:
    return str(json.loads((Path("run") / "run.json").read_text())["status"])


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("case", FEW)
def test_an_attack_is_not_trained(case: str, tiny: Path) -> None:
    tiny.write_text(planted(tiny.read_text(), *FEW[case]))
    code, told = train(tiny)
    assert code == 1
    assert "tiny.py" in told
    assert not Path("run").exists()
    assert not Path("left").exists()


LATE = {
    "sys.exit(0)": ("import sys; sys.exit(0)", "failed"),
    "os._exit(0)": ("import os; os._exit(0)", "running"),
    "SIGKILL": ("import os; os.kill(os.getpid(), 9)", "running"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "running"),
    "ValueError": ("raise ValueError('odd')", "failed"),
    "SIGINT": ("import signal; signal.raise_signal(signal.SIGINT)", "interrupted"),
}


@pytest.mark.parametrize("case", LATE)
def test_an_end_within_training_is_no_success(case: str, tiny: Path) -> None:
    """At the sixth step, so that the trial sees nothing of it."""
    code, left = LATE[case]
    late = f"self.n = getattr(self, 'n', 0) + 1\nif self.n == 6:\n    {code}"
    tiny.write_text(planted(tiny.read_text(), late, "training"))
    assert train(tiny)[0] == 1
    assert status() == left


def test_what_is_not_resgraphs_is_trained_and_said(
    tiny: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the same numbers: the file runs elsewhere, and that is all."""
    train(tiny, *STEPS, "--out", "own")
    tiny.write_text(tiny.read_text() + "# mine\n")
    code, shown = train(tiny)
    assert code == 0
    assert "first difference at line 101\n  file     | # mine\n" in shown
    assert status() == "finished"
    assert Path("run/tiny.py").read_text().endswith("# mine\n")
    assert "next: resgraph export run" in capfd.readouterr().out
    own, other = (load_file(f"{run}/last.safetensors") for run in ("own", "run"))
    assert all(torch.equal(own[name], other[name]) for name in own | other)


def test_mistakes_are_told_once_with_their_code(
    tiny: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.write_text(tiny.read_text() + "# mine\n")
    assert train(tiny, "--optimizer", "adamw", "--momentum", "0.9")[0] == 2
    told = capfd.readouterr().err
    assert told.count("error: ") == 1
    assert "Traceback" not in told


def test_stop_at_is_an_orderly_end(tiny: Path) -> None:
    tiny.write_text(tiny.read_text() + "# mine\n")
    assert train(tiny, *STEPS, "--stop-at", "5")[0] == 0
    assert status() == "stopped"
    assert train(tiny, *STEPS, "--resume")[0] == 0
    assert status() == "finished"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_training(number: signal.Signals, tiny: Path) -> None:
    tiny.write_text(tiny.read_text() + "# mine\n")
    words = ["train", str(tiny), *QUICK, "--iterations", "100000", "--log-every", "1"]
    process = subprocess.Popen(_resgraph(words), start_new_session=True)
    metrics = Path("run/metrics.jsonl")
    while not metrics.exists() or not metrics.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, number)
    assert process.wait(60) == 130
    assert status() == "interrupted"


def test_the_training_ends_with_its_parent(tiny: Path) -> None:
    tiny.write_text(tiny.read_text() + "# mine\n")
    words = ["train", str(tiny), *QUICK, "--iterations", "100000", "--log-every", "1"]
    process = subprocess.Popen(_resgraph(words))
    metrics = Path("run/metrics.jsonl")
    while not metrics.exists() or not metrics.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    while status() != "interrupted":
        time.sleep(0.05)


def _resgraph(words: list[str]) -> list[str]:
    return [*command("resgraph.cli"), *words]
