"""A running average of a network's weights, which is tested and saved beside them.

Each step takes the average a share of `1 - decay` towards the weights. It starts from zeros and
is divided by the share that it has taken in, so that it is a weighted mean of the weights of the
steps alone (the correction of Adam's averages), and no step has another share than the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """The average of a network's parameters and of BN's running statistics."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self._names = [n for n, t in _named(network) if t.is_floating_point()]
        own = dict(_named(network))
        self._live = [own[name].detach() for name in self._names]
        self.tensors = [torch.zeros_like(tensor) for tensor in self._live]

    @torch.no_grad()
    def add(self) -> None:
        """Take in the weights as they are: one kernel over many, in place."""
        torch._foreach_lerp_(self.tensors, self._live, 1 - self.decay)

    def restart(self) -> None:
        """Begin anew, with what comes next."""
        torch._foreach_zero_(self.tensors)
        self.steps = 0

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have the average for a while; before any step, its own weights."""
        kept = [tensor.clone() for tensor in self._live]
        with torch.no_grad():
            if self.steps:
                torch._foreach_copy_(self._live, self._corrected())
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._live, kept)

    def _corrected(self) -> list[Tensor]:
        share = 1 - self.decay**self.steps
        return [tensor / share for tensor in self.tensors]

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on with it."""
        named = dict(zip(self._names, self.tensors, strict=True))
        return {"steps": self.steps, "tensors": named}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave. Raises an error for what is none of this network's."""
        steps, given = state["steps"], state["tensors"]
        if type(steps) is not int or not 0 <= steps <= 2**53:
            raise ValueError("its average is of no number of steps")
        if given.keys() != {*self._names}:
            raise ValueError("its average is of other weights")
        for name, tensor in zip(self._names, self.tensors, strict=True):
            if given[name].shape != tensor.shape:
                raise ValueError(f"its average of {name} has another shape")
            tensor.copy_(given[name])
        self.steps = steps


def _named(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()
