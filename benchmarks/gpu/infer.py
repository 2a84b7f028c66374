"""Inference: torch in several ways beside onnxruntime with each form and option.

All answer the same images, from the host's memory and back to it; `device only` leaves the
copies out. Logits are held to float64 by what each precision's rounding may do.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.gpu.forms import held
from benchmarks.gpu.ledger import Finding, Part
from benchmarks.gpu.session import Session, take_parts
from benchmarks.inference import Provider, images, loaded, session, traced, written
from benchmarks.training import wait
from resgraph.infer import providers
from resgraph.infer.session import Tensors, tensors
from resgraph.train.execution import compile_units, numerics

FORMS = {
    "portable": ("portable", "portable"),
    "cuda": ("cuda", "portable"),
    "cuda fp16": ("cuda", "fp16"),
    "cuda bf16": ("cuda", "bf16"),
    "functions": ("portable", "functions"),
}
"""The target and the form of each model; `traced` is torch's own export."""
PRECISIONS = {"cuda fp16": "fp16", "cuda bf16": "bf16"}
"""Of those that are not in float32."""
FLOAT32 = {"use_tf32": "0"}
OPTIONS: dict[str, dict[str, str]] = {
    "as resgraph infer": FLOAT32,
    "NHWC": {**FLOAT32, "prefer_nhwc": "1"},
    "CUDA graph": {**FLOAT32, "enable_cuda_graph": "1"},
    "NHWC, CUDA graph": {**FLOAT32, "prefer_nhwc": "1", "enable_cuda_graph": "1"},
    "heuristic search": {**FLOAT32, "cudnn_conv_algo_search": "HEURISTIC"},
    "TF32": {"use_tf32": "1"},
    "TF32, NHWC, CUDA graph": {
        **{"use_tf32": "1", "prefer_nhwc": "1", "enable_cuda_graph": "1"}
    },
    "small workspace": {**FLOAT32, "cudnn_conv_use_max_workspace": "0"},
}
"""Of onnxruntime's CUDA provider."""
Run = Callable[[], object]


@dataclass(frozen=True)
class Ready:
    """A way that is ready to answer one batch."""

    whole: Callable[[], NDArray[Any]]
    """From the host to the host."""
    inside: Run
    """On the device only."""
    about: Mapping[str, Any] = field(default_factory=dict)


def arguments(parser: argparse.ArgumentParser) -> None:
    take_parts(parser)
    add = parser.add_argument
    add("--network", help="default: resnet164, or resnet20 if small")
    add("--batch", type=int, nargs="+", help="default: 128 and 1, or 4 and 1")


def run(session: Session) -> int:
    options = session.options
    network = options.network or ("resnet20" if session.small else "resnet164")
    sizes = options.batch or [4 if session.small else 128, 1]
    found = parts(network, sizes, session.device, session.small)
    return session.work(
        f"infer-{network}",
        found,
        {"network": network, "onnxruntime": onnxruntime.__version__},
    )


def parts(network: str, sizes: list[int], device: str, small: bool) -> Iterator[Part]:
    """Every way with every batch, the usual ones first."""
    for batch in sizes:
        yield from by_torch(network, batch, device, small)
        yield from by_onnxruntime(network, batch, device, small)


def row(
    title: str, network: str, batch: int, precision: str, small: bool, build: Any
) -> Part:
    def action() -> Finding:
        with numerics(precision), torch.inference_mode():
            return measured(build(), network, precision, 0.05 if small else 0.7)

    return Part(f"batch {batch}: {title}", action, 180.0)


def measured(way: Ready, network: str, precision: str, seconds: float) -> Finding:
    """Times of a way, and whether it answers rightly."""
    start = time.perf_counter()
    logits = np.asarray(way.whole())
    first = time.perf_counter() - start
    found = {
        **way.about,
        "first seconds": round(first, 4),
        **timed(way.whole, seconds),
        "device only ms": timed(way.inside, seconds)["ms"],
    }
    return held(found, logits, network, precision)


def timed(action: Run, seconds: float) -> dict[str, Any]:
    """Of as many calls as fit in so many seconds, after one that is not counted."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    times: list[float] = []
    action()
    wait(device)
    end = time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 1000):
        start = time.perf_counter()
        action()
        wait(device)
        times.append(1000 * (time.perf_counter() - start))
    return {
        "ms": round(statistics.median(times), 4),
        "fastest ms": round(min(times), 4),
        "runs": len(times),
    }


# --- torch ----------------------------------------------------------------------------


def by_torch(network: str, batch: int, device: str, small: bool) -> Iterator[Part]:
    """Eager and compiled, and on CUDA in a CUDA graph."""
    graphs = (False, True) if device == "cuda" else (False,)
    for (title, precision, last, compiled), graph in itertools.product(TORCH, graphs):
        if compiled and small:
            continue
        build = functools.partial(
            _by_torch, network, batch, device, precision, last, compiled, graph
        )
        name = f"torch, {title}{', CUDA graph' * graph}"
        yield row(name, network, batch, precision, small, build)


TORCH = (
    ("units compiled, bf16", "bf16", True, True),
    ("eager fp32", "fp32", False, False),
    ("eager fp32, channels last", "fp32", True, False),
    ("eager bf16, channels last", "bf16", True, False),
)
"""Title, precision, channels last, compiled."""


def _by_torch(
    network: str,
    batch: int,
    device: str,
    precision: str,
    last: bool,
    compiled: bool,
    graph: bool,
) -> Ready:
    found, module = loaded(network)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    layout = torch.channels_last if last else torch.contiguous_format
    module.to(device, dtype).to(memory_format=layout)  # type: ignore[call-overload]
    if compiled:
        compile_units(module, whole=True)
    host = torch.from_numpy(images(found, batch))
    place = host.to(device, dtype).contiguous(memory_format=layout)
    host = host.pin_memory() if device == "cuda" else host
    inside = _recorded(module, place) if graph else lambda: module(place)

    def whole() -> NDArray[Any]:
        place.copy_(host, non_blocking=True)
        logits: NDArray[Any] = inside().float().cpu().numpy()
        return logits

    return Ready(whole, inside)


def _recorded(module: nn.Module, place: torch.Tensor) -> Callable[[], torch.Tensor]:
    """A forward as a CUDA graph."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            module(place)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result: torch.Tensor = module(place)

    def replayed() -> torch.Tensor:
        graph.replay()
        return result

    return replayed


# --- onnxruntime ----------------------------------------------------------------------


def by_onnxruntime(
    network: str, batch: int, device: str, small: bool
) -> Iterator[Part]:
    """Every form with every option of the device's provider."""
    cuda = device == "cuda"
    offered = OPTIONS if cuda else {"as resgraph infer": {}}
    forms = [form for form in FORMS if cuda or "cuda" not in form]
    forms += [] if small else ["traced"]
    for (title, options), form in itertools.product(offered.items(), forms):
        if form == "functions" and options != FLOAT32 and cuda:
            continue  # once they are inlined they are the portable form
        provider = Provider(providers.CUDA if cuda else providers.CPU, options)
        tf32 = options.get("use_tf32") == "1" and form not in PRECISIONS
        precision = "tf32" if tf32 else PRECISIONS.get(form, "fp32")
        build = functools.partial(_by_onnxruntime, network, form, batch, provider)
        yield row(f"{form}; {title}", network, batch, precision, small, build)


def _by_onnxruntime(network: str, form: str, batch: int, provider: Provider) -> Ready:
    path = model(network, form)
    start = time.perf_counter()
    opened = session(path, provider)
    began = round(time.perf_counter() - start, 3)
    given, result, inside = _bound(opened, tensors(opened, path), batch, provider)
    pictures = images(loaded(network)[0], batch).astype(tensors(opened, path).dtype)

    def whole() -> NDArray[Any]:
        given.update_inplace(pictures)
        inside()
        return np.array(result.numpy(), np.float32)

    whole()
    placed = str(providers.placement(opened))
    return Ready(whole, inside, {"start seconds": began, "placement": placed})


def _bound(
    opened: Any, about: Tensors, batch: int, provider: Provider
) -> tuple[Any, Any, Run]:
    """The input and the output in buffers on the device, and a run between them."""
    make, device = onnxruntime.OrtValue.ortvalue_from_shape_and_type, provider.device
    given = make([batch, *about.shape], about.dtype, device, 0)
    result = make([batch, about.classes], about.result, device, 0)
    binding = opened.io_binding()
    binding.bind_ortvalue_input(about.input, given)
    binding.bind_ortvalue_output(about.output, result)
    return given, result, lambda: opened.run_with_iobinding(binding)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def model(network: str, form: str) -> Path:
    """A model's file, made once in a process."""
    graph, module = loaded(network)
    folder = Path(_folder().name) / form.replace(" ", "-")
    folder.mkdir()
    if form == "traced":
        return traced(module, graph, folder / "traced.onnx")
    return written(graph, folder, {form: FORMS[form]})[form]
