"""How a step is computed on a device: the choices that change its speed, not its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from resgraph.diagnostics import UsageError
from resgraph.train.options import TrainOptions
from resgraph.train.precision import AUTO, WORDS, pick_precision

_GROUPED = ("grouped_counts", "grouped_casts", "combo_kernels")
"""Choices for benchmarks alone: no option turns them off."""


@dataclass(frozen=True)
class Execution:
    """What was chosen for one device. Results differ by rounding alone.

    Dropout's masks are an exception: compiled code draws others than eager code does.
    """

    device: torch.device
    precision: str = "fp32"
    """`fp32`, `tf32` or `bf16`."""
    channels_last: bool = True
    """Weights and activations lie with their channels innermost."""
    compile: bool = False
    """Each distinct unit is compiled by torch.compile."""
    cuda_graph: bool = False
    """The whole step is recorded once, as a CUDA graph, and replayed."""
    fused: bool = True
    """The optimiser is one kernel over many parameters."""
    grouped_counts: bool = True
    """All BNs count their batches by one operation a step."""
    grouped_casts: bool = True
    """In bf16 and on a single rank, all weights are cast by one operation a step, and all their gradients."""
    combo_kernels: bool = True
    """Compiled units run kernels that do not wait for each other as one."""
    fused_kernels: bool = False
    """BN-ReLU-convolutions run by kernels of our own, on CUDA, and not compiled."""

    def __post_init__(self) -> None:
        if self.cuda_graph and self.device.type != "cuda":
            raise UsageError(
                f"CUDA graphs need CUDA, and this trains on the {self.device.type}",
                "leave out --cuda-graph",
            )
        if self.fused_kernels and self.device.type != "cuda":
            raise UsageError(
                f"the fused kernels need CUDA, and this trains on the {self.device.type}",
                "train on CUDA",
            )
        if self.cuda_graph and not self.fused:
            raise UsageError(
                "a CUDA graph needs a fused optimiser, which reads the learning rate on the device",
                "give --no-fused with --no-cuda-graph",
            )

    def as_dict(self) -> dict[str, Any]:
        """The choices by name, for run.json, which says elsewhere what the device is."""
        return {k: v for k, v in asdict(self).items() if k != "device"}

    def spared(self, network: nn.Module) -> Execution:
        """The same, without channels last where that would break torch 2.13 on the CPU.

        There the gradient of a 1x1 convolution with a stride, of 3 to 6 input channels in
        that layout, writes beyond its memory, and the process dies.
        """
        return replace(
            self, channels_last=self.channels_last and not self._breaks(network)
        )

    def recording(self, possible: bool) -> Execution:
        """The same, without a CUDA graph where the step cannot be recorded."""
        return replace(self, cuda_graph=self.cuda_graph and possible)

    def _breaks(self, network: nn.Module) -> bool:
        return self.device.type == "cpu" and any(
            isinstance(layer, nn.Conv2d)
            and layer.kernel_size == (1, 1)
            and layer.stride != (1, 1)
            and layer.in_channels < 8
            for layer in network.modules()
        )

    @property
    def groups_casts(self) -> bool:
        """Whether there are casts to group: the fused kernels cast by themselves."""
        bf16 = self.precision == "bf16"
        return self.grouped_casts and bf16 and not self.fused_kernels

    def words(self, optimizer: str) -> str:
        """The choices that are on, for the user, and the optimiser."""
        flags = {
            "channels last": self.channels_last,
            "compiled": self.compile,
            "CUDA graph": self.cuda_graph,
            "fused kernels": self.fused_kernels,
        }
        chosen = [k for k, on in flags.items() if on]
        fused = "fused " if self.fused else ""
        return ", ".join([WORDS[self.precision], *chosen, f"{fused}{optimizer}"])


def execution_for(
    options: TrainOptions,
    device: torch.device,
    ranks: int = 1,
    kept: Mapping[str, Any] | None = None,
) -> Execution:
    """What the options choose; else what a resumed run has `kept`; else the defaults.

    The defaults are everything on CUDA, and on the CPU all but compilation, which takes a
    minute there. Channels last with fused SGD took 0.72 of the time of neither for
    ResNet-164 at batch 16, and 0.86 for ResNet-20 at batch 128 (medians of six, one thread,
    other processes beside; benchmarks/bench_train.py measures it anew).
    A run that was begun on CUDA and goes on elsewhere leaves CUDA graphs behind.
    Raises `UsageError` for what the device, or training on several ranks, does not allow.
    """
    cuda, kept = device.type == "cuda", kept or {}
    alone = cuda and ranks == 1

    def choose(name: str, default: bool) -> bool:
        chosen = getattr(options, name)
        return bool(kept.get(name, default) if chosen is None else chosen)

    if options.cuda_graph and ranks > 1:
        raise UsageError(
            f"a CUDA graph records one process's step, and this trains on {ranks} ranks",
            "leave out --cuda-graph",
        )
    if options.fused_kernels:
        _check_fused_kernels(options, alone)
    precision = options.precision
    if precision == AUTO:
        precision = kept.get("precision", AUTO)
    fused = choose("fused", True)
    graph = choose("cuda_graph", alone and fused)
    fused_kernels = alone and not options.compile and choose("fused_kernels", False)
    precision = pick_precision(precision, device)
    return Execution(
        device,
        precision=precision,
        channels_last=choose("channels_last", True),
        compile=not fused_kernels and choose("compile", alone),
        fused_kernels=fused_kernels,
        **{name: bool(kept.get(name, True)) for name in _GROUPED},
        cuda_graph=graph if options.cuda_graph is not None else graph and alone,
        fused=fused,
    )


def _check_fused_kernels(options: TrainOptions, alone: bool) -> None:
    """Raise `UsageError` where the fused kernels that were asked for cannot be had."""
    if options.compile:
        what = "compiled units would not run the fused kernels"
        raise UsageError(what, "leave out --compile or --fused-kernels")
    if not alone:
        what = "the fused kernels are for training on a single CUDA device"
        raise UsageError(what, "leave out --fused-kernels")
    if find_spec("triton") is None:
        what = "the fused kernels are written in Triton, which is not installed"
        raise UsageError(what, "install torch for CUDA, which brings it")
