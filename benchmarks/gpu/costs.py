"""Seconds of a step by its parts: the host's alone, the whole, a test, a checkpoint."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.gpu.ledger import Finding
from benchmarks.gpu.numbers import Subject, engine
from benchmarks.gpu.ways import default
from benchmarks.training import block, wait
from resgraph.train.execution import numerics
from resgraph.train.step import Engine

TESTED = 10_000
"""Images of CIFAR's test set."""


def costs(name: str, device: str, small: bool) -> Finding:
    """Of the way that `resgraph train` chooses; only shown."""
    choices = default(device)
    batch, tested = (16, 512) if small else (128, TESTED)
    made = engine(Subject(name, device, batch, tested=tested), choices)
    with numerics(choices["precision"]):
        found = _steps(made, device, small) | _between(made, device)
    if device == "cuda":
        found["reserved bytes"] = torch.cuda.max_memory_reserved()
        torch.cuda.reset_peak_memory_stats()
    return Finding(found)


def _steps(made: Engine, device: str, small: bool) -> dict[str, Any]:
    number = itertools.count()
    steps = 2 if small else 50
    first = block(lambda: made.step(next(number)), 1, device).seconds
    block(lambda: made.step(next(number)), steps, device)
    whole = block(lambda: made.step(next(number)), steps, device)
    parts: dict[str, Callable[[], object]] = {
        "network.train()": made.network.train,
        "prepare": lambda: made.batches.prepare(next(number)),
        "manual_seed": lambda: torch.manual_seed(1),
    }
    return {
        "first step": round(first, 3),
        "step": round(whole.seconds, 6),
        "step, until the host is free": round(whole.host, 6),
        **{k: round(block(v, 20, device).seconds, 6) for k, v in parts.items()},
    }


def _between(made: Engine, device: str) -> dict[str, Any]:
    """What is done between steps, each once, the test twice."""
    buffer = io.BytesIO()
    actions: dict[str, Callable[[], object]] = {
        "is_finite": made.is_finite,
        "first test": made.test_error,
        "test": made.test_error,
        "weights": made.weights,
        "checkpoint": lambda: torch.save(made.state(), buffer),
    }
    found: dict[str, Any] = {}
    for name, action in actions.items():
        wait(device)
        start = time.perf_counter()
        action()
        wait(device)
        found[name] = round(time.perf_counter() - start, 6)
    return {**found, "checkpoint bytes": buffer.tell()}
