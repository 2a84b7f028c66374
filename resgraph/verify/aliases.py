"""Which tensors share their memory, as far as the calls of torch tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from torch import Tensor

VIEWS = frozenset(
    {"get data", "get T", "get mT", "alias", "detach", "view", "getitem", "narrow"}
    | {"permute", "transpose", "unsqueeze", "squeeze", "expand", "expand_as"}
    | {"chunk", "split", "tensor_split", "unbind", "select", "swapaxes", "movedim"}
)
"""Functions whose result is their first argument's memory, or a part of it."""


class Aliases:
    """Tensors that were made as views of others."""

    def __init__(self) -> None:
        self._source: dict[int, Tensor] = {}
        self._views: dict[int, list[Tensor]] = defaultdict(list)

    def made(self, source: Tensor, view: Tensor) -> None:
        """Note that a tensor is a view of another one."""
        if view is not source:
            self._source[id(view)] = source
            self._views[id(source)].append(view)

    def sharing(self, tensor: Tensor) -> Iterator[Tensor]:
        """What changes with a tensor: all that it is a view of, and all views of it.

        Not other views of the same: they may be other parts.
        """
        above = self._source.get(id(tensor))
        while above is not None:
            yield above
            above = self._source.get(id(above))
        below = [*self._views[id(tensor)]]
        while below:
            view = below.pop()
            yield view
            below += self._views[id(view)]
