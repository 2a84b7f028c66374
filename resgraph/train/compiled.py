"""torch.compile of each distinct unit: a network of any depth compiles as one of a few.

Whole, a network's graph and the time to compile it grow with its depth. Here what is
compiled is the forward function of a unit's class. torch keeps one compilation for each
combination of types, attributes and shapes that the function meets, and all units that are
alike in these share it, since weights are its inputs.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from resgraph.diagnostics import ResgraphError

Backend = str | Callable[..., Any]
# By the class of a unit, so that the next network of the same file compiles nothing.
_COMPILED: dict[tuple[type[nn.Module], Backend, bool], type[nn.Module]] = {}
# A unit compiles once; in a segment that is computed anew twice, first without gradients
# and then without a second look at BN's statistics. A monitor's forward may be a third.
_MODES = 4


def compile_units(
    network: nn.Module, *, backend: Backend = "inductor", whole: bool = True
) -> nn.Module:
    """Let the units in the network's stages run compiled; it is changed in place, returned.

    The class of each unit becomes a subclass of its own, so names in the state_dict and
    hooks on units stay. What lies outside of stages runs as it did. `whole` refuses units
    that torch can compile in parts only.
    """
    units = list(_units(network))
    for unit in units:
        unit.__class__ = _compiled(type(unit), backend, whole)
    _allow(_MODES * len(units))
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
    """Tell a unit that does not compile as a `ResgraphError`."""
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ResgraphError(
            f"torch.compile fails on a unit: {' '.join(lines[:2])}",
            "go on with --resume --no-compile",
        ) from error


def _units(network: nn.Module) -> Iterator[nn.Module]:
    """The modules in the network's stages that the generated file defines."""
    for stage in network.children():
        if isinstance(stage, nn.Sequential):
            own = (u for u in stage if not type(u).__module__.startswith("torch."))
            yield from own


def _compiled(kind: type[nn.Module], backend: Backend, whole: bool) -> type[nn.Module]:
    key = (kind, backend, whole)
    if key not in _COMPILED:
        forward = torch.compile(
            kind.forward, backend=backend, fullgraph=whole, dynamic=False
        )
        _COMPILED[key] = type(kind.__name__, (kind,), {"forward": forward})
    return _COMPILED[key]


def _allow(compilations: int) -> None:
    """Let torch keep so many for one function; beyond its limit it would give up."""
    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, compilations)
    config.accumulated_recompile_limit = max(
        config.accumulated_recompile_limit, compilations
    )
