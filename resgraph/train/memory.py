"""Training that keeps less: BN-ReLU and whole segments of units computed anew.

Both change what is kept between forward and backward, and no number: on the CPU the weights
after a step are bitwise those of plain training. Modules are changed in place, by class, so
that the names of the state_dict stay.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resgraph.train.bnrelu import PendingBatchNorm2d
from resgraph.train.generators import forked, generators, set_generators

Span = tuple[int, int]


class Recompute(Protocol):
    """What to compute anew in the backward pass; `resgraph.plan` decides it."""

    @property
    def segments(self) -> Mapping[str, Sequence[Span]]:
        """By the name of an nn.Sequential, from and to (exclusive) which child."""

    @property
    def bn_relu(self) -> Sequence[str]:
        """The BatchNorm2d whose BN and ReLU, read by one convolution, are done anew."""

    @property
    def words(self) -> str:
        """The same for the user; empty where nothing is."""

    def as_dict(self) -> dict[str, Any]:
        """The same for run.json."""


class MemoryPlanner(Protocol):
    """Decides what to compute anew, once it is known how much there is to keep."""

    def __call__(
        self, *, batch: int, element: int, free: int | None, bn_relu: bool
    ) -> Recompute:
        """For `batch` images on a device, `element` bytes an activation's element.

        `free` is what the device has left in bytes, None if unknown; `bn_relu` says
        whether BN-ReLU may be done anew. Raises `ResgraphError` if nothing fits.
        """


def planned(network: nn.Module, recompute: Recompute) -> nn.Module:
    """Let the network train as `recompute` says; it is changed in place and returned.

    Inference, and forwards without gradients, stay as they are.
    Raises `TypeError` for a module that is none of torch's plain ones.
    """
    for name in recompute.bn_relu:
        PendingBatchNorm2d.adopt(network.get_submodule(name))
    for name, spans in recompute.segments.items():
        _Segmented.adopt(network.get_submodule(name), spans)
    return network


def draws_anew(network: nn.Module, recompute: Recompute | None) -> bool:
    """Whether dropout is among what is computed anew.

    Its random numbers are then drawn twice from one state of the generator, and a CUDA
    graph does not record that a generator's state is set.
    """
    spans = {} if recompute is None else recompute.segments
    return any(
        _draws(unit)
        for name, parts in spans.items()
        for start, stop in parts
        for unit in list(network.get_submodule(name).children())[start:stop]
    )


def _draws(module: nn.Module) -> bool:
    return any(isinstance(m, nn.Dropout) and m.p > 0 for m in module.modules())


def left_for_training(
    network: nn.Module, device: torch.device, ranks: int, copies: int
) -> int | None:
    """Bytes for what is kept for gradients: of what is free, all but the `copies` of the
    weights that training holds (`Recipe.copies`). Ranks on the CPU share its memory."""
    free = free_bytes(device)
    if free is None:
        return None
    share = free // ranks if device.type == "cpu" else free
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    return max(0, share - copies * weights)


def free_bytes(device: torch.device) -> int | None:
    """Memory that the device has left; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        table = dict(line.split(":") for line in lines)
        free = int(table["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    return min([free, *_left_to_the_group()])


def _left_to_the_group() -> Iterator[int]:
    """What a container's limit leaves, where there is one."""
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # no such group, or no limit: "max"
        limit = int((group / "memory.max").read_text())
        yield limit - int((group / "memory.current").read_text())


class _Segment:
    """Consecutive units that are computed anew together, and what that has to heed."""

    def __init__(self, units: Sequence[nn.Module]) -> None:
        modules = [module for unit in units for module in unit.modules()]
        self.units = units
        self.norms = [m for m in modules if isinstance(m, _BatchNorm)]
        self.draws = any(_draws(unit) for unit in units)

    def __call__(self, x: Tensor) -> Tensor:
        """The units' output, of which nothing is kept but x."""
        # An input without a gradient would keep the weights' from being asked for.
        root = torch.empty(0, device=x.device, requires_grad=True)
        result: Tensor = _Anew.apply(x, root, self)  # type: ignore[no-untyped-call]
        return result


class _Segmented(nn.Sequential):
    """A stage some of whose units are computed anew, segment by segment."""

    steps: list[_Segment | nn.Module]
    """Segments, and the units between them."""

    @classmethod
    def adopt(cls, stage: nn.Module, spans: Sequence[Span]) -> None:
        """Make a stage one of these."""
        if type(stage) is not nn.Sequential:
            raise TypeError(f"a {type(stage).__name__} is no nn.Sequential")
        units, steps, done = list(stage), list[_Segment | nn.Module](), 0
        for start, stop in spans:
            steps += [*units[done:start], _Segment(units[start:stop])]
            done = stop
        stage.__class__ = cls
        vars(stage)["steps"] = [*steps, *units[done:]]

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return _run(self, x)
        return _run(self.steps, x)


def _run(steps: Iterable[_Segment | nn.Module], x: Tensor) -> Tensor:
    for step in steps:
        x = step(x)
    return x


class _Anew(torch.autograd.Function):
    """Units whose forward is done once more when their gradients are asked for.

    Unlike torch.utils.checkpoint it needs no hook per saved tensor, and lets BN's running
    statistics see each batch once.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, root: Tensor, segment: _Segment) -> Tensor:
        ctx.save_for_backward(x)
        ctx.segment = segment
        ctx.autocast = _autocast_of(x.device)
        ctx.random = generators(x.device) if segment.draws else None
        return _run(segment.units, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None]:
        (saved,) = ctx.saved_tensors
        x = saved.detach().requires_grad_(ctx.needs_input_grad[0])
        with (
            torch.enable_grad(),
            torch.autocast(**ctx.autocast),
            _random(ctx.random, x.device),
            _statistics_as_they_are(ctx.segment.norms),
        ):
            y = _run(ctx.segment.units, x)
        if y.requires_grad:  # else all in front of the next segment is frozen
            torch.autograd.backward(y, gradient)
        return x.grad, None, None


def _autocast_of(device: torch.device) -> dict[str, Any]:
    return {
        "device_type": device.type,
        "dtype": torch.get_autocast_dtype(device.type),
        "enabled": torch.is_autocast_enabled(device.type),
    }


@contextlib.contextmanager
def _random(state: Mapping[str, Any] | None, device: torch.device) -> Iterator[None]:
    """Draw as in the state that is given; afterwards as if nothing had been drawn."""
    if state is None:
        yield
        return
    with forked(device):
        set_generators(state, device)
        yield


@contextlib.contextmanager
def _statistics_as_they_are(norms: Iterable[_BatchNorm]) -> Iterator[None]:
    """Let BN use the batch's statistics without adding them to its running ones."""
    tracking = [norm for norm in norms if norm.track_running_stats]
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
