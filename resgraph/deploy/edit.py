"""What a pass does to one place of a network."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resgraph.graph import Node

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Tensors = dict[str, "NDArray[np.float64]"]
"""The tensors of one layer by their names in it."""
Layers = Callable[[str], Tensors]
"""The layers of one place by name."""
Recipe = Callable[[Layers], Tensors]
"""How a new layer's tensors follow from those of the layers before the pass."""


@dataclass(frozen=True)
class Edit:
    """What a pass does to one place. Names are without the place's prefix."""

    drop: frozenset[str] = frozenset()
    """Nodes whose readers read what they read."""
    swap: Mapping[str, Node] = field(default_factory=dict)
    """Nodes that take the place of others."""
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    """Of each new layer with tensors, by its name."""
    origins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The layers that each of these is made of."""
    done: Mapping[str, str] = field(default_factory=dict)
    """What became of each BN that is gone, in words."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """Why each other one was kept."""

    @property
    def key(self) -> Hashable:
        """Equal for edits that turn one instance into equal ones."""
        swaps = ((old, new.name, new.op) for old, new in self.swap.items())
        return self.drop, frozenset(swaps)
