"""Training that keeps less: BN-ReLU and whole segments of units computed anew.

Both change what is kept between forward and backward, and no number: on the CPU the weights
after a step are bitwise those of plain training. Modules are changed in place, by class, so
that the names of the state_dict stay.
"""

from __future__ import annotations

import contextlib
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from resgraph.train.batches import forked, generators, set_generators
from resgraph.train.module import parted

Span = tuple[int, int]


class Recompute(Protocol):
    """What to compute anew in the backward pass; `resgraph.plan` decides it."""

    @property
    def segments(self) -> Mapping[str, Sequence[Span]]:
        """By the name of a stage, from and to (exclusive) which of its units."""

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
        units = _units(network.get_submodule(name))
        for start, stop in spans:
            _Segment(units[start:stop]).adopt()
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
        for unit in _units(network.get_submodule(name))[start:stop]
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


def _units(stage: nn.Module) -> list[nn.Module]:
    """The units of a stage. Raises `TypeError` for a module that is none."""
    if type(stage) not in (nn.Sequential, nn.ModuleList):
        raise TypeError(
            f"a {type(stage).__name__} is no nn.Sequential or nn.ModuleList"
        )
    return list(stage.children())


class _Segment:
    """Consecutive units that are computed anew together, and what that has to heed.

    The network calls each of its units, one after the other, as ever: the first one then
    computes all of them, and the others pass on what they are given. So all have as many
    outputs as the last one.
    """

    def __init__(self, units: Sequence[nn.Module]) -> None:
        modules = [module for unit in units for module in unit.modules()]
        self.units = units
        self.norms = [m for m in modules if isinstance(m, _BatchNorm)]
        self.draws = any(_draws(unit) for unit in units)
        self.made: Callable[[Sequence[Tensor]], Any]

    def adopt(self) -> None:
        """Make the units those of this segment."""
        for unit in self.units:
            kind: Any = type(unit)  # mypy takes none of torch's classes for hashable
            unit.__class__ = _within_segments(kind)
            vars(unit)["segment"] = self

    def called(self, unit: nn.Module, *inputs: Tensor) -> Any:
        """What one of its units gives to the network."""
        if unit is not self.units[0]:
            return self.made(inputs)
        # Inputs without a gradient would keep the weights' from being asked for.
        root = torch.empty(0, device=inputs[0].device, requires_grad=True)
        tensors = _Anew.apply(self, root, *inputs)  # type: ignore[no-untyped-call]
        return self.made(tensors)

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the last unit; `made` gives them the form that they have there."""
        tensors = inputs
        for unit in self.units:
            tensors, self.made = parted(nn.Module.__call__(unit, *tensors))
        return tensors


class _Within:
    """What a unit's class has before it where the unit is of a segment."""

    segment: _Segment
    training: bool

    def __call__(self, *inputs: Tensor) -> Any:
        if self.training and torch.is_grad_enabled():
            return self.segment.called(cast(nn.Module, self), *inputs)
        return nn.Module.__call__(cast(nn.Module, self), *inputs)


@cache
def _within_segments(kind: type[nn.Module]) -> type[nn.Module]:
    return type(kind.__name__, (_Within, kind), {"__module__": kind.__module__})


class _Anew(Function):
    """Units whose forward is done once more when their gradients are asked for.

    Unlike torch.utils.checkpoint it needs no hook per saved tensor, and lets BN's running
    statistics see each batch once.
    """

    @staticmethod
    def forward(
        ctx: Any, segment: _Segment, root: Tensor, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        ctx.segment = segment
        ctx.autocast = _autocast_of(root.device)
        ctx.random = generators(root.device) if segment.draws else None
        if all(x.requires_grad for x in inputs):
            return segment.run(*inputs)
        outputs = _traced(segment, inputs)
        plain = [y for x, y in outputs if not x.requires_grad]
        ctx.mark_non_differentiable(*plain)
        return tuple(y for _, y in outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = [
            saved.detach().requires_grad_(needed)
            for saved, needed in zip(
                ctx.saved_tensors, ctx.needs_input_grad[2:], strict=True
            )
        ]
        with (
            torch.enable_grad(),
            torch.autocast(**ctx.autocast),
            _random(ctx.random, inputs[0].device),
            _statistics_as_they_are(ctx.segment.norms),
        ):
            outputs = ctx.segment.run(*inputs)
        pairs = zip(outputs, gradients, strict=True)
        # Where all in front of an output is frozen, nothing is asked for.
        reached = [(y, dy) for y, dy in pairs if y.requires_grad and dy is not None]
        if reached:
            torch.autograd.backward([y for y, _ in reached], [dy for _, dy in reached])
        return None, None, *(x.grad for x in inputs)


def _traced(segment: _Segment, inputs: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each output, as autograd sees it and apart from it; nothing is kept.

    Outputs on which no weight has acted need no gradient, and those behind would keep
    tensors for it: only a forward that autograd sees tells which these are.
    """
    forget: Any = lambda _: None  # noqa: E731 (typed, since nothing is ever unpacked)
    hooks = torch.autograd.graph.saved_tensors_hooks(forget, forget)
    with torch.enable_grad(), hooks:
        outputs = segment.run(*inputs)
    return [(y, y.detach()) for y in outputs]


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


# --- BN, ReLU and convolution as one step that keeps BN's input alone -----------------
# Plainly, BN keeps its input and the convolution its own, the activation, which is as large.
# Here the activation is forgotten after the forward pass and computed once more when the
# convolution's gradient needs it: half the memory, for a pass over the map that costs less
# than a convolution.


_aten = torch.ops.aten


class PendingBatchNorm2d(nn.BatchNorm2d):
    """A BN that, in training, waits for the ReLU and the convolution behind it."""

    @classmethod
    def adopt(cls, bn: nn.Module) -> None:
        """Make a BatchNorm2d one of these. Raises `TypeError` for any other module."""
        if type(bn) is not nn.BatchNorm2d:
            raise TypeError(f"a {type(bn).__name__} is no nn.BatchNorm2d")
        bn.__class__ = cls

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(input)
        # What generated code does with it next goes through __torch_function__.
        return _Pending(self, input)  # type: ignore[return-value]


class _Pending:
    """BN of a value, or its ReLU, not computed yet."""

    def __init__(self, bn: nn.BatchNorm2d, x: Tensor, relu: bool = False) -> None:
        self.bn, self.x, self.relu = bn, x, relu

    def value(self) -> Tensor:
        """It, computed plainly, for whatever is no ReLU and no convolution."""
        y = nn.BatchNorm2d.forward(self.bn, self.x)
        return torch.relu(y) if self.relu else y

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        first, *others = args
        if isinstance(first, cls) and not kwargs:
            if function is torch.relu and not first.relu:
                return cls(first.bn, first.x, relu=True)
            if function is torch.conv2d and first.relu:
                return _convolved(first, *others)
        plain = (a.value() if isinstance(a, cls) else a for a in args)
        return function(*plain, **(kwargs or {}))


def _convolved(
    a: _Pending,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    """conv2d of the activation, by `_BnReluConv`; `nn.Conv2d` gives all arguments."""
    bn, x = a.bn, a.x
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    if bn.track_running_stats and bn.num_batches_tracked is not None:
        bn.num_batches_tracked.add_(1)
    geometry = (stride, padding, dilation, groups)
    result: Tensor = _BnReluConv.apply(
        x, bn.weight, bn.bias, weight, bias, bn, geometry
    )  # type: ignore[no-untyped-call]
    return result


class _BnReluConv(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        bn: nn.BatchNorm2d,
        geometry: tuple[Any, Any, Any, int],
    ) -> Tensor:
        tracked = bn.track_running_stats
        normalised, mean, inverse = torch.native_batch_norm(
            x,
            gamma,
            beta,
            bn.running_mean if tracked else None,
            bn.running_var if tracked else None,
            True,
            bn.momentum or 0.0,
            bn.eps,
        )
        ctx.save_for_backward(x, gamma, beta, weight, mean, inverse)
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        ctx.eps, ctx.geometry = bn.eps, geometry
        return torch.conv2d(normalised.relu_(), weight, bias, *geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma, beta, weight, mean, inverse = ctx.saved_tensors
        activation = _normalised(x, gamma, beta, mean, inverse).relu_()
        stride, padding, dilation, groups = ctx.geometry
        to_activation, to_weight, to_bias = _aten.convolution_backward(
            gradient,
            activation,
            weight,
            ctx.bias_sizes,
            stride,
            padding,
            dilation,
            False,
            [0, 0],
            groups,
            [True, True, ctx.bias_sizes is not None],
        )
        cut = _aten.threshold_backward(to_activation, activation, 0)
        to_x, to_gamma, to_beta = _aten.native_batch_norm_backward(
            cut, x, gamma, None, None, mean, inverse, True, ctx.eps, [True] * 3
        )
        return to_x, to_gamma, to_beta, to_weight, to_bias, None, None


def _normalised(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, inverse: Tensor
) -> Tensor:
    """BN by given statistics: bitwise what the training kernel of the CPU computed.

    That kernel multiplies by `scale` and adds `shift`, which it computes with one rounding;
    the inference kernel does the same to a map whose mean is 0 and whose variance is 1.
    """
    scale = inverse * gamma
    shift = (beta.double() - mean.double() * scale.double()).to(beta.dtype)
    zero, one = torch.zeros_like(mean), torch.ones_like(mean)
    return torch.batch_norm(x, scale, shift, zero, one, False, 0.0, 0.0, False)


# --- how many bytes autograd keeps, which the planner is held against -----------------


class SavedBytes:
    """While it is entered, counts the bytes that are saved for gradients.

    Each memory is counted once however many tensors lie in it; the network's parameters
    and buffers are not counted. `now` is what is kept at the moment, `peak` the most.
    """

    def __init__(self, network: nn.Module) -> None:
        tensors = [*network.parameters(), *network.buffers()]
        self._own = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        self._users: Counter[int] = Counter()
        self.now = 0
        self.peak = 0
        self._hooks = torch.autograd.graph.saved_tensors_hooks(
            self._pack, lambda held: held.tensor
        )

    def __enter__(self) -> SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hooks.__exit__(kind, error, trace)

    def _pack(self, tensor: Tensor) -> _Held:
        held = _Held(tensor)
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self._own and size:
            self._users[place] += 1
            if self._users[place] == 1:
                self.now += size
                self.peak = max(self.peak, self.now)
            weakref.finalize(held, self._free, place, size)
        return held

    def _free(self, place: int, size: int) -> None:
        self._users[place] -= 1
        if not self._users[place]:
            self.now -= size


class _Held:
    """A saved tensor; it ends when autograd lets go of it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
