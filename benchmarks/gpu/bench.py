"""Speed and memory of training: the default, each switch turned, each alone; plain torch.

Each row is a process of its own with compilers' caches of its own, so that times to the
first step are those of a cold start. Rows are in the order of what they tell; a row that has
its figures is not measured again, so that several calls complete one file. What needs most
time, the whole network compiled, is last and has a limit of its own.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import torch

from benchmarks.floor import floor_of, hardware
from benchmarks.gpu.ledger import Finding, Part
from benchmarks.gpu.session import Session, take_parts
from benchmarks.gpu.ways import precisions, ways
from benchmarks.training import HAND_WRITTEN, PLAIN, Way, in_process
from resgraph.train.execution import element_size, pick_precision

ROW = 150.0
"""Seconds for a row."""
WHOLE = 300.0
"""Seconds for a row in which a whole network is compiled, if no other number is given."""
MEMORY = 150.0
"""Seconds for the memory planner's ways of one network."""


def arguments(parser: argparse.ArgumentParser) -> None:
    take_parts(parser)
    parser.add_argument(
        "--whole-seconds",
        type=float,
        default=WHOLE,
        help="limit of each row that compiles a whole network (default: %(default).0f)",
    )


def run(session: Session) -> int:
    whole = session.options.whole_seconds
    return session.work("bench", parts(session.device, session.small, whole))


def parts(device: str, small: bool, whole: float = WHOLE) -> Iterator[Part]:
    """All rows, those that tell most first."""
    yield Part("floors", lambda: floors(device, small))
    for way in together(device, small):
        yield row(way, ROW)
    for name, batch in networks(small).items():
        of = {"network": name, "batch": batch}
        action = functools.partial(memory, name, batch, device, small)
        yield Part(f"{name}: memory", action, MEMORY, of=of)
    for way in alone(device, small):
        yield row(way, ROW)
    for way in compiled_whole(device, small):
        yield row(way, whole)


def networks(small: bool) -> dict[str, int]:
    """The networks by name, with their batch; the first is looked at most closely."""
    if small:
        return {"resnet20": 8}
    return {"resnet1001": 128, "resnet164": 128, "resnet110": 128}


# --- ways -----------------------------------------------------------------------------


def together(device: str, small: bool) -> Iterator[Way]:
    """The default, and with each switch turned; by hand; the other networks."""
    first, *others = networks(small)
    for name, choices in _ways(device, small, alone=False):
        yield ours(first, name, choices, device, small)
    yield by_hand(first, device, small)
    name, choices = next(_ways(device, small, alone=False))
    for network in others:
        yield ours(network, name, choices, device, small)
        yield by_hand(network, device, small)


def alone(device: str, small: bool) -> Iterator[Way]:
    """Each switch by itself, and none."""
    first = next(iter(networks(small)))
    for name, choices in _ways(device, small, alone=True):
        yield ours(first, name, choices, device, small)
    usual = pick_precision("auto", torch.device(device))
    if usual != PLAIN["precision"]:
        best = {**PLAIN, "precision": usual, "channels_last": True}
        yield by_hand(first, device, small, f"eager {usual}, channels last", best)


def compiled_whole(device: str, small: bool) -> Iterator[Way]:
    """The hand-written networks as torch.compile does them, the shallow ones first."""
    if small and device == "cpu":
        return
    usual = pick_precision("auto", torch.device(device))
    best = {"precision": usual, "channels_last": True, "compile": True}
    for name in reversed(networks(small)):
        title = f"compiled whole, {usual}, channels last"
        yield by_hand(name, device, small, title, {**PLAIN, **best})
    title = "compiled whole, fp32"
    yield by_hand(name, device, small, title, {**PLAIN, "compile": True})


def _ways(
    device: str, small: bool, alone: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, choices in ways(device, small).items():
        if (name == "none" or " alone" in name) == alone:
            yield name, choices


def ours(
    network: str, name: str, choices: dict[str, Any], device: str, small: bool
) -> Way:
    batch, (steps, blocks) = networks(small)[network], (1, 2) if small else (10, 5)
    return Way(name, network, batch, device, False, choices, steps, blocks)


def by_hand(
    network: str,
    device: str,
    small: bool,
    name: str = "eager fp32",
    choices: dict[str, Any] = PLAIN,
) -> Way:
    way = ours(network, f"hand-written, {name}", choices, device, small)
    return replace(way, reference=True)


# --- measuring ------------------------------------------------------------------------


def row(way: Way, limit: float) -> Part:
    """A way in a process of its own."""

    def action(seconds: float) -> Finding:
        found = in_process(way, seconds)
        if "error" in found:
            raise RuntimeError(found["error"])
        return Finding(found)

    return Part(f"{way.network}: {way.name}", action, limit, timed=True, of=asdict(way))


def floors(device: str, small: bool) -> Finding:
    """What the device was measured to do, and what a step costs at least by that."""
    found = hardware(torch.device(device), small)
    if device == "cuda":
        torch.cuda.empty_cache()  # the rows need it
    least = {}
    for name, batch in networks(small).items():
        floor = floor_of(HAND_WRITTEN[name](), (3, 32, 32))  # type: ignore[no-untyped-call]
        seconds = {
            precision: floor.seconds(batch, element_size(precision), found)
            for precision in precisions(device)
        }
        least[name] = {**asdict(floor), "batch": batch, "seconds": seconds}
    return Finding({"hardware": asdict(found), "floors": least})


def memory(name: str, batch: int, device: str, small: bool) -> Finding:
    """The memory planner's ways: bytes as predicted, as counted and as allocated.

    In float32, without compilation.
    """
    from benchmarks.bench_memory import measured

    _, found = measured(name, batch, 1 if small else 3, device)
    if device == "cuda":
        torch.cuda.empty_cache()
    return Finding({"ways": [way.row() for way in found]})
