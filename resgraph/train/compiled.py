"""torch.compile of each distinct unit: a network of any depth compiles as one of a few.

Whole, a network's graph and the time to compile it grow with its depth. Here each unit is
compiled by itself. torch keeps one compilation for each combination of types, attributes
and shapes that it meets, and all units that are alike in these share it, since weights are
its inputs.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from resgraph.diagnostics import RetryError

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
    """Let the units in the network's stages run compiled; it is changed in place, returned.

    What lies outside of stages runs as it did. `whole` refuses units that torch can
    compile in parts only. `combined` lets inductor run kernels that do not
    wait for each other as one.
    """
    found = list(units(network))
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
        return (
            contextlib.nullcontext()
        )  # nothing was compiled, and loading it takes long
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


def units(network: nn.Module) -> Iterator[nn.Module]:
    """The modules in the network's stages that the generated file defines."""
    for stage in network.children():
        if isinstance(stage, nn.Sequential):
            own = (u for u in stage if not type(u).__module__.startswith("torch."))
            yield from own


def _allow(compilations: int) -> None:
    """Let torch keep so many more; beyond its limit it would give up.

    It counts them by function, and all units' are of one: `nn.Module.__call__`.
    """
    config: Any = torch._dynamo.config
    config.recompile_limit += compilations
    config.accumulated_recompile_limit += compilations
