"""Compiling ResNet-1001, beside torch's exporters; and how the cost grows with depth.

`make bench` runs it; with `--against FOLDER` it is compared with another checkout of resgraph
instead, in turns, and the ratios are printed. Whole processes are timed from outside, interleaved; the work without
imports is timed inside them. Every figure is a median of the rounds.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Cost, median, process, save
from benchmarks.report import write_tables

DEPTH = 1001
NAME = f"preact_bottleneck_depth{DEPTH}"
COMPILE = ("-m", "resgraph", "compile", "specs/preact_bottleneck.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slow-rounds", type=int, default=1, help="of dynamo=True")
    parser.add_argument("--against", type=Path, help="another checkout of resgraph")
    options = parser.parse_args()
    if options.against:
        compare(options.against.resolve(), options.rounds)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "out"
        folder.mkdir()
        results = {
            "rounds": options.rounds,
            "dynamo_rounds": options.slow_rounds,
            "exporters": side_by_side(folder, options.rounds, options.slow_rounds),
            "depth": by_depth(folder, options.rounds),
            "light": light_commands(options.rounds),
        }
    save("compile", results)
    write_tables()


def compare(other: Path, rounds: int) -> None:
    """Print how long this checkout takes relative to another one, work without imports.

    Each round runs both, so that whatever slows the machine down slows both: the ratio is
    the median of the rounds' ratios.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in ("source", "resgraph"):
            for depth in (1001, 10001):
                arguments = ("-m", "benchmarks.workloads", name, folder, depth)
                ratios, seconds = list[float](), list[float]()
                for turn in range(rounds):
                    order = (ROOT, other) if turn % 2 else (other, ROOT)
                    runs = {place: inside(process(arguments, place)) for place in order}
                    ratios.append(runs[ROOT] / runs[other])
                    seconds.append(runs[ROOT])
                spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
                print(
                    f"{name}, {depth} layers: {median(seconds):.3f} s, "
                    f"{median(ratios):.3f} of the other's ({spread})"
                )


def side_by_side(folder: Path, rounds: int, slow: int) -> dict[str, Any]:
    """The command, its work alone, the bare loop and both exporters, in turns."""
    command = (*COMPILE, "--set", f"depth={DEPTH}", "--out", folder)
    process(command)
    shutil.copy(folder / f"{NAME}.onnx", folder.parent / "model.onnx")
    costs: dict[str, list[Cost]] = defaultdict(list)
    for turn in range(rounds):
        costs["command"].append(process(command))
        costs["resgraph"].append(workload("resgraph", folder, DEPTH))
        costs["floor"].append(workload("floor", folder, DEPTH))
        costs["torchscript"].append(workload("torchscript", folder, DEPTH))
        if turn < slow:
            costs["dynamo"].append(workload("dynamo", folder, DEPTH))
    return {name: summary(name, runs) for name, runs in costs.items()}


def workload(name: str, folder: Path, depth: int) -> Cost:
    return process(("-m", "benchmarks.workloads", name, folder, depth))


def inside(run: Cost) -> float:
    """The seconds that a workload printed last; exporters print before it."""
    return float(run.printed.splitlines()[-1])


def summary(name: str, runs: list[Cost]) -> dict[str, float]:
    result = {
        "process_seconds": median([run.seconds for run in runs]),
        "peak_mib": median([run.mebibytes for run in runs]),
    }
    if name != "command":
        result["work_seconds"] = median([inside(run) for run in runs])
    return result


def by_depth(folder: Path, rounds: int) -> dict[str, Any]:
    """Source and ONNX at growing depth; source alone must not grow."""
    results = {}
    for depth in (164, 1001, 10001):
        runs = [workload("resgraph", folder, depth) for _ in range(rounds)]
        alone = [workload("source", folder, depth) for _ in range(rounds)]
        lines = folder / f"preact_bottleneck_depth{depth}.py"
        results[str(depth)] = {
            **summary("resgraph", runs),
            "source_seconds": median([inside(run) for run in alone]),
            "source_lines": lines.read_text().count("\n"),
        }
    return results


def light_commands(rounds: int) -> dict[str, Any]:
    """Whole processes of what never walks the depth."""
    spec = "specs/preact_bottleneck.yaml"
    results: dict[str, Any] = {}
    for depth in (164, 1001, 100001 - (100001 - 2) % 9):
        settings = ("--set", f"depth={depth}")
        for verb in ("check", "show"):
            command = ("-m", "resgraph", verb, spec, *settings)
            runs = [process(command).seconds for _ in range(rounds)]
            results.setdefault(verb, {})[str(depth)] = median(runs)
    return results


if __name__ == "__main__":
    main()
