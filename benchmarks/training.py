"""One way of training, measured: `python -m benchmarks.training WAY`, WAY as JSON.

A way is a network by the engine, with each choice spelled out, or the hand-written network in
a plain loop. The latter is given the same batch each time, ready-made, so what its loader
would cost is in its favour; ours takes its batches from a data set and augments them.

Needs torch and numpy alone.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from benchmarks.measure import ROOT, within
from resgraph.data import Dataset
from resgraph.diagnostics import ResgraphError
from resgraph.recipe import Recipe
from resgraph.reference import REFERENCES, full_preact_basic
from resgraph.train.execution import Execution, autocast, numerics
from resgraph.train.module import load_generated
from resgraph.train.step import Engine

HAND_WRITTEN = {**REFERENCES, "resnet20": lambda: full_preact_basic(depth=20)}
SWITCHES = tuple(f.name for f in fields(Execution) if f.type == "bool")
"""What can be on or off in an execution."""
PLAIN: dict[str, Any] = {"precision": "fp32", **dict.fromkeys(SWITCHES, False)}
"""Execution with everything off."""


@dataclass(frozen=True)
class Way:
    """How a network is trained."""

    name: str
    network: str
    batch: int
    device: str = "cpu"
    reference: bool = False
    """The hand-written network, for which these hold: precision, channels_last, compile,
    of which the last is torch.compile of the whole network."""
    choices: dict[str, Any] = field(default_factory=lambda: dict(PLAIN))
    """Of `Execution`."""
    steps: int = 5
    """In each of the blocks of which the median is taken."""
    blocks: int = 5
    words: dict[str, Any] = field(default_factory=dict)
    """Of the recipe, in place of the usual ones; not for the hand-written network."""

    def start(self) -> Callable[[], None]:
        """Build it; what is returned does a step each time it is called."""
        torch.manual_seed(0)
        return self._hand_written() if self.reference else self._ours()

    def _ours(self) -> Callable[[], None]:
        generated = load_generated(ROOT / "generated" / f"{self.network}.py")
        execution = Execution(torch.device(self.device), **self.choices)
        data = noise(4 * self.batch)
        engine = Engine(
            generated.build(), data, recipe(self.batch, **self.words), 0, execution
        )
        done = itertools.count()
        return lambda: engine.step(next(done))

    def _hand_written(self) -> Callable[[], None]:
        device = torch.device(self.device)
        network = HAND_WRITTEN[self.network]().to(device)
        images = torch.randn(self.batch, 3, 32, 32, device=device)
        labels = torch.arange(self.batch, device=device) % 10
        if self.choices["channels_last"]:
            network.to(memory_format=torch.channels_last)
            images = images.contiguous(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(
            network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4
        )
        call = torch.compile(network) if self.choices["compile"] else network

        def step() -> None:
            with autocast(device, self.choices["precision"]):
                loss = functional.cross_entropy(call(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        return step


def recipe(batch: int, **changes: object) -> Recipe:
    """He et al. (2016) for CIFAR without the warm-up, with some fields changed."""
    usual = {
        "iterations": 64_000,
        "batch": batch,
        "lr": 0.1,
        "milestones": [32_000],
        "gamma": 0.1,
        "warmup_iterations": 0,
        "warmup_lr": 0.0,
        "weight_decay": 1e-4,
        "pad": 4,
        "flip": True,
    }
    return Recipe.of({**usual, **changes})


def noise(count: int) -> Dataset:
    """Random images of CIFAR's form."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(count) % 10
    moments = (0.5, 0.5, 0.5), (0.3, 0.3, 0.3)
    names = tuple("0123456789")
    return Dataset("noise", images, labels, images, labels, names, *moments, "sha256:0")


def wait(device: str) -> None:
    """Until the device has done all it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


class Block(NamedTuple):
    """Seconds a step."""

    seconds: float
    host: float
    """Until the host was free again, the device perhaps still at work."""


def block(step: Callable[[], object], steps: int, device: str) -> Block:
    """Time some steps as one."""
    wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    told = time.perf_counter()
    wait(device)
    return Block((time.perf_counter() - start) / steps, (told - start) / steps)


def measured(way: Way) -> dict[str, Any]:
    """Seconds until the first step is done, seconds a step after that, and peak memory."""
    wait(way.device)  # by which CUDA itself has started
    with numerics(way.choices["precision"]):
        begun = time.perf_counter()
        step = way.start()
        step()
        wait(way.device)
        first = time.perf_counter() - begun
        block(step, way.steps, way.device)
        blocks = [block(step, way.steps, way.device) for _ in range(way.blocks)]
    seconds = statistics.median(b.seconds for b in blocks)
    # Reserved, not allocated: a CUDA graph's pool stays reserved between its replays.
    peak = torch.cuda.max_memory_reserved() if way.device == "cuda" else None
    return {
        "first_step_seconds": round(first, 3),
        "step_seconds": round(seconds, 7),
        "host_seconds": round(statistics.median(b.host for b in blocks), 7),
        "images_per_s": round(way.batch / seconds, 1),
        "peak_bytes": peak,
    }


def in_process(way: Way, limit: float) -> dict[str, Any]:
    """Measure it in a process of its own, from a cold compiler's cache.

    Where it fails, or is not done in so many seconds, the result is an `error`.
    """
    command = [sys.executable, "-m", "benchmarks.training", json.dumps(asdict(way))]
    with tempfile.TemporaryDirectory() as folder:
        done = within(limit, command, caches(Path(folder)))
    if done.code is None:
        return {"error": f"not done in {limit:.0f} s"}
    if done.code:
        lines = done.told.strip().splitlines() or [f"exit code {done.code}"]
        return {"error": lines[-1]}
    result: dict[str, Any] = json.loads(done.printed.splitlines()[-1])
    return result


def caches(folder: Path) -> dict[str, str]:
    """Variables by which torch's compilers and the driver keep what they made there."""
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")
    return {name: str(folder / name.partition("_")[0].lower()) for name in names}


def main() -> None:
    way = Way(**json.loads(sys.argv[1]))
    try:
        result = measured(way)
    except (ResgraphError, torch.OutOfMemoryError) as error:
        result = {"error": str(error).partition("\n")[0]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
