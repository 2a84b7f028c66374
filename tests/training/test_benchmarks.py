"""The benchmarks of training: that they run, and what they count."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.floor import Hardware, floor_of
from benchmarks.training import PLAIN, Way, in_process
from resgraph.reference import full_preact_bottleneck
from tests.conftest import ROOT


def bench_gpu(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_gpu", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    result = bench_gpu("--out", tmp_path / "gpu.json")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "no CUDA device here" in line
    assert not (tmp_path / "gpu.json").exists()


def test_a_dry_run(tmp_path: Path) -> None:
    """A row of ours, and what cannot be had here; the file is whole, marked as the CPU's."""
    out = tmp_path / "gpu.json"
    result = bench_gpu("--device=cpu", "--small", "--rows=fused SGD", "--out", out)
    assert result.returncode == 0, result.stderr
    data = json.loads(out.read_text())
    assert data["device"] == "cpu"
    assert data["floors"]["resnet20"]["seconds"]["fp32"] > 0
    fused, graph = data["rows"]
    assert fused["choices"] == {**PLAIN, "fused": True}
    assert fused["images_per_s"] > 0
    assert fused["first_step_seconds"] > 0
    assert "CUDA graphs need CUDA" in graph["error"]


def test_a_dry_run_of_the_memory_rows(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    result = bench_gpu("--device=cpu", "--small", "--rows=memory", "--out", out)
    assert result.returncode == 0, result.stderr
    plain, *others = json.loads(out.read_text())["rows"]
    assert plain["name"] == "all kept"
    assert len(others) > 5
    for row in (plain, *others):
        assert row["counted"] == (row["predicted"] or row["counted"])
        assert row["counted"] <= plain["counted"]


def test_time_that_runs_out_leaves_a_whole_file(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    assert (
        bench_gpu("--device=cpu", "--small", "--minutes=0", "--out", out).returncode
        == 0
    )
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) > 10
    assert {row["error"] for row in rows} == {"no time was left"}


def test_a_way_that_takes_too_long_is_ended() -> None:
    way = Way("slow", "resnet20", 8)
    assert in_process(way, 0.2) == {"error": "not done in 0 s"}


def test_a_way_that_fails_is_told() -> None:
    way = Way("none", "no_such_network", 8)
    assert "no generated file" in in_process(way, 60)["error"]


def test_the_floor_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
    )
    floor = floor_of(network, (3, 4, 4))
    assert floor.operations == 6 * (3 * 9 * 8) * 16
    assert floor.elements == 3 * (3 * 16) + 2 * (8 * 16)
    by_bytes = Hardware(bytes_per_s=1.0, operations_per_s=1e12)
    assert floor.seconds(2, 4, by_bytes) == 2 * 4 * floor.elements
    by_arithmetic = Hardware(bytes_per_s=1e12, operations_per_s=1.0)
    assert floor.seconds(2, 4, by_arithmetic) == 2 * floor.operations


def test_the_floor_of_resnet164_has_the_papers_multiply_adds() -> None:
    floor = floor_of(full_preact_bottleneck(depth=164), (3, 32, 32))
    assert round(floor.operations / 6 / 1e6, 2) == 244.50
