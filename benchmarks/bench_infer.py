"""Inference on the CPU: each form of a network beside torch and the traced export.

All ways answer the same images in turns, so that the ratios are of neighbours; every figure
is a median of the rounds, and a turn of short answers is a median itself. `torch.compile` has a process of its own, with eager beside it,
and is left out where it takes longer than the limit.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.floor import seconds_of
from benchmarks.inference import (
    THREADS,
    Images,
    Way,
    all_ways,
    by_torch,
    images,
    loaded,
    session,
    traced,
    where,
    written,
)
from benchmarks.measure import ROOT, median, save
from benchmarks.report import write_tables
from resgraph.graph import Graph
from resgraph.infer.machine import machine_properties

_REST, _TURN = 0.05, 0.15
"""Seconds before a way's turn, and at least so long is a turn."""
_SIDE = 2048
"""Of the matrices whose product says what the CPU can do."""


NETWORKS = ["resnet164", "resnet164_original", "resnet1001"]
PROFILED = ("portable", "int8")
"""Whose time is told by kind of node, at the largest batch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--limit", type=int, default=900, help="s, of torch.compile")
    parser.add_argument(
        "--seconds", type=float, default=600, help="of a batch's rounds"
    )
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 32])
    parser.add_argument("--compiled", nargs=2, metavar=("NETWORK", "BATCH"))
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    if options.compiled:
        name, batch = options.compiled
        print(json.dumps(compiled(name, int(batch), options)))
        return
    results: dict[str, Any] = {}
    for name in options.networks:
        results[name] = network(name, options)
        about: dict[str, Any] = {"rounds": options.rounds, "threads": THREADS}
        about |= json.loads(machine_properties()["resgraph.machine"])
        save("infer", about | {"networks": results})
        write_tables()


def network(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of every way at each batch, and of the sessions' starts."""
    graph, module = loaded(name)
    with tempfile.TemporaryDirectory() as folder:
        models = written(graph, Path(folder))
        models["traced"] = traced(module, graph, Path(folder) / "traced.onnx")
        starts = started(models, min(options.rounds, 5))
        ways = all_ways(module, models)
        rounds, seconds = options.rounds, options.seconds
        return {
            "start": starts,
            "mebibytes": {
                n: round(p.stat().st_size / 2**20, 2) for n, p in models.items()
            },
            "profiles": {
                n: where(models[n], images(graph, max(options.batches)))
                for n in PROFILED
            },
            "batches": {
                str(batch): {
                    "floor": {"seconds": floor(graph, batch), "apart": 0.0},
                    **interleaved(ways, images(graph, batch), rounds, seconds),
                    "compiled": in_process(name, batch, options),
                }
                for batch in options.batches
            },
        }


# --- measuring ------------------------------------------------------------------------


def floor(graph: Graph, batch: int) -> float:
    """Seconds of the network's multiply-adds at the speed of a product of matrices."""
    factor = torch.randn(_SIDE, _SIDE)
    per_operation = seconds_of(lambda: factor @ factor, factor.device) / (2 * _SIDE**3)
    each = sum(instance.multiply_adds for _, instance in graph.parts())
    return round(2 * batch * each * per_operation, 5)


def interleaved(
    ways: Mapping[str, Way], batch: Images, rounds: int, seconds: float
) -> dict[str, Any]:
    """The median and the fastest seconds, and how far from torch's the logits are.

    Each round has them in another order, and rests before each, since the threads of a pool
    go on spinning for a while. No round begins after so many seconds.
    """
    expected = ways["eager"](batch)
    scale = float(np.abs(expected).max())
    apart = {n: float(np.abs(w(batch) - expected).max()) for n, w in ways.items()}
    found: dict[str, list[float]] = {name: [] for name in ways}
    order, shuffle = [*ways], random.Random(0).shuffle
    end = time.perf_counter() + seconds
    for turn in range(rounds):
        if turn and time.perf_counter() > end:
            break
        shuffle(order)
        for name in order:
            time.sleep(_REST)
            found[name].append(turn_of(ways[name], batch))
    return {
        name: {
            "rounds": len(each),
            "seconds": median(each),
            "fastest": round(min(each), 4),
            "apart": float(f"{apart[name] / scale:.2g}"),
        }
        for name, each in found.items()
    }


def turn_of(way: Way, batch: Images) -> float:
    """The median seconds of one answer, of as many as a turn has time for."""
    seconds: list[float] = []
    while sum(seconds) < _TURN:
        start = time.perf_counter()
        way(batch)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def started(models: Mapping[str, Path], rounds: int) -> dict[str, float]:
    """Seconds from a file to a session, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, path in models.items():
            start = time.perf_counter()
            session(path)
            seconds[name].append(time.perf_counter() - start)
    return {name: median(found) for name, found in seconds.items()}


def in_process(
    name: str, batch: int, options: argparse.Namespace
) -> dict[str, Any] | None:
    """`torch.compile` in a process of its own; None where it takes longer than the limit."""
    if not options.limit:
        return None
    command: Sequence[object] = (
        *(sys.executable, "-m", "benchmarks.bench_infer"),
        *("--rounds", options.rounds, "--seconds", options.seconds),
        *("--compiled", name, batch),
    )
    try:
        done = subprocess.run(
            [*map(str, command)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=options.limit,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compiled(name: str, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the compiled module, and of eager in turns with it."""
    graph, module = loaded(name)
    ways = {
        "eager": by_torch(module, torch.contiguous_format),
        "compiled": by_torch(torch.compile(module), torch.contiguous_format),
    }
    found = interleaved(ways, images(graph, batch), options.rounds, options.seconds)
    result: dict[str, Any] = found["compiled"]
    return result | {"eager": found["eager"]["seconds"]}


if __name__ == "__main__":
    main()
