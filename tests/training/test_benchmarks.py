"""The benchmarks of training: that they run, and what they count."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import bench_memory, floor, training
from benchmarks.floor import Hardware, floor_of, hardware
from benchmarks.measure import Done, within
from benchmarks.training import Way, in_process
from resgraph.reference import full_preact_bottleneck


def test_a_way_that_takes_too_long_is_ended() -> None:
    way = Way("slow", "resnet20", 8)
    assert in_process(way, 0.2) == {"error": "not done in 0 s"}


def test_a_way_that_fails_is_told() -> None:
    way = Way("none", "no_such_network", 8)
    assert "no generated file" in in_process(way, 60)["error"]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's pidfd")
def test_what_a_command_started_ends_with_it() -> None:
    """The command is ended for its time, or ends by itself; what it started never lives on."""
    sleeper = "import time; print('begun', flush=True); time.sleep(600)"
    start = f"import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', {sleeper!r}])"
    told = "; print(c.pid, flush=True)"
    for rest, code in (("; c.wait()", None), ("", 0)):
        done = within(3, [sys.executable, "-c", start + told + rest])
        assert done.code == code
        pid = next(line for line in done.printed.splitlines() if line.isdigit())
        with contextlib.suppress(ProcessLookupError):
            watched = os.pidfd_open(int(pid))
            assert select.select([watched], [], [], 60)[0], "it lives on"
            os.close(watched)


def test_each_way_begins_with_cold_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the user's own caches hold: those of inductor, Triton and the driver."""
    names = {"TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH"}
    seen: list[dict[str, str]] = []

    def answered(seconds: float, command: Any, variables: dict[str, str]) -> Done:
        program = "import json, os; print(json.dumps(dict(os.environ)))"
        done = within(seconds, [sys.executable, "-c", program], variables)
        seen.append(variables)
        return done

    for name in names:
        monkeypatch.setenv(name, "/of/the/user")
    monkeypatch.setattr(training, "within", answered)
    told = [in_process(Way("any", "resnet20", 8), 60) for _ in range(2)]
    for environment, given in zip(told, seen, strict=True):
        assert {n: environment[n] for n in names} == given
        assert all(Path(v).is_absolute() for v in given.values())
    assert not set(seen[0].values()) & set(seen[1].values())


def test_a_device_is_measured_on_random_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = []

    def once(action: Any, device: object) -> float:
        results.append(action())
        return 1.0

    monkeypatch.setattr(floor, "seconds_of", once)
    hardware(torch.device("cpu"), small=True)
    for tensor in results:
        assert len(tensor.flatten()[:10_000].unique()) > 9_000


def test_memory_is_measured_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TF32, which torch's convolutions would take on CUDA."""
    allowed = []

    def step(*_: object) -> None:
        allowed.append(torch.backends.cudnn.allow_tf32)

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(bench_memory.Way, "step", step)
    _, ways = bench_memory.measured("resnet20", 2, 1, "cpu")
    assert allowed == [False] * len(ways)
    assert torch.backends.cudnn.allow_tf32


def test_the_floor_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
    )
    least = floor_of(network, (3, 4, 4))
    assert least.operations == 6 * (3 * 9 * 8) * 16
    assert least.elements == 3 * (3 * 16) + 2 * (8 * 16)
    by_bytes = Hardware(bytes_per_s=1.0, operations_per_s=1e12)
    assert least.seconds(2, 4, by_bytes) == 2 * 4 * least.elements
    by_arithmetic = Hardware(bytes_per_s=1e12, operations_per_s=1.0)
    assert least.seconds(2, 4, by_arithmetic) == 2 * least.operations


def test_the_floor_of_resnet164_has_the_papers_multiply_adds() -> None:
    least = floor_of(full_preact_bottleneck(depth=164), (3, 32, 32))
    assert round(least.operations / 6 / 1e6, 2) == 244.50
