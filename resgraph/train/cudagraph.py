"""A step recorded once as a CUDA graph and replayed: the host launches one thing, not 10,000.

A replay runs the kernels that were recorded, on the addresses that were recorded. So what a
step reads anew each time is copied into tensors that stay, and what it changes, it changes
in place: weights, momentum, BN's statistics, the sum of losses. Of the step's Python,
nothing runs again.

Random numbers need nothing of this. While a graph is recorded, torch makes its kernels read
the default generator's seed and offset from the device, and before each replay it writes
there what the generator holds by then; so `torch.manual_seed` before a step decides that
step's dropout, replayed or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from resgraph.diagnostics import RetryError

# As torch's documentation has it. The first also compiles, and measures cuDNN's algorithms.
_WARM_UP = 3

Step = Callable[[Sequence[Tensor]], None]


class GraphedStep:
    """A step on a CUDA device, recorded at its first call.

    `step` takes tensors on the device and changes none but those in `changed`. It must be
    the same for all inputs of one shape, and never wait for the device.
    """

    def __init__(
        self, step: Step, changed: Sequence[Tensor], device: torch.device
    ) -> None:
        self._step = step
        self._changed = changed
        self._device = device
        self._places: list[Tensor] = []
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, inputs: Sequence[Tensor]) -> None:
        """One step on inputs from the CPU; the host does not wait for it.

        Raises `RetryError` if the step cannot be recorded.
        """
        if self._graph is None:
            self._places = [tensor.to(self._device) for tensor in inputs]
            self._graph = self._recorded()
        for place, tensor in zip(self._places, inputs, strict=True):
            place.copy_(tensor.pin_memory(), non_blocking=True)
        self._graph.replay()

    def _recorded(self) -> torch.cuda.CUDAGraph:
        """The step as a graph. Afterwards everything is as if no step had been done."""
        before = [tensor.detach().clone() for tensor in self._changed]
        generator = torch.cuda.get_rng_state(self._device)
        self._warm_up()
        graph = torch.cuda.CUDAGraph()
        try:
            # Only this thread is watched: one that fetches images may go on meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._step(self._places)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            what = str(error).partition("\n")[0]
            raise RetryError(
                f"the step cannot be recorded as a CUDA graph: {what}",
                "go on with --resume --no-cuda-graph",
                "--no-cuda-graph",
            ) from error
        with torch.no_grad():
            for tensor, value in zip(self._changed, before, strict=True):
                tensor.copy_(value)
        torch.cuda.set_rng_state(generator, self._device)
        return graph

    def _warm_up(self) -> None:
        """Steps on a stream of their own, so that all that is done once is done before."""
        here = torch.cuda.current_stream(self._device)
        side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._step(self._places)
        here.wait_stream(side)
