"""The ways to compute a step: as by default, with each switch turned, each switch alone.

A switch that is added to `Execution` gets its rows by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.training import PLAIN, SWITCHES
from resgraph.diagnostics import UsageError
from resgraph.train.execution import Execution, execution_for, pick_precision
from resgraph.train.options import PRECISIONS, TrainOptions

Choices = dict[str, Any]
NEEDS = {
    "cuda_graph": ("fused",),
    "combo_kernels": ("compile",),
    "grouped_casts": ("bf16",),
}
"""What a switch is refused, or idle, without: other switches, or a precision. One that is
not here needs nothing."""


def precisions(device: str) -> list[str]:
    """Those that the device has, the plain one first."""
    found = []
    for name in PRECISIONS[1:]:
        try:
            found.append(pick_precision(name, torch.device(device)))
        except UsageError:
            continue
    return found


def switches(device: str) -> list[str]:
    """Those that the device allows."""
    return [name for name in SWITCHES if _allowed(with_needs(name), device)]


def with_needs(*names: str) -> Choices:
    """These on, with all that they need, and everything else off."""
    choices, open_ = dict(PLAIN), list(names)
    while open_:
        name = open_.pop()
        choices |= {name: True} if name in SWITCHES else {"precision": name}
        open_ += NEEDS.get(name, ())
    return choices


def without(choices: Choices, name: str) -> Choices:
    """The same with this off, and all that needs it."""
    made = {**choices, name: False}
    for other, needed in NEEDS.items():
        if name in needed and made.get(other):
            made = without(made, other)
    return made


def default(device: str) -> Choices:
    """What `resgraph train` chooses if it is told nothing."""
    chosen = execution_for(TrainOptions(), torch.device(device)).as_dict()
    return {name: chosen[name] for name in PLAIN}


def ways(device: str, small: bool = False) -> dict[str, Choices]:
    """By name, those that tell most first; equal ones once; if small, none that compile.

    `all` is the default, in which all is on that has proven good: `all but` a switch of it,
    and `all with` one that is off there.
    """
    usual = default(device)
    found = {"all": usual} | {
        n: c for s in switches(device) for n, c in _turned(usual, s)
    }
    for precision in precisions(device):
        found[f"all in {precision}"] = {**usual, "precision": precision}
    found["none"] = dict(PLAIN)
    for name in switches(device):
        more = "".join(f" with {needed}" for needed in NEEDS.get(name, ()))
        found[f"{name} alone{more}"] = with_needs(name)
    for precision in precisions(device):
        found[f"{precision} alone"] = {**PLAIN, "precision": precision}
    return _once({k: v for k, v in found.items() if not (small and v["compile"])})


def _turned(usual: Choices, name: str) -> Iterator[tuple[str, Choices]]:
    """The usual way with one switch the other way round."""
    if usual[name]:
        yield f"all but {name}", without(usual, name)
    else:
        yield f"all with {name}", turned_on(usual, name)


def turned_on(choices: Choices, name: str) -> Choices:
    """The same with this on, and all that it needs."""
    return choices | {k: v for k, v in with_needs(name).items() if v != PLAIN[k]}


def eager_twin(choices: Choices) -> Choices | None:
    """The same step without a CUDA graph; None where there is none."""
    return {**choices, "cuda_graph": False} if choices["cuda_graph"] else None


def _once(found: dict[str, Choices]) -> dict[str, Choices]:
    """Without those that another name stands for already."""
    kept: dict[str, Choices] = {}
    for name, choices in found.items():
        if choices not in kept.values():
            kept[name] = choices
    return kept


def _allowed(choices: Choices, device: str) -> bool:
    try:
        Execution(torch.device(device), **choices)
    except UsageError:
        return False
    return True
