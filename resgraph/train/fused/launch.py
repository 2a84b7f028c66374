"""Which tiles a kernel works in: one of a few ways, the fastest where that was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Way:
    """How a kernel goes over a map."""

    rows: int
    """Of a tile: pixels of all images, one after the other."""
    depth: int
    """Channels that are read at once, at most."""
    columns: int
    """Channels that a program writes, at most."""
    waves: int
    """Programs for each multiprocessor, at most."""
    warps: int = 4
    stages: int = 2
    late: bool = True
    """Sums over rows are taken at the end, for which each place of a tile keeps its own."""
    fused: bool = False
    """All the window's places at once; backward with the weight's gradient of the same tiles.
    Where a tile has room for it."""


CONVOLVE = (
    Way(64, 64, 64, 8),
    Way(64, 64, 64, 4, stages=4),
    Way(64, 64, 128, 2, warps=8, stages=3),
    Way(32, 64, 64, 16, warps=2),
    Way(64, 64, 64, 4, fused=True),
)
TO_INPUT = (
    Way(64, 64, 64, 4),
    Way(64, 64, 64, 4, warps=8, stages=3),
    Way(32, 64, 64, 8, warps=2),
    Way(64, 64, 64, 4, late=False),
)
GRADIENTS = (
    Way(64, 64, 64, 2, warps=8, fused=True),
    Way(64, 64, 64, 2, fused=True, late=False),
    Way(32, 64, 64, 4, warps=2, fused=True, late=False),
    Way(64, 64, 64, 8),
    Way(32, 64, 64, 16, warps=2),
)
TO_WEIGHT = (
    Way(64, 64, 64, 4),
    Way(128, 64, 64, 2, warps=8),
    Way(64, 64, 64, 2, stages=4),
    Way(32, 64, 64, 4, warps=2),
)
MOMENTS = (Way(128, 64, 64, 4),)
SETTLE = (Way(128, 64, 64, 0),)

Launch = Callable[[Way], object]
_times: dict[tuple[object, ...], dict[Way, float]] = {}
_SLEEP = 20_000_000  # cycles, some 11 ms
_SMALLEST = 16  # of a side of a product on tensor cores


def measured() -> dict[str, dict[str, float]]:
    """Milliseconds of each way so far, by kernel and shape, the fastest first."""
    return {
        " ".join(map(str, key)): {
            str(way): found[way] for way in sorted(found, key=found.__getitem__)
        }
        for key, found in _times.items()
    }


def fastest(key: tuple[object, ...], ways: Sequence[Way], launch: Launch) -> Way:
    """The way to go for a kernel and shape; `launch` may run more than once.

    It is measured the first time that the shape is met on a GPU. While a graph is recorded
    nothing can be, and the first way has to do.
    """
    if key not in _times:
        if not _measures():
            return ways[0]
        _times[key] = {way: _milliseconds(way, launch) for way in ways}
    found = _times[key]
    return min(found, key=found.__getitem__)


def _measures() -> bool:
    return torch.cuda.is_available() and not torch.cuda.is_current_stream_capturing()


def _milliseconds(way: Way, launch: Launch, repeats: int = 8) -> float:
    """A launch's time on the GPU; infinite for one that the GPU has no room for."""
    from triton.runtime.errors import OutOfResources, PTXASError

    try:
        launch(way)
    except (OutOfResources, PTXASError):
        return float("inf")
    # torch annotates neither.
    event: Any = torch.cuda.Event
    start, end = event(enable_timing=True), event(enable_timing=True)
    torch.cuda._sleep(_SLEEP)  # type: ignore[no-untyped-call]  # the host launches meanwhile
    start.record()
    for _ in range(repeats):
        launch(way)
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / repeats


def programs(tiles: int, way: Way, others: int, device: torch.device) -> int:
    """How many programs share the tiles of rows, where `others` share the columns."""
    return max(1, min(tiles, way.waves * _processors(device) // others))


@cache
def _processors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1  # Triton's interpreter
    count: int = torch.cuda.get_device_properties(device).multi_processor_count
    return count


def power(channels: int, most: int) -> int:
    """The tile's side for so many channels."""
    return min(most, max(_SMALLEST, 1 << (channels - 1).bit_length()))


def precision(x: Tensor) -> str:
    """How Triton multiplies: float32 in full, unless torch was told to use TF32."""
    tf32 = torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
    return "tf32" if x.dtype == torch.float32 and tf32 else "ieee"


def factor(x: Tensor) -> Any:
    """The type of factors: the map's, but the interpreter multiplies no bfloat16."""
    import triton.language as tl

    types = {torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
    return types[x.dtype] if x.is_cuda and x.dtype in types else tl.float32


def arguments(way: Way) -> dict[str, Any]:
    """What a launch is told of the way beside the tile."""
    return {"num_warps": way.warps, "num_stages": way.stages}
