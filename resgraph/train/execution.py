"""How a step is computed on a device: the choices that change its speed, not its meaning."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from resgraph.diagnostics import RetryError, UsageError
from resgraph.train.module import units_of
from resgraph.train.options import AUTO, WORDS, TrainOptions

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


# --- precision, and what it means to torch --------------------------------------------
# Weights, their gradients, momentum and BN's statistics are float32 always; the precision is
# that of convolutions, of the linear layer and of the activations between them.


def pick_precision(name: str, device: torch.device) -> str:
    """The precision itself: `auto` is bf16 on CUDA and fp32 on the CPU.

    Raises `UsageError` if the device has no such precision.
    """
    if name == AUTO:
        return "bf16" if device.type == "cuda" else "fp32"
    if name == "tf32" and device.type != "cuda":
        raise UsageError(
            f"TF32 is a precision of CUDA, and this trains on the {device.type}",
            "give --precision fp32",
        )
    return name


def element_size(precision: str) -> int:
    """Bytes of an activation's element."""
    return 2 if precision == "bf16" else 4


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Within it, ops compute in the precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextlib.contextmanager
def numerics(precision: str) -> Iterator[None]:
    """TF32 on for `tf32`, and off else, whatever torch's defaults; as before afterwards.

    So fp32 is float32 in convolutions too, for which torch's default is TF32. Within it,
    cuDNN also measures which algorithm is fastest for each convolution.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    _set(precision == "tf32", precision == "tf32", True)
    try:
        yield
    finally:
        _set(*before)


def _set(convolutions: bool, products: bool, benchmark: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.benchmark = benchmark


# --- a step recorded once as a CUDA graph, and replayed -------------------------------
# A replay runs the kernels that were recorded, on the addresses that were recorded. So what a
# step reads anew each time is copied into tensors that stay, and what it changes, it changes
# in place: weights, momentum, BN's statistics, the sum of losses. Of the step's Python,
# nothing runs again.
#
# Random numbers need nothing of this. While a graph is recorded, torch makes its kernels read
# the default generator's seed and offset from the device, and before each replay it writes
# there what the generator holds by then; so `torch.manual_seed` before a step decides that
# step's dropout, replayed or not.


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


# --- torch.compile of each distinct unit ----------------------------------------------
# Whole, a network's graph and the time to compile it grow with its depth. Here each unit is
# compiled by itself. torch keeps one compilation for each combination of types, attributes
# and shapes that it meets, and all units that are alike in these share it, since weights are
# its inputs.


Backend = str | Callable[..., Any]
# A unit compiles once; in a segment that is computed anew twice, first without gradients
# and then without a second look at BN's statistics. A monitor's forward may be a third.
_MODES = 4


def compile_units(
    network: nn.Module,
    *,
    backend: Backend = "inductor",
    whole: bool = True,
    combined: bool = False,
) -> nn.Module:
    """Let the outermost units of a network run compiled; it is changed in place, returned.

    What lies outside of units runs as it did. `whole` refuses units that torch can
    compile in parts only. `combined` lets inductor run kernels that do not wait for each
    other as one.
    """
    found = units_of(network).values()
    how: dict[str, Any] = {"backend": backend, "fullgraph": whole, "dynamic": False}
    if combined:
        how["options"] = {"combo_kernels": True}
    for unit in found:
        unit.compile(**how)
    _allow(_MODES * len(found))
    return network


def uncompiled() -> AbstractContextManager[Any]:
    """Within it, compiled units run as they were written, and nothing is compiled.

    For tests: their batches have other shapes, and too few of them to be worth it.
    """
    if "torch._dynamo" not in sys.modules:
        # Nothing was compiled, and loading it takes long.
        return contextlib.nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


@contextlib.contextmanager
def failures_explained() -> Iterator[None]:
    """Tell a unit that does not compile as a `RetryError`."""
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RetryError(
            f"torch.compile fails on a unit: {' '.join(lines[:2])}",
            "go on with --resume --no-compile",
            "--no-compile",
        ) from error


def _allow(compilations: int) -> None:
    """Let torch keep so many more; beyond its limit it would give up.

    It counts them by function, and all units' are of one: `nn.Module.__call__`.
    """
    config: Any = torch._dynamo.config
    config.recompile_limit += compilations
    config.accumulated_recompile_limit += compilations
