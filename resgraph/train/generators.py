"""torch's random generators on the CPU and on a device: read, set, and left as they were."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch


def forked(device: torch.device) -> AbstractContextManager[None]:
    """After it, the generators are as they were before."""
    if device.type != "cuda":
        return torch.random.fork_rng([])
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.random.fork_rng([index])


def generators(device: torch.device) -> dict[str, Any]:
    """The state of torch's random generators, for the CPU and for the device."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_generators(state: Mapping[str, Any], device: torch.device) -> None:
    """Take up what `generators` gave, as far as the device is of the same kind."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
