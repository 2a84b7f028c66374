"""Training speed on a CUDA device, each choice alone and all together; `make bench-gpu`.

Each row is a process of its own with a compiler's cache of its own, so that times to the
first step are those of a cold start. Rows are written as they are measured, the important
ones first: where the time runs out, what is there is whole. Needs torch and numpy alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.floor import floor_of, hardware
from benchmarks.measure import RESULTS
from benchmarks.training import HAND_WRITTEN, PLAIN, Way, in_process
from resgraph.files import write_json
from resgraph.train.precision import element_size

ALL = {
    "precision": "bf16",
    "channels_last": True,
    "compile": True,
    "cuda_graph": True,
    "fused": True,
}
ALONE: dict[str, dict[str, Any]] = {
    "TF32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "channels last": {"channels_last": True},
    "units compiled": {"compile": True},
    "fused SGD": {"fused": True},
    "CUDA graph, fused SGD": {"cuda_graph": True, "fused": True},
    "all but CUDA graph": {**ALL, "cuda_graph": False},
    "all but compilation": {**ALL, "compile": False},
    "all in fp32": {**ALL, "precision": "fp32"},
}
WHOLE_LIMIT = 240.0
"""Seconds for compiling a whole network, which may take minutes."""
ROW_LIMIT = 120.0
MEMORY_SECONDS = 60.0
"""What the rows of memory are given at least."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true", help="A dry run, of ResNet-20.")
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument(
        "--rows", default="", help="Only rows whose name has this in it."
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "no CUDA device here; --device cpu --small is a dry run of this benchmark"
        )
    end = time.monotonic() + 60 * options.minutes
    options.out.parent.mkdir(parents=True, exist_ok=True)
    results = about(options.device, options.small)
    write_json(options.out, results)
    for way in ways(options.device, options.small):
        if options.rows in f"{way.network}: {way.name}":
            results["rows"].append(row(way, end))
            write_json(options.out, results)
    if options.rows in "memory":
        results["rows"] += memory_rows(options.device, options.small, end)
    write_json(options.out, results)


def about(device: str, small: bool) -> dict[str, Any]:
    """What the figures are of; the floor by what the device was measured to do."""
    found = hardware(torch.device(device), small)
    cuda = device == "cuda"
    floors = {}
    for name, batch in networks(small).items():
        floor = floor_of(HAND_WRITTEN[name](), (3, 32, 32))
        floors[name] = {
            **asdict(floor),
            "batch": batch,
            "seconds": {
                precision: floor.seconds(batch, element_size(precision), found)
                for precision in ("fp32", "bf16")
            },
        }
    return {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "memory_bytes": torch.cuda.mem_get_info()[1] if cuda else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "small": small,
        "hardware": asdict(found),
        "floors": floors,
        "rows": [],
    }


def networks(small: bool) -> dict[str, int]:
    """The networks by name, with their batch; the first is looked at most closely."""
    if small:
        return {"resnet20": 8}
    return {"resnet1001": 128, "resnet164": 128, "resnet110": 128}


def ways(device: str, small: bool) -> Iterator[Way]:
    """All rows but those of memory, the important ones first."""
    amount = {"steps": 1, "blocks": 2} if small else {"steps": 4, "blocks": 5}
    (first, batch), *others = networks(small).items()
    ours = Way("all", first, batch, device, choices=ALL, **amount)
    plain = Way("hand-written, eager fp32", first, batch, device, True, **amount)
    whole = {**PLAIN, "compile": True}
    yield ours
    yield plain
    yield replace(plain, name="hand-written, compiled whole, fp32", choices=whole)
    yield replace(ours, name="none", choices=PLAIN)
    for name, choices in ALONE.items():
        yield replace(ours, name=name, choices={**PLAIN, **choices})
    for name, size in others:
        yield replace(ours, network=name, batch=size)
        yield replace(plain, network=name, batch=size)
    best = {**whole, "precision": "bf16", "channels_last": True}
    name = "hand-written, compiled whole, bf16, channels last"
    yield replace(plain, name=name, choices=best)


def memory_rows(device: str, small: bool, end: float) -> Sequence[dict[str, Any]]:
    """Rows of the memory planner: bytes as predicted, as counted and as allocated.

    In float32, without compilation. They need resgraph's own dependencies beside torch.
    """
    name, batch = next(iter(networks(small).items()))
    about = {"network": name, "batch": batch, "part": "memory"}
    if time.monotonic() > end - MEMORY_SECONDS:
        return [{**about, "error": "no time was left"}]
    try:
        from benchmarks.bench_memory import measured
    except ImportError as error:
        return [{**about, "error": str(error)}]
    _, ways = measured(name, batch, 1 if small else 3, device)
    return [{**about, **way.row()} for way in ways]


def row(way: Way, end: float) -> dict[str, Any]:
    """Measure a way in a process of its own, in what is left of the time."""
    whole = way.reference and way.choices["compile"]
    limit = min(WHOLE_LIMIT if whole else ROW_LIMIT, end - time.monotonic())
    result = in_process(way, limit) if limit > 1 else {"error": "no time was left"}
    print(f"{way.network}: {way.name}: {json.dumps(result)}", flush=True)
    return {**asdict(way), **result}


if __name__ == "__main__":
    main()
