"""The fused kernels on a GPU: held to float64, and timed beside eager and compiled units.

    python -m benchmarks.bench_kernels [--parts check,step,unit,profile] [--out FILE]

Everything that is timed is a CUDA graph's replay. Parts fail alone, results are written as
they come, and what is not begun after `--seconds` is left out. `--device cpu` is a dry run by
Triton's interpreter (TRITON_INTERPRET=1), of small maps and of the parts that check only.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measure import RESULTS, ROOT
from resgraph.train.execution import compile_units
from resgraph.train.fused import fuse, launch, ops

BATCH = 128
STAGES = ((16, 32), (32, 16), (64, 8))
"""Width of a unit and side of its maps."""
INTO = (16, 64, 128)
"""Channels that come into each stage."""
UNITS = 6
"""That are timed in a row, so that maps do not all stay in the cache."""
PARTS = ("check", "step", "unit", "profile", "inductor", "exact")
NETWORK = "resnet164"


class Layer(nn.Module):
    """What the kernels compute."""

    def __init__(self, channels: int, out: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, out, side, stride, side // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(torch.relu(self.bn(x)))
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=RESULTS / "kernels.json")
    parser.add_argument("--ways", type=int, default=5, help="Of each kernel to try.")
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--build", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        return build(*map(int, options.build.split(",")))
    for name in ("CONVOLVE", "TO_INPUT", "GRADIENTS", "TO_WEIGHT"):
        setattr(ops, name, getattr(ops, name)[: options.ways])
    Bench(options).run()


class Bench:
    """One run: its options, and what it found so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cuda = options.device == "cuda"
        self.begun = time.perf_counter()
        self.found: dict[str, Any] = {"torch": torch.__version__, "parts": {}}
        if self.cuda:
            self.found["device"] = torch.cuda.get_device_name()

    def run(self) -> None:
        if self.cuda:
            self.part("build", lambda: built(self.options.ways))
        for name in self.options.parts.split(","):
            getattr(self, name)()
            self.tell("ways", compact(launch.measured()))

    def part(self, name: str, measure: Callable[[], object]) -> None:
        """Tell what is measured, or an error, and go on."""
        try:
            if time.perf_counter() - self.begun > self.options.seconds:
                raise TimeoutError("no time was left")
            self.tell(name, measure())
        except Exception as error:
            told = traceback.format_exc().splitlines()[-12:]
            self.tell(
                name, {"error": f"{type(error).__name__}: {error}"[:600], "at": told}
            )

    def tell(self, name: str, result: Any) -> None:
        self.found["parts"][name] = result
        self.found["seconds"] = round(time.perf_counter() - self.begun, 1)
        self.options.out.parent.mkdir(parents=True, exist_ok=True)
        self.options.out.write_text(json.dumps(self.found, indent=1) + "\n")
        print(
            f"[{self.found['seconds']}] {name}: {json.dumps(result)[:900]}", flush=True
        )

    # What each part is.

    def check(self) -> None:
        self._held(torch.bfloat16, "Body", "Entry")

    def layers(self) -> None:
        self._held(torch.bfloat16, "conv", "stride")

    def exact(self) -> None:
        """In float32, by the last way of each kernel, which needs the least room."""
        ops.fastest = lambda key, ways, launch: ways[-1]  # type: ignore[assignment]
        self._held(torch.float32, "Body 16", "Entry 32")

    def _held(self, dtype: torch.dtype, *kinds: str) -> None:
        for name, make, shape in cases(small=not self.cuda):
            title = f"check {name} {str(dtype)[6:]}"
            if name.startswith(kinds):
                self.part(title, partial(held, make, shape, dtype, self.options.device))

    def unit(self) -> None:
        self._units("ours", "eager")

    def step(self) -> None:
        self._steps("ours", "eager")

    def profile(self) -> None:
        self._kernels("ours")

    def inductor(self) -> None:
        self._steps("inductor")
        self._kernels("inductor")
        self._units("inductor")

    def _units(self, *ways: str) -> None:
        for width, side in STAGES:
            for way in ways:
                self.part(f"unit {width} {way}", partial(unit_us, width, side, way))

    def _steps(self, *ways: str) -> None:
        for way in ways:
            self.part(f"step {way}", partial(step_ms, way))

    def _kernels(self, *ways: str) -> None:
        for way in ways:
            self.part(f"profile {way}", partial(kernels_of, way))


def compact(ways: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Microseconds of each way, in fewer words."""
    return {
        re.sub(r"Shape|window=Window|torch.", "", key): {
            re.sub(r"Way|[a-z]+=", "", way): round(1e3 * ms, 1)
            for way, ms in row.items()
        }
        for key, row in ways.items()
    }


def unit_us(width: int, side: int, way: str) -> float:
    """Microseconds of one unit of some in a row, forward and backward."""
    units = [generated().Body(4 * width, width) for _ in range(UNITS)]
    shape = (BATCH, 4 * width, side, side)
    return round(
        1e3 * timed(rows_of_units(nn.Sequential(*units), shape, way)) / UNITS, 2
    )


def step_ms(way: str) -> dict[str, float]:
    """Milliseconds of a whole step of training, and the loss after all that were timed."""
    step, loss = training(way)
    spent = timed(step)
    return {"ms": round(spent, 3), "loss": float(loss())}


def cases(
    small: bool,
) -> Iterator[tuple[str, Callable[[], nn.Module], tuple[int, ...]]]:
    """Each shape of a convolution in the network, and each unit."""
    batch = 2 if small else BATCH
    for width, big in STAGES:
        wide, side = 4 * width, big // 4 if small else big
        layers = {
            "conv1": Layer(wide, width, 1),
            "conv2": Layer(width, width, 3),
            "conv3": Layer(width, wide, 1),
            "stride": Layer(wide // 2, width, 1, 2),
            "stride3": Layer(width, width, 3, 2),
        }
        for name, layer in layers.items():
            shape = (batch, layer.bn.num_features, side, side)
            yield f"{name} {width}", lambda layer=layer: layer, shape
        into = INTO[STAGES.index((width, big))]
        stride = 1 if width == 16 else 2
        units = {
            "Body": (generated().Body(wide, width), wide, side),
            "Entry": (generated().Entry(into, width, stride), into, side * stride),
        }
        for name, (unit, channels, high) in units.items():
            yield (
                f"{name} {width}",
                lambda unit=unit: unit,
                (batch, channels, high, high),
            )


def held(
    make: Callable[[], nn.Module],
    shape: tuple[int, ...],
    dtype: torch.dtype,
    device: str,
) -> dict[str, Any]:
    """Relative errors of kernels and of eager code, both against float64."""
    torch.manual_seed(time.time_ns() % 2**32)
    module = make().to(device).to(memory_format=torch.channels_last)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1, 0.3)
            nn.init.normal_(part.bias, 0, 0.3)
    x = (torch.randn(shape, device=device) * 2 + 1).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    exact = tensors_of(copy.deepcopy(module).double(), x.double(), None)
    g = exact.pop("g")
    eager = tensors_of(copy.deepcopy(module), x, g)
    with poisoned():
        ours = tensors_of(fuse(copy.deepcopy(module)), x, g)
        again = tensors_of(fuse(copy.deepcopy(module)), x, g)
    apart = {name: relative(ours[name], exact[name]) for name in exact}
    theirs = {name: relative(eager[name], exact[name]) for name in exact}
    # Three times eager's error, or what the rounding of the operands makes of a sum of a few.
    rounding = 2e-2 if dtype == torch.bfloat16 else 1e-5
    far = [n for n, e in apart.items() if not e <= max(3 * theirs[n], rounding)]
    worst = max(apart, key=lambda name: apart[name] / max(theirs[name], 1e-12))
    return {
        "ok": not far,
        "same": all(torch.equal(ours[name], again[name]) for name in ours),
        "far": {n: (apart[n], theirs[n]) for n in far},
        "y": (apart["y"], theirs["y"]),
        "x": (apart["x"], theirs["x"]),
        "worst": (worst, apart[worst], theirs[worst]),
    }


@contextmanager
def poisoned() -> Iterator[None]:
    """What is not written is not a number."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def tensors_of(module: nn.Module, x: Tensor, g: Tensor | None) -> dict[str, Tensor]:
    """Output, gradients and statistics by name."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    lower = x.dtype == torch.bfloat16
    with torch.autocast(x.device.type, torch.bfloat16, enabled=lower):
        y = module(x)
    y = y if isinstance(y, Tensor) else y.value()
    result = {"y": y.detach()}
    if g is None:
        g = result["g"] = torch.randn_like(y)
    y.backward(g.to(y.dtype))
    assert x.grad is not None
    result["x"] = x.grad
    named = [*module.named_parameters(), *module.named_buffers()]
    return result | {n: p.detach() if p.grad is None else p.grad for n, p in named}


def relative(got: Tensor, exact: Tensor) -> float:
    got, exact = got.double(), exact.double()
    return float((got - exact).norm() / exact.norm().clamp_min(1e-300))


def generated() -> ModuleType:
    """The network's file, imported."""
    if NETWORK not in sys.modules:
        path = ROOT / "generated" / f"{NETWORK}.py"
        spec = importlib.util.spec_from_file_location(NETWORK, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[NETWORK] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[NETWORK])
    return sys.modules[NETWORK]


def prepared(module: nn.Module, way: str) -> nn.Module:
    module = module.cuda().to(memory_format=torch.channels_last)
    if way == "ours":
        return fuse(module)
    if way == "inductor":
        whole = nn.Module()
        whole.add_module("units", module)
        compile_units(whole if isinstance(module, nn.Sequential) else module)
    return module


def lower() -> AbstractContextManager[Any]:
    return torch.autocast("cuda", torch.bfloat16)


def rows_of_units(
    units: nn.Module, shape: tuple[int, ...], way: str
) -> Callable[[], None]:
    """Forward and backward of some units, one after the other."""
    units = prepared(units, way)
    x = torch.randn(shape, device="cuda").bfloat16()
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    g = torch.randn_like(x)

    def step() -> None:
        units.zero_grad(set_to_none=True)
        x.grad = None
        with lower():
            y = units(x)
        y.backward(g)

    return step


def training(way: str) -> tuple[Callable[[], None], Callable[[], Tensor]]:
    """A whole step of training, and the last one's loss."""
    torch.manual_seed(0)
    network = prepared(generated().ResNet164(), way)
    images = torch.randn(BATCH, 3, 32, 32, device="cuda")
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(BATCH, device="cuda") % 10
    rate = torch.tensor(0.01, device="cuda")
    optimizer = torch.optim.SGD(
        network.parameters(), lr=rate, momentum=0.9, weight_decay=1e-4, fused=True
    )
    kept = torch.zeros((), device="cuda")

    def step() -> None:
        with lower():
            loss = functional.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        kept.copy_(loss.detach())

    return step, lambda: kept


def recorded(step: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """The step as a graph, after three that compile and measure whatever they want to."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        step()
    return graph


def timed(step: Callable[[], None], repeats: int = 10, blocks: int = 7) -> float:
    """Milliseconds of a replay, the median of some blocks."""
    graph = recorded(step)
    spent = []
    for _ in range(blocks + 1):  # the first is for warmth
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            graph.replay()
        end.record()
        end.synchronize()
        spent.append(start.elapsed_time(end) / repeats)
    return statistics.median(spent[1:])


def kernels_of(way: str) -> dict[str, Any]:
    """The kernels of a whole step by name: how many, and microseconds of all of them."""
    from torch.profiler import ProfilerActivity, profile

    step, _ = training(way)
    replay = recorded(step).replay
    replay()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        replay()
        torch.cuda.synchronize()
    total: dict[str, list[float]] = {}
    for event in found.events():
        row = total.setdefault(event.name[:90], [0, 0.0])
        row[0] += 1
        row[1] += event.time_range.elapsed_us()
    ranked = sorted(total.items(), key=lambda item: -item[1][1])
    return {
        "count": sum(int(row[0]) for _, row in ranked),
        "us": round(sum(row[1] for _, row in ranked), 1),
        "kernels": {name: (int(n), round(us, 1)) for name, (n, us) in ranked[:40]},
    }


def built(ways: int) -> dict[str, Any]:
    """Compile all kernels in all ways, in processes beside, into Triton's cache on disk."""
    begun = time.perf_counter()
    waiting = [f"{stage},{way}" for way in range(ways) for stage in (2, 1, 0)]
    running: list[subprocess.Popen[str]] = []
    failed: list[str] = []
    most = max(1, (os.cpu_count() or 2) - 1)
    while waiting or running:
        while waiting and len(running) < most:
            command = [sys.executable, "-m", "benchmarks.bench_kernels", "--build"]
            running.append(
                subprocess.Popen(
                    [*command, waiting.pop(0)],
                    cwd=ROOT,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        for child in [c for c in running if c.poll() is not None]:
            running.remove(child)
            assert child.stderr is not None
            if child.returncode:
                failed.append(child.stderr.read()[-600:])
        time.sleep(0.05)
    return {"seconds": round(time.perf_counter() - begun, 1), "failed": failed}


def build(stage: int, way: int) -> None:
    """A stage's units forward and backward with one way of each kernel."""
    ops.fastest = lambda key, ways, launch: ways[min(way, len(ways) - 1)]  # type: ignore[assignment]
    width, side = STAGES[stage]
    stride = 1 if stage == 0 else 2
    own: Any = generated()
    entry = own.Entry(INTO[stage], width, stride)
    units = prepared(nn.Sequential(entry, own.Body(4 * width, width)), "ours")
    x = torch.randn(BATCH, INTO[stage], side * stride, side * stride, device="cuda")
    x = x.bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    with lower():
        y = units(x)
    y.backward(torch.ones_like(y))
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
