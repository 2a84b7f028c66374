"""Where the time of a training step goes: its kernels by kind, launches, and the gaps.

The step is timed without the profiler, then watched by it. In a CUDA graph or not, compiled
or not: as `resgraph train` chooses, with some switches turned.
"""

from __future__ import annotations

import argparse
import itertools
import re
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.ledger import Finding, Part
from benchmarks.gpu.numbers import Subject, engine
from benchmarks.gpu.session import Session
from benchmarks.gpu.ways import Choices, default, precisions, turned_on, without
from benchmarks.training import SWITCHES, block, wait
from resgraph.train.execution import numerics

KINDS = {
    "fused: convolutions and their gradients": r"^(convolve|to_input|to_weight)",
    "fused: BN's sums and gradients": r"^(add_parts|moments|settle|normalise)",
    "layout changes": r"nchwTo|nhwcTo|transpose",
    "optimiser": r"sgd|adam",
    "several at once": r"multi_tensor|foreach|triton_for",
    "BN and ReLU, with sums": r"triton_(red|per)|batch_norm|bn_fw|bn_bw|welford|reduce",
    "casts, copies and fills": r"memcpy|memset|fill|copy|CatArray|aten::(to|zero)",
    "pointwise": r"triton_poi|elementwise|vectorized|threshold|clamp|aten::(add|mul|relu)",
    "convolutions and products": r"conv|cutlass|implicit|xmma|gemm|[wdf](grad|prop)|cudnn|addmm|sm\d\d",
}
"""Of kernels, by what their names have in them; the first that fits."""
LONGEST = 80
"""So many kernels are listed by name."""


@dataclass(frozen=True)
class Kernel:
    """One run of a kernel; times in microseconds."""

    name: str
    start: float
    end: float


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("network", nargs="?", help="default: resnet164, or resnet20 if small")
    add("--with", nargs="+", default=[], choices=SWITCHES, dest="on", metavar="SWITCH")
    add("--without", nargs="+", default=[], choices=SWITCHES, metavar="SWITCH")
    add("--precision", choices=("fp32", "tf32", "bf16"))
    add("--batch", type=int, help="default: 128, or 16 if small")
    add("--steps", type=int, help="default: 20, or 2 if small")


def run(session: Session) -> int:
    options, small = session.options, session.small
    network = options.network or ("resnet20" if small else "resnet164")
    batch = options.batch or (16 if small else 128)
    title, choices = chosen(options, session.device)
    action = lambda: profiled(  # noqa: E731
        Subject(network, session.device, batch),
        choices,
        options.steps or (2 if small else 20),
    )
    of = {"choices": choices, "batch": batch}
    return session.work("profile", [Part(f"{network}: {title}", action, 300.0, of=of)])


def chosen(options: argparse.Namespace, device: str) -> tuple[str, Choices]:
    """The way that the options describe, and its name."""
    choices, title = default(device), ["default"]
    if options.precision and options.precision in precisions(device):
        choices["precision"] = options.precision
        title.append(f"in {options.precision}")
    for name in options.on:
        choices = turned_on(choices, name)
        title.append(f"with {name}")
    for name in options.without:
        choices = without(choices, name)
        title.append(f"without {name}")
    return ", ".join(title), choices


def profiled(subject: Subject, choices: Choices, steps: int) -> Finding:
    """Time the step, then look into it."""
    made, number = engine(subject, choices), itertools.count()
    device = subject.device

    def step() -> None:
        made.step(next(number))

    with numerics(choices["precision"]):
        first = block(step, 1, device).seconds
        block(step, steps // 2 + 1, device)
        blocks = [block(step, steps, device) for _ in range(3)]
        kernels = watched(step, steps, device)
    whole = 1000 * statistics.median(b.seconds for b in blocks)
    found = {
        "choices": choices,
        "first step seconds": round(first, 2),
        "step ms": round(whole, 4),
        "host ms": round(1000 * statistics.median(b.host for b in blocks), 4),
        **between(kernels, steps),
        "kinds": by(kind, kernels, steps),
        "kernels": by(lambda name: name[:160], kernels, steps, LONGEST),
    }
    print(table(found), flush=True)
    return Finding(found)


def watched(step: Callable[[], None], steps: int, device: str) -> list[Kernel]:
    """The kernels of some steps, in order; on the CPU, operations without those they call.

    Raises `RuntimeError` if the profiler saw none.
    """
    cuda = device == "cuda"
    watch = ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU
    with profile(activities=[watch]) as found:
        for _ in range(steps):
            step()
        wait(device)
    kernels = [
        Kernel(
            e.name, start, e.time_range.end if cuda else start + e.self_cpu_time_total
        )
        for e in found.events()
        for start in [e.time_range.start]
        if not cuda or str(e.device_type).endswith("CUDA")
    ]
    if not kernels:
        raise RuntimeError("the profiler saw no kernel; is CUPTI allowed here?")
    return sorted(kernels, key=lambda kernel: kernel.start)


def between(kernels: list[Kernel], steps: int) -> dict[str, Any]:
    """How long the device was busy and how long it waited, while it was watched."""
    busy, gaps, until = 0.0, [], kernels[0].start
    for kernel in kernels:
        if kernel.start > until:
            gaps.append(kernel.start - until)
        busy += max(0.0, kernel.end - max(until, kernel.start))
        until = max(until, kernel.end)
    return {
        "busy ms": round(busy / steps / 1000, 4),
        "gaps ms": round(sum(gaps) / steps / 1000, 4),
        "gaps": round(len(gaps) / steps, 1),
        "longest gap us": round(max(gaps, default=0.0), 1),
        "launches": round(len(kernels) / steps, 1),
    }


def by(
    key: Callable[[str], str],
    kernels: Iterable[Kernel],
    steps: int,
    most: int | None = None,
) -> dict[str, dict[str, float]]:
    """Milliseconds and launches a step by some word about a kernel, most time first."""
    times: dict[str, list[float]] = {}
    for kernel in kernels:
        times.setdefault(key(kernel.name), []).append(kernel.end - kernel.start)
    longest = sorted(times.items(), key=lambda item: -sum(item[1]))[:most]
    return {
        name: {
            "ms": round(sum(each) / steps / 1000, 4),
            "launches": round(len(each) / steps, 2),
            "us each": round(statistics.mean(each), 2),
        }
        for name, each in longest
    }


def kind(name: str) -> str:
    """What a kernel does, as its name tells."""
    fits = (
        k for k, pattern in KINDS.items() if re.search(pattern, name, re.IGNORECASE)
    )
    return next(fits, "other")


def table(found: dict[str, Any]) -> str:
    """For the eye."""
    rows = {**found["kinds"], **dict(itertools.islice(found["kernels"].items(), 40))}
    return "\n".join(
        f"{r['ms']:9.4f} ms {r['launches']:8.1f} x {r['us each']:8.2f} us  {name[:110]}"
        for name, r in rows.items()
    )
