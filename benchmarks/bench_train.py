"""Training on the CPU beside the hand-written network, each choice alone and together.

All ways take one step in turn, round after round, so that each ratio is of neighbours. Times
to the first step are of processes of their own, with a compiler's cache of their own.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from benchmarks.gpu.ways import default
from benchmarks.measure import median, save
from benchmarks.report import write_tables
from benchmarks.training import PLAIN, Way, block, in_process
from resgraph.train.execution import numerics

DEFAULT = default("cpu")
OURS: dict[str, dict[str, Any]] = {
    "none": PLAIN,
    "channels last": {**PLAIN, "channels_last": True},
    "fused SGD": {**PLAIN, "fused": True},
    "units compiled": {**PLAIN, "compile": True},
    "the default": DEFAULT,
    "the default, units compiled": {**DEFAULT, "compile": True},
}
RECIPES: dict[str, dict[str, Any]] = {
    "the default, averaged weights": {"ema": 0.999},
    "the default, gradients clipped": {"clip_grad_norm": 1.0},
    "the default, AdamW": {"optimizer": "adamw", "lr": 0.001},
}
"""Words of the recipe; all else as in the default."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet164")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--limit", type=float, default=900, help="Seconds for the first step of a row."
    )
    options = parser.parse_args()
    plain = Way(
        "hand-written, eager", options.network, options.batch, reference=True, steps=1
    )
    ours = [
        replace(plain, name=name, reference=False, choices=choices)
        for name, choices in OURS.items()
    ]
    others = [
        replace(plain, name=name, reference=False, choices=DEFAULT, words=words)
        for name, words in RECIPES.items()
    ]
    rows = side_by_side([plain, *ours, *others], options.rounds)
    whole = replace(
        plain,
        name="hand-written, compiled whole",
        choices={**PLAIN, "compile": True},
        blocks=1,
    )
    firsts = [replace(way, blocks=1) for way in (plain, ours[-2], ours[-1])]
    starts = {way.name: in_process(way, options.limit) for way in [*firsts, whole]}
    save(
        "train",
        {
            "network": options.network,
            "batch": options.batch,
            "rounds": options.rounds,
            "steps": rows,
            "starts": starts,
        },
    )
    write_tables()


def side_by_side(ways: list[Way], rounds: int) -> dict[str, float]:
    """Median seconds a step, by name."""
    with numerics("fp32"):
        steps = [way.start() for way in ways]
        for step in steps:
            step()  # compiles where it has to
        times: list[list[float]] = [[] for _ in ways]
        for _ in range(rounds):
            for way, step, seconds in zip(ways, steps, times, strict=True):
                seconds.append(block(step, way.steps, way.device).seconds)
    return {way.name: median(s) for way, s in zip(ways, times, strict=True)}


if __name__ == "__main__":
    main()
