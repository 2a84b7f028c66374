"""Inference on the CPU: each form of a network beside torch and the traced export.

All ways answer the same images in turns, so that the ratios are of neighbours; every figure
is a median of the rounds. `torch.compile` has a process of its own, with eager beside it,
and is left out where it takes longer than the limit.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.measure import ROOT, median, save
from benchmarks.report import write_tables
from resgraph.compiler import Compiler
from resgraph.deploy import prepare
from resgraph.emit.forms import Exported, export_form
from resgraph.graph import Graph
from resgraph.infer.machine import machine_properties
from resgraph.ops import Weight
from resgraph.origin import origin
from resgraph.train import load_generated

Images = NDArray[np.float32]
Way = Callable[[Images], Any]

THREADS = 2
_REST = 0.05
MODELS = {
    "portable": ("portable", "portable"),
    "cpu": ("cpu", "portable"),
    "cuda": ("cuda", "portable"),
    "functions": ("portable", "functions"),
    "optimised": ("portable", "optimised"),
    "fp16": ("portable", "fp16"),
    "int8": ("cpu", "int8"),
}
"""The target and the form of each model."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=["resnet164", "resnet1001"])
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
        about = {"rounds": options.rounds, "threads": THREADS}
        about["onnxruntime"] = onnxruntime.__version__
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
            "batches": {
                str(batch): {
                    **interleaved(ways, images(graph, batch), rounds, seconds),
                    "compiled": in_process(name, batch, options),
                }
                for batch in options.batches
            },
        }


# --- what is measured -----------------------------------------------------------------


def weights(name: str, weight: Weight) -> NDArray[np.float32]:
    """He's for convolutions; BNs that keep the sum of a thousand units finite."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if weight.init.constant is None:
        spread = weight.init.std or weight.init.bound / 3
        return random.normal(0, spread, weight.shape).astype(np.float32)
    if weight.trainable and weight.init.constant == 1:
        return random.normal(0.3, 0.1, weight.shape).astype(np.float32)
    return np.full(weight.shape, weight.init.constant, np.float32)


def loaded(name: str) -> tuple[Graph, nn.Module]:
    """The graph of a generated file, and the file's module with the same weights."""
    path = ROOT / "generated" / f"{name}.py"
    found = origin(path)
    assert found is not None
    graph = found.graph(Compiler())
    module = load_generated(path).build().eval()
    state = {
        full: torch.from_numpy(weights(full, weight))
        for prefix, instance in graph.parts()
        for layer, weight in instance.weights
        for full in [f"{prefix}{layer}.{weight.name}"]
    }
    module.load_state_dict(state, strict=False)
    return graph, module


def images(graph: Graph, batch: int) -> Images:
    return np.random.default_rng(0).standard_normal((batch, *graph.input), np.float32)


def written(graph: Graph, folder: Path) -> dict[str, Path]:
    models = {}
    for name, (target, form) in MODELS.items():
        prepared = prepare(graph, weights, target)
        exported = Exported(
            prepared.graph,
            prepared.weights,
            machine=machine_properties(),
            calibration=images(graph, 8) if form == "int8" else None,
        )
        models[name] = export_form(exported, form, folder / name)[0]
    return models


def traced(module: nn.Module, graph: Graph, path: Path) -> Path:
    torch.onnx.export(
        module,
        (torch.zeros(2, *graph.input),),
        path,
        dynamo=False,
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}},
    )
    return path


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    if path.name.endswith(".optimised.onnx"):
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )


def all_ways(module: nn.Module, models: Mapping[str, Path]) -> dict[str, Way]:
    ways: dict[str, Way] = {
        "eager": by_torch(module, torch.contiguous_format),
        "channels_last": by_torch(laid_out(module), torch.channels_last),
    }
    return ways | {name: by_onnxruntime(path) for name, path in models.items()}


def by_torch(module: Callable[[Tensor], Tensor], layout: torch.memory_format) -> Way:
    def answer(batch: Images) -> Any:
        given = torch.from_numpy(batch).contiguous(memory_format=layout)
        with torch.inference_mode():
            return module(given).numpy()

    return answer


def laid_out(module: nn.Module) -> nn.Module:
    """A copy with its weights in channels-last layout."""
    made = copy.deepcopy(module)
    for tensor in (*made.parameters(), *made.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return made


def by_onnxruntime(path: Path) -> Way:
    opened = session(path)
    return lambda batch: opened.run(None, {"input": batch})[0]


# --- measuring ------------------------------------------------------------------------


def interleaved(
    ways: Mapping[str, Way], batch: Images, rounds: int, seconds: float
) -> dict[str, Any]:
    """The median and the fastest seconds, and how far from torch's the logits are.

    Each round begins with another way, and rests after each, since the threads of a pool go
    on spinning for a while. No round begins after so many seconds.
    """
    expected = ways["eager"](batch)
    scale = float(np.abs(expected).max())
    apart = {n: float(np.abs(w(batch) - expected).max()) for n, w in ways.items()}
    found: dict[str, list[float]] = {name: [] for name in ways}
    names, end = [*ways], time.perf_counter() + seconds
    for turn in range(rounds):
        if turn and time.perf_counter() > end:
            break
        for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
            time.sleep(_REST)
            start = time.perf_counter()
            ways[name](batch)
            found[name].append(time.perf_counter() - start)
    return {
        name: {
            "rounds": len(each),
            "seconds": median(each),
            "fastest": round(min(each), 4),
            "apart": float(f"{apart[name] / scale:.2g}"),
        }
        for name, each in found.items()
    }


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
