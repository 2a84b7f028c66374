"""Each step as a dry run on the CPU, as a user calls it; and the tables of what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import report
from benchmarks.gpu.train import until
from tests.conftest import ROOT

no_gpu = pytest.mark.skipif(
    torch.cuda.is_available(), reason="there is a CUDA device here"
)


def step(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A call of the program, which is to end with that code."""
    command = [sys.executable, "-m", "benchmarks.gpu", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def dry(name: str, out: Path, *more: object, code: int = 0) -> str:
    """A dry run; its last line, which is the verdict."""
    done = step(name, "--device", "cpu", "--small", "--out", out, *more, code=code)
    return done.stdout.splitlines()[-1]


def found(path: Path) -> dict[str, Any]:
    """What a step wrote: whole, and no other file left of writing it."""
    assert not [*path.parent.glob(f".{path.name}*")]
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def test_check(tmp_path: Path) -> None:
    words = (
        "machine",
        "20: all but fused",
        "from disk",
        "costs",
        "BN-ReLU",
        "portable",
    )
    line = dry("check", tmp_path, *words)
    assert "RIGHT: of " in line
    assert line.endswith(" right, 2 shown")
    parts = found(tmp_path / "check.json")["parts"]
    assert parts["machine"]["result"]["torch"] == torch.__version__
    held = parts["resnet20: all but fused"]["result"]["to plain"]
    assert set(held) == {"weights", "statistics", "loss", "counts of batches"}


def test_check_of_the_commands(tmp_path: Path) -> None:
    """A run is begun, stopped and gone on with; what fails is WRONG."""
    line = dry("check", tmp_path, "resgraph resume", code=1)
    assert "WRONG" in line
    assert line.endswith(": resgraph resume")
    words = ("resgraph train", "resgraph resume")
    assert "RIGHT: of 2 parts: 2 right" in dry("check", tmp_path, *words)


def test_bench(tmp_path: Path) -> None:
    """Over two calls; the second measures only what has no figure yet."""
    words = ("floors", "fused alone", "memory")
    assert "RIGHT: of 3 parts: 3 shown" in dry("bench", tmp_path, *words)
    first = found(tmp_path / "bench.json")["parts"]
    dry("bench", tmp_path, *words, "hand-written, eager fp32")
    data = found(tmp_path / "bench.json")
    assert {k: v for k, v in data["parts"].items() if k in first} == first
    row = data["parts"]["resnet20: fused alone"]
    assert row["of"]["choices"]["fused"] is True
    assert row["result"]["images_per_s"] > 0
    assert row["result"]["first_step_seconds"] > row["result"]["step_seconds"]
    assert 0 < row["result"]["host_seconds"] <= row["result"]["step_seconds"]
    plain, *others = data["parts"]["resnet20: memory"]["result"]["ways"]
    assert len(others) > 5
    for way in (plain, *others):
        assert way["counted"] == (way["predicted"] or way["counted"])
        assert way["counted"] <= plain["counted"]
    text = "\n".join(report.training(data))
    assert "| resnet20: hand-written, eager fp32 | " in text
    assert "| each unit anew | " in text


def test_no_time(tmp_path: Path) -> None:
    line = dry("bench", tmp_path, "--minutes", 0, code=3)
    assert "UNFINISHED" in line
    assert found(tmp_path / "bench.json")["parts"] == {}


def test_infer(tmp_path: Path) -> None:
    words = ("batch 4: torch, eager fp32", "batch 4: portable")
    assert "RIGHT: of 3 parts: 3 right" in dry("infer", tmp_path, *words)
    data = found(tmp_path / "infer-resnet20.json")
    row = data["parts"]["batch 4: portable; as resgraph infer"]["result"]
    assert row["apart"] <= row["at most"] < 1e-3
    assert row["placement"].startswith("CPUExecutionProvider")
    assert row["fastest ms"] <= row["ms"]
    assert "| batch 4: portable; as resgraph infer | " in "\n".join(
        report.inference(data)
    )


def test_profile(tmp_path: Path) -> None:
    assert "RIGHT" in dry("profile", tmp_path, "--without", "fused")
    data = found(tmp_path / "profile.json")
    row = data["parts"]["resnet20: default, without fused"]["result"]
    assert row["choices"]["fused"] is False
    kinds, kernels = (row[part].values() for part in ("kinds", "kernels"))
    assert sum(k["ms"] for k in kinds) >= sum(k["ms"] for k in kernels) > 0
    assert row["kinds"]["convolutions and products"]["ms"] > 0
    assert "| pointwise | " in "\n".join(report.profiles(data))


def test_train(tmp_path: Path) -> None:
    """Begun and gone on with by the same command; whole pieces come home each time."""
    runs = ("--runs", tmp_path / "runs", "--piece", "1M")
    line = dry("train", tmp_path, *runs, "--", "--stop-at", 3, code=3)
    assert line.endswith("UNFINISHED: stopped; the same command goes on")
    about = found(tmp_path / "train-resnet20.json")
    assert about["results"]["iteration"] == 3
    assert dry("train", tmp_path, *runs).endswith("RIGHT: finished")
    about = found(tmp_path / "train-resnet20.json")
    assert "--resume" in about["command"]
    assert about["results"]["iteration"] == 6
    carried = {p.name for p in (tmp_path / "pieces").iterdir()}
    assert carried == {*about["pieces"], "run-resnet20.tar.json"}
    assert len(about["pieces"]) > 1
    assert (tmp_path / "resnet20.metrics.jsonl").exists()


def test_a_run_that_cannot_begin_is_wrong(tmp_path: Path) -> None:
    line = dry("train", tmp_path, "no_such", "--runs", tmp_path / "runs", code=1)
    assert "WRONG: not begun" in line


def test_no_time_begins_no_run(tmp_path: Path) -> None:
    more = ("--runs", tmp_path / "runs", "--minutes", 0.4, "--saving", 30)
    assert "UNFINISHED" in dry("train", tmp_path, *more, code=3)
    assert not (tmp_path / "runs").exists()


def test_a_run_is_interrupted_in_time(tmp_path: Path) -> None:
    """By SIGINT, so that it saves itself; its own exit code comes back."""
    program = (
        "import pathlib, signal, sys\n"
        "def save(*_):\n"
        "    pathlib.Path(sys.argv[1]).write_text('saved')\n"
        "    sys.exit(130)\n"
        "signal.signal(signal.SIGINT, save)\n"
        "signal.pause()\n"
    )
    # Interpreters start in well under this time; else its exit code would be another.
    command = [sys.executable, "-S", "-c", program, str(tmp_path / "state")]
    assert until(command, 5) == 130
    assert (tmp_path / "state").read_text() == "saved"


def test_tests(tmp_path: Path) -> None:
    """Those that need CUDA, and no others, which here are skipped."""
    line = dry(
        "tests", tmp_path, "tests/verify/test_cuda.py", "tests/gpu/test_pieces.py"
    )
    outcomes = found(tmp_path / "tests.json")["tests"]
    assert outcomes
    assert all(name.startswith("tests/verify/") for name in outcomes)
    if not torch.cuda.is_available():
        assert {test["outcome"] for test in outcomes.values()} == {"skipped"}
        assert f"RIGHT: {len(outcomes)} skipped" in line


@no_gpu
@pytest.mark.parametrize("name", ["check", "train"])
def test_without_a_gpu_it_says_so(name: str, tmp_path: Path) -> None:
    done = step(name, "--out", tmp_path / "out", code=2)
    assert done.stderr.splitlines()[0] == "error: no CUDA device here"
    assert "dry run" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_list_needs_no_gpu(tmp_path: Path) -> None:
    listed = step("bench", "--list", "--out", tmp_path).stdout.splitlines()
    assert "resnet1001: all: unfinished" in listed
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "arguments", [(), ("fly",), ("check", "--what"), ("bench", "--minutes", "soon")]
)
def test_a_wrong_command_line(arguments: tuple[str, ...]) -> None:
    assert "error: " in step(*arguments, code=2).stderr
