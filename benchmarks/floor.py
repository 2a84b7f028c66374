"""What a training step costs at least: bytes over bandwidth, and arithmetic over peak.

Counted from the network's shapes. Each convolution and linear layer reads its input and
writes its output; backward it reads both its input and its output's gradient and writes its
input's gradient. All else (BN, ReLU, additions, weights, SGD) is taken to be free, as if
fused into these, so no way of training that runs layer by layer is below the floor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Floor:
    """For one image."""

    operations: int
    """Multiplications and additions of forward and backward."""
    elements: int
    """Of maps that are read or written."""

    def seconds(self, batch: int, element: int, hardware: Hardware) -> float:
        """Of a step on that hardware, with so many bytes an element."""
        moved = batch * self.elements * element / hardware.bytes_per_s
        return max(moved, batch * self.operations / hardware.operations_per_s)


@dataclass(frozen=True)
class Hardware:
    """What a device was measured to do."""

    bytes_per_s: float
    """Read and written, by a copy of a large tensor."""
    operations_per_s: float
    """By a product of large matrices in the fastest precision."""


def floor_of(network: nn.Module, shape: tuple[int, ...]) -> Floor:
    """Count a network that takes images of that shape. Nothing is computed."""
    operations = elements = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal operations, elements
        weight: Any = layer.weight
        macs = weight.numel() // weight.shape[0] * output.numel()
        operations += 3 * 2 * macs  # forward, and for the gradients of input and weight
        elements += 3 * inputs[0].numel() + 2 * output.numel()

    meta = network.to("meta")
    for module in meta.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        meta.eval()(torch.empty(1, *shape, device="meta"))
    return Floor(operations, elements)


def hardware(device: torch.device, small: bool = False) -> Hardware:
    """Measure a device, on random numbers: with equal ones it draws less power and clocks higher."""
    size = 2**20 if small else 2**28
    source = torch.randn(size, device=device)
    target = torch.empty_like(source)
    side = 256 if small else 8192
    fastest = torch.bfloat16 if device.type == "cuda" else torch.float32
    factor = torch.randn(side, side, device=device, dtype=fastest)
    copied = seconds_of(lambda: target.copy_(source), device)
    multiplied = seconds_of(lambda: factor @ factor, device)
    return Hardware(2 * 4 * size / copied, 2 * side**3 / multiplied)


def seconds_of(action: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of ten."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)
