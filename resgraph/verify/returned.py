"""What a network returns, whatever holds it: one tensor, or several with or without names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from resgraph.diagnostics import ResgraphError, plain

Returned = list[tuple[str, Tensor]]
"""Each tensor with its name, '' where it has none."""


def returned(output: Any, what: str) -> Returned:
    """The tensors of a tuple, a list, a mapping or a dataclass, in order; None is left out.

    Raises `ResgraphError` for anything else; `what` has returned it.
    """
    found = [*_tensors(output, "", what)]
    if not found:
        kind = plain(type(output).__name__)
        raise ResgraphError(f"{what} returns {kind} without a tensor", _HINT)
    return found


_HINT = "a network returns a tensor, or several in a tuple, a list, a mapping or a dataclass"


def _tensors(output: Any, name: str, what: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(output, Tensor):
        yield name, output
    elif (items := _items(output)) is not None:
        for key, item in items:
            yield from _tensors(item, f"{name}.{key}" if name and key else key, what)
    elif output is not None:
        kind = plain(type(output).__name__)
        raise ResgraphError(f"{what} returns {kind}, and not tensors alone", _HINT)


def _items(output: Any) -> list[tuple[str, Any]] | None:
    """What a container holds by name; None for what is none."""
    if isinstance(output, Mapping):
        return [(str(key), item) for key, item in output.items()]
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return [*zip(map(str, output._fields), output, strict=True)]
    if isinstance(output, tuple | list):
        return [("", item) for item in output]
    if dataclasses.is_dataclass(output):
        fields = [field.name for field in dataclasses.fields(output)]
        return [(name, getattr(output, name)) for name in fields]
    return None


def by_name(output: Any, names: Sequence[str], what: str) -> dict[str, Tensor]:
    """The tensors under these names, one for each in order.

    Raises `ResgraphError` where there are not as many.
    """
    found = returned(output, what)
    if len(found) != len(names):
        raise ResgraphError(
            f"{what} returns {len(found)} tensors, and not {len(names)}"
        )
    return {name: tensor for name, (_, tensor) in zip(names, found, strict=True)}
