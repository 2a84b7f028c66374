"""What changed in a topology between two networks, whatever things are called."""

from __future__ import annotations

from resgraph.diff import picture
from resgraph.diff.edits import Change, Edit, Spot, edits
from resgraph.diff.isomorphism import isomorphism
from resgraph.diff.network import Difference, Pair, compare
from resgraph.diff.units import Units

__all__ = [
    "Change",
    "Difference",
    "Edit",
    "Pair",
    "Spot",
    "Units",
    "compare",
    "edits",
    "isomorphism",
    "picture",
]
