"""How many bytes autograd keeps: what the memory planner's predictions are held against."""

from __future__ import annotations

import weakref
from collections import Counter
from types import TracebackType

import torch
from torch import Tensor, nn


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
